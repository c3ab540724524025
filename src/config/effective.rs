//! What is in effect and where each value came from: the content of `agent config show`. Secrets are masked before they get here.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A line of the configuration file, and the variables that were expanded in it.
    File {
        /// The file as the user named it.
        file: String,
        /// The line.
        line: u64,
        /// What else it came from: `env PORT`, `file /run/secrets/x`.
        through: Vec<String>,
    },
    /// A variable of the real environment.
    Environment(String),
    /// A variable of `.env`.
    DotEnv(String),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line, through } => {
                write!(f, "{file}:{line}")?;
                through.iter().try_for_each(|through| write!(f, ", {through}"))
            }
            Self::Environment(name) => write!(f, "env {name}"),
            Self::DotEnv(name) => write!(f, ".env {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One key in effect.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EffectiveKey {
    /// Its path, such as `webhooks.handlers.github.secret`.
    pub key: String,
    /// Its value; a secret is `"***"` or null.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

/// Every key in effect, in the order of the reference.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effective {
    /// The configuration file as the user named it.
    pub file: Option<String>,
    /// The keys.
    pub keys: Vec<EffectiveKey>,
}

/// Widest column of `key = value` that comments are aligned to, in characters.
const ALIGN_MAX: usize = 64;

impl Effective {
    /// One key; for tests and single questions.
    pub fn get(&self, key: &str) -> Option<&EffectiveKey> {
        self.keys.iter().find(|entry| entry.key == key)
    }

    /// The list shape of section "machine-readable shapes", and the file.
    pub fn to_json(&self) -> Value {
        json!({ "file": self.file, "items": self.keys, "next": null })
    }
}

/// A line a key: `webhooks.port = 8080   # config.yaml:12`.
impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.keys.iter().map(|entry| format!("{} = {}", entry.key, entry.value)).collect();
        let fitting = lines.iter().map(|line| line.chars().count()).filter(|width| *width <= ALIGN_MAX);
        let width = fitting.max().unwrap_or(0);
        for (line, entry) in lines.iter().zip(&self.keys) {
            writeln!(f, "{line:width$}  # {}", entry.origin)?;
        }
        Ok(())
    }
}
