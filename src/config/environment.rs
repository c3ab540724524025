//! The environment as a trait, and `.env` laid beneath it. The process's own environment is read here and nowhere else
//! in the configuration, so that every test can bring its own.

use std::collections::BTreeMap;

use super::dotenv::DotEnv;

/// Environment variables.
pub trait Environment {
    /// One variable; `None` when it is unset or no UTF-8.
    fn var(&self, name: &str) -> Option<String>;

    /// All of them, in no particular order.
    fn vars(&self) -> Vec<(String, String)>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

#[allow(clippy::disallowed_methods, reason = "the one place where the configuration reads the environment")]
impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        // `var` panics on names that no variable can have.
        let possible = !name.is_empty() && !name.contains(['=', '\0']);
        possible.then(|| std::env::var(name).ok()).flatten()
    }

    fn vars(&self) -> Vec<(String, String)> {
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
    }
}

impl Environment for BTreeMap<String, String> {
    fn var(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }

    fn vars(&self) -> Vec<(String, String)> {
        self.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
    }
}

/// Where a variable was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VarSource {
    /// The real environment.
    Environment,
    /// This line of `.env`.
    DotEnv(u64),
}

/// A variable's value. No `Debug`: it may be a secret.
pub(super) struct Found {
    pub(super) value: String,
    pub(super) source: VarSource,
}

/// The real environment over `.env`.
pub(super) struct Vars<'a> {
    environment: &'a dyn Environment,
    dotenv: DotEnv,
}

impl<'a> Vars<'a> {
    pub(super) fn new(environment: &'a dyn Environment, dotenv: DotEnv) -> Self {
        Self { environment, dotenv }
    }

    /// Looks a variable up: a variable that is set, if only to nothing, hides the one in `.env`.
    pub(super) fn get(&self, name: &str) -> Option<Found> {
        if let Some(value) = self.environment.var(name) {
            return Some(Found { value, source: VarSource::Environment });
        }
        let (value, line) = self.dotenv.values.get(name)?;
        Some(Found { value: value.clone(), source: VarSource::DotEnv(*line) })
    }

    /// As [`Vars::get`], and an empty value is none.
    pub(super) fn get_filled(&self, name: &str) -> Option<Found> {
        self.get(name).filter(|found| !found.value.is_empty())
    }

    /// The names that are set to something.
    pub(super) fn names(&self) -> std::collections::BTreeSet<String> {
        let real = self.environment.vars().into_iter().map(|(name, _)| name);
        real.chain(self.dotenv.values.keys().cloned()).filter(|name| self.get_filled(name).is_some()).collect()
    }

    /// `.env` as faults and origins name it.
    pub(super) fn dotenv_file(&self) -> &str {
        &self.dotenv.file
    }
}
