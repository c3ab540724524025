//! What most commands begin with: the configuration, the providers, and the ledger opened for reading.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::{Common, out};
use crate::app;
use crate::config::{self, Config, Effective, LoadOptions, Loaded, ProcessEnvironment};
use crate::domain::fault::Fault;
use crate::ledger::sqlite::SqliteLedger;
use crate::ledger::{Ledger, RunLedger};
use crate::provider::Registry;

/// A configuration without faults, and what there is to say about it.
pub(super) struct Context {
    pub(super) config: Config,
    pub(super) effective: Effective,
    pub(super) notes: Vec<Fault>,
}

/// Loads the configuration with flags that only running the agent takes.
pub(super) fn load_with(common: &Common, webhooks: bool, webhook_port: Option<u16>) -> anyhow::Result<Loaded> {
    let cwd = std::env::current_dir().context("cannot tell the current folder")?;
    let mut names: Vec<&str> = Registry::builtin_names().collect();
    let load = |names: &[&str]| {
        let options = LoadOptions {
            config: common.config.clone(),
            webhooks,
            webhook_port,
            cwd: cwd.clone(),
            default_handlers: names,
            secret_variables: Some(Registry::secret_variables),
        };
        config::load(&options, &ProcessEnvironment)
    };
    let loaded = load(&names);
    // Where the user's manifests lie is known only now; without handlers in the file they are served as the others are.
    let own = loaded.config.as_ref().map(app::own_providers).unwrap_or_default();
    if own.is_empty() {
        return Ok(loaded);
    }
    names.extend(own.iter().map(String::as_str));
    Ok(load(&names))
}

/// Loads the configuration; every fault becomes part of the error.
pub(super) fn load(common: &Common) -> anyhow::Result<Context> {
    accept(load_with(common, false, None)?)
}

/// Takes a loaded configuration, or fails with all its faults.
pub(super) fn accept(loaded: Loaded) -> anyhow::Result<Context> {
    let Loaded { config, as_read: _, faults, notes, effective } = loaded;
    match config {
        Some(config) if faults.is_empty() => Ok(Context { config, effective, notes }),
        _ => bail!("{}", fault_list("the configuration", &faults)),
    }
}

/// Faults as a text, one to a line.
pub(super) fn fault_list(what: &str, faults: &[Fault]) -> String {
    let noun = if faults.len() == 1 { "fault" } else { "faults" };
    let mut text = format!("{what} has {} {noun}:", faults.len());
    for fault in faults {
        text.push_str("\n  ");
        text.push_str(&fault.to_string());
    }
    text
}

impl Context {
    /// The path of the ledger.
    pub(super) fn ledger_path(&self) -> PathBuf {
        app::ledger_path(&self.config.data_dir)
    }

    /// The ledger, for reading; it may be in use by a running agent.
    pub(super) fn ledger(&self) -> anyhow::Result<Arc<dyn Ledger>> {
        Ok(SqliteLedger::open_read_only(self.ledger_path())?)
    }

    /// The runs and approvals, for reading.
    pub(super) fn runs(&self) -> anyhow::Result<Arc<dyn RunLedger>> {
        Ok(SqliteLedger::open_read_only(self.ledger_path())?)
    }

    /// Prints what is worth knowing and stops nothing.
    pub(super) fn print_notes(&self) {
        for note in &self.notes {
            out::error(format!("note: {note}"));
        }
    }
}
