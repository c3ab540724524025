//! Bare expressions: conditions and lists.

use std::fmt;
use std::sync::Arc;

use minijinja::Expression;
use minijinja::value::Value;
use serde_json::Value as Json;

use super::convert::{has_lost_digits, to_json};
use super::engine::{ENGINE, check_words, compile_error, explain, expression_error, lost_digits};
use super::paths::{Path, shape};
use super::{ExprError, Reads, SOURCE_BYTES_MAX, Scope, order, scan};

/// Most items of one `for_each`.
pub const FOR_EACH_ITEMS_MAX: usize = 1000;

/// A compiled expression.
#[derive(Clone)]
pub struct Expr {
    source: Arc<str>,
    reads: Reads,
    path: Option<Path>,
    compiled: Arc<Expression<'static, 'static>>,
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expr").field(&self.source).finish()
    }
}

impl Expr {
    /// Compiles `source`. What it reads is not checked here.
    pub fn compile(source: &str) -> Result<Self, ExprError> {
        let source = source.trim();
        if source.len() > SOURCE_BYTES_MAX {
            return Err(ExprError::new(format!("is longer than {SOURCE_BYTES_MAX} bytes")));
        }
        if source.is_empty() {
            return Err(ExprError::new("is empty"));
        }
        if let Some(inner) = scan::whole(source) {
            return Err(ExprError::new("is a bare expression").hint(format!("leave out the braces: {inner}")));
        }
        let compiled =
            ENGINE.compile_expression_owned(source.to_owned()).map_err(|error| expression_error(&error, source))?;
        check_words(source)?;
        let reads = Reads::of_expression(source, compiled.undeclared_variables(true));
        let compiled = match order::guarded_expression(source)? {
            Some(guarded) => ENGINE.compile_expression_owned(guarded).map_err(|error| compile_error(&error))?,
            None => compiled,
        };
        Ok(Self { source: source.into(), reads, path: Path::parse(source), compiled: Arc::new(compiled) })
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What it reads.
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Whether it holds.
    pub fn is_true(&self, scope: &Scope) -> Result<bool, ExprError> {
        Ok(self.eval(scope)?.is_true())
    }

    /// Its value.
    pub fn value(&self, scope: &Scope) -> Result<Json, ExprError> {
        if let Some(path) = &self.path {
            let found = path.find(scope)?;
            return if has_lost_digits(found) { Err(lost_digits(&self.source)) } else { Ok(found.clone()) };
        }
        to_json(&self.eval(scope)?)
    }

    /// Its value as the list of a `for_each`.
    pub fn items(&self, scope: &Scope) -> Result<Vec<Json>, ExprError> {
        match self.value(scope)? {
            Json::Array(items) if items.len() <= FOR_EACH_ITEMS_MAX => Ok(items),
            Json::Array(items) => {
                Err(ExprError::new(format!("has {} items, more than {FOR_EACH_ITEMS_MAX}", items.len())))
            }
            other => Err(ExprError::new(format!("is {}, and a list is needed", shape(&other)))),
        }
    }

    pub(super) fn eval(&self, scope: &Scope) -> Result<Value, ExprError> {
        let value = self.compiled.eval(scope.value()).map_err(|error| explain(&error, &self.reads, scope))?;
        if value.is_undefined() {
            // A path that is read alone; the engine finds nothing wrong in giving it back.
            return Err(super::paths::explain_missing(&self.reads, scope)
                .unwrap_or_else(|| ExprError::new("a value that it reads is not there")));
        }
        Ok(value)
    }
}
