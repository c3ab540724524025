//! `agent docs`: the documents that are made from the manifests, so that they cannot say something else than the program does.
//! A test compares them with what is committed.

mod provider;
mod summaries;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;

use super::out;
use crate::provider::Registry;

#[derive(Debug, Subcommand)]
pub(super) enum DocsCommand {
    /// One page for each built-in provider
    Providers {
        /// The folder to write to
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Every example of every provider with its message, for reading through
    Summaries {
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

pub(super) fn docs(command: &DocsCommand) -> anyhow::Result<ExitCode> {
    let registry = Registry::builtin();
    match command {
        DocsCommand::Providers { out: folder } => {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            for provider in registry.iter() {
                write(&folder.join(format!("{}.md", provider.name())), &provider::page(provider))?;
            }
            write(&folder.join("README.md"), &provider::index(&registry))?;
            out::line(format!("Wrote {} pages to {}.", registry.names().len() + 1, folder.display()))?;
        }
        DocsCommand::Summaries { out: file } => {
            write(file, &summaries::page(&registry))?;
            out::line(format!("Wrote {}.", file.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// A text in a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
