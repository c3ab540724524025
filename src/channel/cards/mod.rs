//! Cards: questions to approvers, from the ledger's rows to messages with buttons, and back from a tap to a decision.
//!
//! The text is made from the action that the digest covers (`domain::action_text`, `text`), by code. Who may decide and what a
//! decision does is behind [`Operations`](super::Operations); this module only asks and tells the truth about the answer.

mod answers;
mod desk;
mod text;

pub(crate) use answers::Deciding;
pub use answers::{decided, settled};
pub(crate) use desk::Desk;
pub(crate) use text::{details, told, who};

/// An approval as the terminal shows it: what would run in full, who may decide, how.
pub fn card_text(approval: &crate::ledger::runs::ApprovalRow) -> String {
    text::card(approval, text::Hint::Terminal).plain()
}
