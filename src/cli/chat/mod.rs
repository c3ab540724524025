//! `agent chat`: talking to the agent in the terminal, with the commands of Telegram and approvals in between.
//!
//! Everything goes over the local API of the running agent. Where none runs, one runs in this process as long as the talk
//! lasts, without its webhook server: one code path, and what was proposed is carried out by the same engine.

mod answer;
mod interrupts;
mod show;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use self::interrupts::Interrupts;
use super::context::{self, Context};
use super::{Common, out, run};
use crate::app::Agent;
use crate::app::data_dir;
use crate::lifecycle::Shutdown;

/// Where lines are remembered, within the data folder.
const HISTORY_FILE: &str = "chat_history";
/// Lines that are remembered.
const HISTORY_LINES_MAX: usize = 1000;

#[derive(Debug, Args)]
pub(super) struct ChatArgs {
    /// Ask this, print the answer and end
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
}

pub(super) fn chat(common: &Common, args: ChatArgs) -> anyhow::Result<ExitCode> {
    let context = context::load(common)?;
    // More than one thread: an agent of our own works while a line is read.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let own = match data_dir::running(&context.config.data_dir) {
        Some(_) => None,
        None => Some(runtime.block_on(Own::start(&context))?),
    };
    let interrupts = runtime.block_on(async { Interrupts::listen() })?;
    let talked = if args.text.is_empty() {
        talk(&context, &runtime, &interrupts, own.is_some())
    } else {
        runtime.block_on(answer::answer(&context, &args.text.join(" "), None, &interrupts))
    };
    if let Some(own) = own {
        runtime.block_on(own.stop())?;
    }
    talked?;
    Ok(ExitCode::SUCCESS)
}

/// An agent in this process.
struct Own {
    agent: Agent,
    shutdown: Shutdown,
}

impl Own {
    async fn start(context: &Context) -> anyhow::Result<Self> {
        let mut config = context.config.clone();
        config.webhooks.enabled = false;
        config.dashboard.enabled = true;
        config.dashboard.address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let shutdown = Shutdown::new();
        let agent = Agent::start(config, run::deps()?, shutdown.clone()).await?;
        Ok(Self { agent, shutdown })
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.stop_soon();
        Ok(self.agent.finish().await?)
    }
}

/// Reads lines and answers them until there are no more.
fn talk(
    context: &Context,
    runtime: &tokio::runtime::Runtime,
    interrupts: &Interrupts,
    alone: bool,
) -> anyhow::Result<()> {
    let mut editor = DefaultEditor::new()?;
    let history = context.config.data_dir.join(HISTORY_FILE);
    // There is none the first time.
    let _none = editor.load_history(&history);
    rustyline::config::Configurer::set_max_history_size(&mut editor, HISTORY_LINES_MAX)?;
    if alone {
        out::line("No agent is running: one runs here until you leave, without webhooks.")?;
    }
    out::line("Ask, or write a command: /help lists them, /quit leaves.")?;
    let mut interrupted = false;
    loop {
        let line = match editor.readline("> ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) if interrupted => break,
            Err(ReadlineError::Interrupted) => {
                interrupted = true;
                out::line("Ctrl-C once more leaves, as does /quit.")?;
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        };
        interrupted = false;
        let line = line.trim();
        match line {
            "" => continue,
            "/quit" | "/exit" => break,
            _ => {}
        }
        editor.add_history_entry(line)?;
        keep(&mut editor, &history);
        // A refusal is for this line; the next one may do better.
        if let Err(error) = runtime.block_on(answer::answer(context, line, Some(&mut editor), interrupts)) {
            out::error(format!("error: {}", super::told(&error)));
        }
    }
    Ok(())
}

/// Remembers the lines in a file that only its owner can read (rustyline makes it so).
fn keep(editor: &mut DefaultEditor, place: &Path) {
    if let Err(error) = editor.save_history(place) {
        tracing::debug!(%error, "the history of lines is not kept");
    }
}
