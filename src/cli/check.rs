//! `agent check`: every fault of the configuration, the providers and the workflows at once.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{Common, context, out};
use crate::app;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn check(common: &Common, args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let loaded = context::load_with(common, false, None)?;
    let mut faults = loaded.faults;
    let mut notes = loaded.notes;
    // Also where the configuration has faults: whoever mends them should not meet the next ones only then.
    let config = &loaded.as_read;
    let (registry, provider_faults) = app::load_providers(config);
    faults.extend(provider_faults);
    faults.extend(app::handler_faults(config, &registry));
    let catalog = app::load_workflows(config);
    faults.extend(catalog.faults());
    faults.extend(app::claimed_twice(config, &catalog));
    notes.extend(catalog.notes());
    notes.extend(app::outside_files(config, &catalog));
    notes.extend(app::vain_requests(config, &catalog));
    notes.extend(app::strange_workflow_events(config, &registry, &catalog));
    notes.extend(app::strange_tools(config));
    notes.extend(app::strange_events(config, &registry));
    let (handlers, workflows) = (config.webhooks.handlers.len(), catalog.list().len());
    if args.json {
        out::json(&json!({ "faults": faults, "notes": notes }))?;
    } else {
        for fault in &faults {
            out::line(format!("fault: {fault}"))?;
        }
        for note in &notes {
            out::line(format!("note:  {note}"))?;
        }
        let name = config
            .file
            .as_ref()
            .map_or_else(|| "no configuration file, the defaults".to_owned(), |file| file.display().to_string());
        match faults.len() {
            0 => out::line(format!("ok: {name} ({handlers} handlers, {workflows} workflows)"))?,
            1 => out::line("1 fault")?,
            many => out::line(format!("{many} faults"))?,
        }
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
