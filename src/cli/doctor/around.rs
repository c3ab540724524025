//! What workflows lean on: their files and schedules, the servers whose tools they use, the collector of traces.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::report::Report;
use crate::app;
use crate::cli::context::Context;
use crate::config::Config;
use crate::ports::{Clock, SystemClock};
use crate::telemetry::Redactor;
use crate::tool::mcp::{McpServers, READY_WAIT_MAX, Server, State};

/// Workflow files, and when the schedules among them start next.
pub(super) fn workflows(context: &Context, report: &mut Report) {
    let catalog = app::load_workflows(&context.config);
    for fault in catalog.faults() {
        report.warn("workflows", fault.to_string(), "'agent check' shows every fault; the file is not used");
    }
    let workflows = catalog.list();
    report.ok("workflows", format!("{} can be used", workflows.len()));
    let now = SystemClock.now();
    for workflow in workflows.iter().filter(|workflow| workflow.schedule.is_some()) {
        let name = &workflow.name;
        match workflow.next_words(now) {
            _ if !workflow.enabled => report.ok("schedule", format!("{name} is not enabled")),
            Some(next) => report.ok("schedule", format!("{name}: {next}")),
            None => report.warn("schedule", format!("{name} has no time to come"), "look at its schedule.cron"),
        }
    }
}

/// Whether each MCP server says hello and lists its tools. They are started for that, and ended.
pub(super) async fn mcp(config: &Config, report: &mut Report) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let servers = McpServers::new(&config.mcp, &clock, Arc::new(Redactor::new(app::all_secrets(config))));
    for server in servers.all() {
        let name = format!("mcp {}", server.name());
        match first_state(server, clock.as_ref()).await {
            State::Ready { tools, .. } => {
                let tools = tools.len();
                report.ok(&name, format!("lists {tools} tool{}", if tools == 1 { "" } else { "s" }));
            }
            State::Down { reason } => {
                report.bad(&name, reason, "run its command by hand in its folder; steps that use its tools fail");
            }
            State::Starting => {
                let message = format!("has not said hello within {} s", READY_WAIT_MAX.as_secs());
                report.warn(&name, message, "run its command by hand; one that installs itself takes longer at first");
            }
        }
    }
}

/// What becomes of a server that is started now.
async fn first_state(server: &Server, clock: &dyn Clock) -> State {
    let mut watched = server.watch();
    let known = async {
        let settled = watched.wait_for(|state| !matches!(state, State::Starting)).await;
        settled.map(|state| state.clone()).unwrap_or_default()
    };
    tokio::select! {
        state = known => state,
        () = clock.sleep(READY_WAIT_MAX) => State::Starting,
        // Dropped with this function, and the process with it.
        () = server.run(CancellationToken::new()) => server.state(),
    }
}

/// Whether the collector of traces takes what it is sent; it is sent nothing.
pub(super) async fn traces(config: &Config, report: &mut Report) {
    let Some(otlp) = &config.otlp else { return };
    let taken = match app::collector(otlp) {
        Ok(collector) => collector.export(Vec::new()).await,
        Err(error) => Err(error),
    };
    match taken {
        Ok(()) => report.ok("traces", format!("{} takes them", otlp.endpoint)),
        Err(why) => {
            let why = Redactor::new(app::all_secrets(config)).clean(&why).into_owned();
            let fix = "look at telemetry.otlp.endpoint and headers; events and runs do not need it";
            report.warn("traces", format!("{} does not take them: {why}", otlp.endpoint), fix);
        }
    }
}
