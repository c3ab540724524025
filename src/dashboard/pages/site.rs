//! What pages know besides the ledger: handlers as configured, the configuration in effect, files, and somebody who knows why
//! a request was refused.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Effective, Secret};
use crate::ledger::EventDetail;

/// What the app tells the pages.
#[derive(Debug)]
pub struct Site {
    /// Every key in effect, secrets masked.
    pub effective: Arc<Effective>,
    /// The handlers, by name.
    pub handlers: Vec<HandlerFacts>,
    /// Where this process itself reaches its webhook server; `None` when that is off.
    pub webhooks: Option<String>,
    /// The base of the URLs that senders use.
    pub public: Option<String>,
    /// The audit log.
    pub audit: PathBuf,
    /// Who explains refusals.
    pub advisor: Box<dyn Advisor>,
}

/// A handler as it is configured.
#[derive(Debug, Clone)]
pub struct HandlerFacts {
    /// Its name.
    pub name: String,
    /// The provider that reads it.
    pub provider: String,
    /// Whether it answers.
    pub enabled: bool,
    /// Its path on the webhook server.
    pub path: String,
    /// Event types that are wanted; empty wants all.
    pub events: Vec<String>,
    /// The variable in which its secret is looked for.
    pub secret_variable: String,
    /// What signs a test; `None` without a secret.
    pub secret: Option<Secret>,
    /// Where its notices go.
    pub chat: Option<String>,
}

/// Why a request was refused, and what to do about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advice {
    /// What happened, in a sentence.
    pub what: String,
    /// What was found out when it happened.
    pub findings: Vec<String>,
    /// What to do.
    pub advice: Vec<String>,
}

/// Knows the rules that requests are refused by.
pub trait Advisor: std::fmt::Debug + Send + Sync {
    /// What there is to say of `event`.
    fn explain(&self, event: &EventDetail) -> Advice;
}

impl Site {
    /// The handler `name`.
    pub(super) fn handler(&self, name: &str) -> Option<&HandlerFacts> {
        self.handlers.iter().find(|handler| handler.name == name)
    }

    /// The URL that a sender uses for `path`.
    pub(in crate::dashboard) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.public.as_deref().or(self.webhooks.as_deref()).unwrap_or("https://YOUR-HOST"))
    }
}
