//! The language of workflows: Jinja, strict, with a bound on work and on size. An [`Expr`] is a bare expression (`when`,
//! `for_each`); a [`Template`] fills exactly one value.
//!
//! Nothing here knows what a value is for: which values a payload may fill is `taint`'s, and what is done with them the
//! tools'. Evaluating is pure: the same scope gives the same value, which is what lets an approval be checked again.

mod compare;
mod convert;
mod engine;
mod expression;
mod order;
mod paths;
mod reads;
mod scan;
mod scope;
mod template;
mod words;

pub use expression::{Expr, FOR_EACH_ITEMS_MAX};
pub use reads::{NAMES, Reads};
pub use scope::{ErrorView, EventView, Scope, StepView};
pub use template::{Mode, Template};

pub(crate) use convert::has_lost_digits;
pub(crate) use scan::has_tags;
pub(crate) use words::{event_mismatch, list_words};

/// Longest expression or template, in bytes.
pub const SOURCE_BYTES_MAX: usize = 64 * 1024;
/// Largest text that a template gives, in bytes.
pub const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Work that one evaluation may do: about one unit an instruction, and one for every 64 bytes of text.
pub const FUEL: u64 = 500_000;

/// Why an expression or a template cannot be used, or gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// What is wrong; names the path of a value that is not there, and shows no value.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl ExprError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
