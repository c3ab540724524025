//! Every secret that was used and everything that was said, so that at the end all of it can be searched.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Fewest bytes of a secret that is searched for: shorter ones stand in any file.
const SECRET_BYTES_MIN: usize = 12;

/// The book, shared by all checks.
#[derive(Debug, Clone, Default)]
pub(in crate::prove) struct SecretBook(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    secrets: BTreeSet<String>,
    said: Vec<(String, String)>,
}

impl SecretBook {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This must appear nowhere.
    pub(in crate::prove) fn add(&self, secret: impl Into<String>) {
        let secret = secret.into();
        if secret.len() >= SECRET_BYTES_MIN {
            self.pages().secrets.insert(secret);
        }
    }

    /// The agent said this to somebody.
    pub(in crate::prove) fn said(&self, to: &str, text: impl Into<String>) {
        self.pages().said.push((to.to_owned(), text.into()));
    }

    /// All secrets.
    pub(in crate::prove) fn all(&self) -> BTreeSet<String> {
        self.pages().secrets.clone()
    }

    /// All that was said, and to whom.
    pub(in crate::prove) fn all_said(&self) -> Vec<(String, String)> {
        self.pages().said.clone()
    }
}
