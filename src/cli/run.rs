//! `agent`: runs until it is told to stop.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::context::{self, Context};
use super::{Common, out};
use crate::app::{self, Agent, Deps};
use crate::ledger::sqlite::AbortPoint;
use crate::lifecycle::Shutdown;
use crate::telemetry::{self, LogOptions, Redactor};

/// From the end of everything until threads that still block are left behind.
const LAST_WAIT: Duration = Duration::from_secs(1);

pub(super) fn run(
    common: &Common,
    webhooks: bool,
    webhook_port: Option<u16>,
    abort: Option<AbortPoint>,
) -> anyhow::Result<ExitCode> {
    let context = context::accept(context::load_with(common, webhooks, webhook_port)?)?;
    context.print_notes();
    start_log(&context)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(serve(context, abort));
    // A thread that prints to a terminal which nobody reads cannot be stopped, and must not hold up the end.
    runtime.shutdown_timeout(LAST_WAIT);
    ended?;
    Ok(ExitCode::SUCCESS)
}

fn start_log(context: &Context) -> anyhow::Result<()> {
    let config = &context.config;
    let logging = &config.webhooks.logging;
    let intake = if logging.enabled { logging.level.to_string().to_lowercase() } else { "off".into() };
    telemetry::init(LogOptions {
        dir: config.data_dir.join("logs"),
        filter: format!("info,hookhand::intake={intake}"),
        warn_on_stderr: true,
        redactor: Redactor::new(app::all_secrets(config)),
    })?;
    Ok(())
}

async fn serve(context: Context, abort: Option<AbortPoint>) -> anyhow::Result<()> {
    let shutdown = Shutdown::new();
    let deps = Deps { abort, ..deps()? };
    let agent = Agent::start(context.config, deps, shutdown.clone()).await?;
    for line in agent.banner(&invocation()) {
        out::line(line)?;
    }
    let signals = shutdown.clone();
    tokio::spawn(async move {
        if let Err(error) = signals.listen_to_signals().await {
            tracing::error!(error = %error, "cannot listen for signals; only kill stops the agent");
        }
    });
    shutdown.stopping().await;
    out::error("stopping: finishing what is in flight (Ctrl-C again stops at once)");
    agent.finish().await.context("the agent stopped")?;
    Ok(())
}

/// What the agent takes from its surroundings.
pub(super) fn deps() -> anyhow::Result<Deps> {
    Ok(Deps {
        terminal: Box::new(std::io::stdout()),
        colour: out::colour(),
        process_env: process_env(),
        ..Deps::unattended(this_program()?)
    })
}

/// This very program, for the processes that hold steps. On Linux by a name that means the running file, so that steps go on
/// while an upgrade replaces the file on disk.
pub(super) fn this_program() -> anyhow::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if cfg!(target_os = "linux") && running.exists() {
        return Ok(running.to_owned());
    }
    std::env::current_exe().context("cannot tell where this program is")
}

/// What processes of steps get from our environment: the language and the time zone, and nothing that could be a secret.
#[allow(clippy::disallowed_methods, reason = "the command line reads the environment")]
fn process_env() -> Vec<(String, String)> {
    let value = |name: &str| std::env::var(name).ok().map(|value| (name.to_owned(), value));
    ["LANG", "LC_ALL", "TZ"].into_iter().filter_map(value).collect()
}

/// How the user can call this binary: by its name where the shell would find it, else by its path.
pub(super) fn invocation() -> String {
    let called = std::env::args().next().unwrap_or_else(|| "agent".into());
    let by_name = !called.contains('/');
    let exe = std::env::current_exe().ok();
    let here = std::env::current_dir().ok();
    match (by_name, exe, here) {
        (false, Some(exe), Some(here)) => match exe.strip_prefix(&here) {
            Ok(below) => Path::new(".").join(below).display().to_string(),
            Err(_) => exe.display().to_string(),
        },
        _ => "agent".into(),
    }
}
