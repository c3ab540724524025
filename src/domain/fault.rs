//! A fault in something that a person wrote (configuration, manifest, workflow), told so that it can be mended at once.

use std::fmt;

use serde::Serialize;

/// One fault: where it is, what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Fault {
    /// The file as the user named it; `environment` or `defaults` where there is none.
    pub file: String,
    /// Line, from 1.
    pub line: Option<u64>,
    /// Column, from 1.
    pub column: Option<u64>,
    /// The path of the key, such as `webhooks.handlers.github.secret`.
    pub key: Option<String>,
    /// What is wrong. Never contains a secret.
    pub message: String,
    /// What to do (the nearest valid key, the safe way to write it).
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}
