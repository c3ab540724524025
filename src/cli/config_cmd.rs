//! `agent config`: the JSON Schema for editors, and the effective values with where each came from.

use std::process::ExitCode;

use clap::Subcommand;

use super::{Common, context, out};
use crate::config;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print the JSON Schema of config.yaml
    Schema,
    /// Print every effective value, secrets masked, and where it came from
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn config(common: &Common, command: &ConfigCommand) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Schema => out::json(&config::schema())?,
        ConfigCommand::Show { json } => {
            let context = context::load(common)?;
            if *json {
                out::json(&context.effective.to_json())?;
            } else {
                out::line(context.effective.to_string().trim_end())?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
