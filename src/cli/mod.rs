//! The command line: what each command is called and takes. What it does is in the file of its name.
//!
//! Exit codes: 0, 1 for a failure, 2 for wrong usage.

mod approvals;
mod audit;
mod bench;
mod chat;
mod check;
mod config_cmd;
mod context;
mod docs;
mod doctor;
mod events;
mod explain;
mod init;
mod local;
mod logs;
mod mcp;
mod out;
mod prove;
mod run;
mod runs;
mod sample;
mod sandbox;
mod service;
mod sql;
mod webhook;
mod workflow;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::ledger::sqlite::AbortPoint;

/// A self-hosted chat-assistant agent with a webhook channel.
///
/// With no command it runs the agent: add --webhooks to take webhooks on 127.0.0.1:8080.
#[derive(Debug, Parser)]
#[command(name = "agent", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,

    /// Run the webhook server
    #[arg(long)]
    webhooks: bool,

    /// Port of the webhook server (implies --webhooks; 0 takes a free one)
    #[arg(long, value_name = "N")]
    webhook_port: Option<u16>,

    /// End as `kill -9` would at the N-th commit: before:N or after:N (used by `agent prove`)
    #[arg(long, hide = true, value_name = "POINT")]
    abort_at: Option<AbortPoint>,

    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
struct Common {
    /// Configuration file [default: $AGENT_CONFIG, ./config.yaml, $XDG_CONFIG_HOME/hookhand/config.yaml]
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check the configuration, the providers and the workflows; print every fault
    Check(check::CheckArgs),
    /// Check the running set-up: ports, files, secrets, Telegram, clock, disk; one line each, with the fix
    Doctor(doctor::DoctorArgs),
    /// Ask a few questions and write config.yaml and .env
    Init(init::InitArgs),
    /// Install the agent as a systemd service
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// List, test and try webhooks
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// Talk to the agent: questions, commands, approvals
    Chat(chat::ChatArgs),
    /// Look at events that came in, and replay them
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// List, show, start and backtest workflows
    #[command(subcommand)]
    Workflow(workflow::WorkflowCommand),
    /// List, show, end and settle runs of workflows
    #[command(subcommand)]
    Runs(runs::RunsCommand),
    /// List and decide what waits for an approval
    #[command(subcommand)]
    Approvals(approvals::ApprovalsCommand),
    /// Serve events, runs, approvals, memory and workflows to another assistant: MCP on standard input and output
    Mcp,
    /// Check the audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Print the log
    Logs(logs::LogsArgs),
    /// Show the configuration's schema or the effective values
    #[command(subcommand)]
    Config(config_cmd::ConfigCommand),
    /// Run one read-only SQL statement on the ledger
    Sql(sql::SqlArgs),
    /// Measure this machine: ratios against a bare server in the same run
    Bench(bench::BenchArgs),
    /// Prove the promises P1 to P9 on a scratch folder against this very binary, and print a report
    Prove(prove::ProveArgs),
    /// Supervise one program of a step; the agent calls this itself
    #[command(name = crate::tool::process::SUPERVISE_COMMAND, hide = true)]
    Sandbox,
    /// Write the documents that are made from the manifests
    #[command(subcommand, hide = true)]
    Docs(docs::DocsCommand),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs the command that `args` name and returns the process's exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let failed = error.use_stderr();
            // Help that nobody reads to the end is no failure.
            let _printed = error.print();
            return if failed { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            out::error(format!("error: {}", told(&error)));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let serving = cli.webhooks || cli.webhook_port.is_some() || cli.abort_at.is_some();
    let common = cli.common;
    let Some(command) = cli.command else {
        return run::run(&common, cli.webhooks, cli.webhook_port, cli.abort_at);
    };
    if serving {
        out::error("error: --webhooks and --webhook-port belong to running the agent, without a command");
        return Ok(ExitCode::from(2));
    }
    match command {
        Command::Check(args) => check::check(&common, &args),
        Command::Doctor(args) => doctor::doctor(&common, &args),
        Command::Init(args) => init::init(&common, args),
        Command::Service(command) => service::service(&common, &command),
        Command::Docs(command) => docs::docs(&command),
        Command::Webhook(command) => webhook::webhook(&common, command),
        Command::Chat(args) => chat::chat(&common, args),
        Command::Events(command) => events::events(&common, command),
        Command::Workflow(command) => workflow::workflow(&common, command),
        Command::Runs(command) => runs::runs(&common, command),
        Command::Approvals(command) => approvals::approvals(&common, command),
        Command::Mcp => mcp::mcp(&common),
        Command::Audit(command) => audit::audit(&common, command),
        Command::Logs(args) => logs::logs(&common, &args),
        Command::Config(command) => config_cmd::config(&common, &command),
        Command::Sql(args) => sql::sql(&common, &args),
        Command::Bench(args) => bench::bench(&args),
        Command::Prove(args) => prove::prove(&args),
        Command::Sandbox => sandbox::sandbox(),
        Command::Completions { shell } => {
            // Into memory first: the generator panics when a reader goes away.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "agent", &mut script);
            out::bytes(&script)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
            || cause
                .downcast_ref::<serde_json::Error>()
                .is_some_and(|json| json.io_error_kind() == Some(std::io::ErrorKind::BrokenPipe))
    })
}

/// A runtime for commands that wait on files and one connection.
fn small_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// An error and its causes, without the causes that it names already.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
