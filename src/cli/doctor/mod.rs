//! `agent doctor`: looks at the running set-up and says, a line a check, what is wrong and what to do.
//!
//! It changes nothing and prints no secret; what it starts (MCP servers) it ends. Every request that leaves the machine is bounded in time, and one
//! check that fails stops no other.

mod agent;
mod around;
mod certificate;
mod machine;
mod model;
mod report;
mod telegram;
mod webhooks;

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use self::report::Report;
use super::context::{self, Context};
use super::{Common, small_runtime};
use crate::app;
use crate::app::data_dir::{self, Presence};
use crate::config::Loaded;
use crate::ports::{Clock, SystemClock};

/// A clock that is off by more: senders' signatures are refused outside 300 s, and their clocks are off too.
const SKEW_SECONDS_MAX: i64 = 30;

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Ask no model (each is asked for one word, which costs a little), start no MCP server, call no collector of traces
    #[arg(long)]
    offline: bool,
}

pub(super) fn doctor(common: &Common, args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    if let Some(context) = configuration(context::load_with(common, false, None)?, &mut report) {
        small_runtime()?.block_on(examine(&context, args, &mut report));
    }
    report.print(args.json)
}

/// The configuration, when it can be used.
fn configuration(loaded: Loaded, report: &mut Report) -> Option<Context> {
    for fault in &loaded.faults {
        report.bad("config", fault.to_string(), "'agent check' shows every fault");
    }
    let context = context::accept(loaded).ok()?;
    let (registry, faults) = app::load_providers(&context.config);
    let wrong = app::handler_faults(&context.config, &registry);
    for fault in &faults {
        report.warn("providers", fault.to_string(), "mend or remove the file; it is not used as it is");
    }
    for fault in &wrong {
        report.bad("handlers", fault.to_string(), "the agent does not start so; 'agent check' shows every fault");
    }
    let file = context.config.file.as_ref();
    let name = file.map_or_else(|| "no file, the defaults".to_owned(), |file| file.display().to_string());
    report.ok("config", name);
    for note in &context.notes {
        report.warn("config", note.to_string(), "");
    }
    Some(context)
}

async fn examine(context: &Context, args: &DoctorArgs, report: &mut Report) {
    let config = &context.config;
    let running = data_dir::running(&config.data_dir);
    machine::data_folder(config, report);
    machine::dotenv(config, report);
    machine::ledger(context, report).await;
    agent::ports(config, running.as_ref(), report);
    let local = agent::health(context, running.as_ref(), report).await;
    machine::tls(config, SystemClock.now(), report);
    webhooks::handlers(config, &app::load_providers(config).0, report);
    webhooks::proxies(config, report);
    let public =
        webhooks::public_url(config, running.as_ref().and_then(|agent: &Presence| agent.webhooks.as_deref()), report)
            .await;
    let telegram = telegram::telegram(config, report).await;
    around::workflows(context, report);
    if args.offline {
        report.ok("elsewhere", "models, MCP servers and the collector of traces were not asked");
    } else {
        model::model(config, report).await;
        around::mcp(config, report).await;
        around::traces(config, report).await;
    }
    clock(telegram.or(public).or(local), report);
}

/// A time that somebody else told, and who.
struct Told {
    by: &'static str,
    theirs: Timestamp,
    /// Our time when the answer was there.
    ours: Timestamp,
}

impl Told {
    fn now(by: &'static str, theirs: Option<Timestamp>) -> Option<Self> {
        Some(Self { by, theirs: theirs?, ours: SystemClock.now() })
    }
}

fn clock(told: Option<Told>, report: &mut Report) {
    let Some(Told { by, theirs, ours }) = told else {
        report.ok("clock", "nobody outside to compare it with");
        return;
    };
    let off = ours.duration_since(theirs).as_secs();
    let way = if off < 0 { "behind" } else { "ahead of" };
    if off.abs() > SKEW_SECONDS_MAX {
        let message =
            format!("{} s {way} that of {by}; signatures that are 300 s old or from the future are refused", off.abs());
        report.warn("clock", message, "turn on time synchronisation: timedatectl set-ntp true");
    } else {
        report.ok("clock", format!("within {SKEW_SECONDS_MAX} s of that of {by}"));
    }
}
