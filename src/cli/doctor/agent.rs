//! The running agent, and the ports that it has or needs.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use http::{HeaderMap, Method};
use serde_json::Value;

use super::Told;
use super::machine::plain;
use super::report::Report;
use crate::app::data_dir::Presence;
use crate::cli::context::Context;
use crate::cli::local;
use crate::config::Config;
use crate::outbound::Answer;

/// Longest wait for an answer of the agent or of what stands before it.
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Whether the configured ports are ours or free.
pub(super) fn ports(config: &Config, running: Option<&Presence>, report: &mut Report) {
    let webhooks = SocketAddr::new(config.webhooks.host, config.webhooks.port);
    let ours = running.and_then(|agent| agent.webhooks.as_deref());
    port("webhooks", "webhooks.port", webhooks, ours, running.is_some(), config.webhooks.enabled, report);
    if config.dashboard.enabled {
        let ours = running.and_then(|agent| agent.api.as_deref());
        port("local API", "dashboard.port", config.dashboard.address, ours, running.is_some(), true, report);
    }
}

fn port(
    what: &str,
    key: &str,
    address: SocketAddr,
    ours: Option<&str>,
    running: bool,
    needed: bool,
    report: &mut Report,
) {
    let name = format!("{what} port");
    if let Some(url) = ours {
        report.ok(&name, format!("the running agent listens on {url}"));
        return;
    }
    if running && needed {
        report.warn(
            &name,
            format!("the running agent does not listen on {address}"),
            "restart it: the configuration changed",
        );
        return;
    }
    match TcpListener::bind(address) {
        Ok(_) if needed => report.ok(&name, format!("{address} is free")),
        Ok(_) => report.ok(&name, format!("{address} is free; 'agent --webhooks' takes it")),
        Err(error) => {
            let fix = match error.kind() {
                ErrorKind::AddrInUse => format!("stop that program (ss -ltnp shows it), or change {key}"),
                ErrorKind::PermissionDenied => {
                    format!("choose a {key} from 1024 on, or let 'agent service install' give the agent the right")
                }
                ErrorKind::AddrNotAvailable => format!("no interface has it: change the host beside {key}"),
                _ => format!("change {key}"),
            };
            let message = match error.kind() {
                ErrorKind::AddrInUse => format!("another program has {address}"),
                _ => format!("{address} cannot be taken: {}", plain(error)),
            };
            report.bad_if(needed, &name, message, fix);
        }
    }
}

/// Asks the running agent how it is, through both of its doors. Gives its time.
pub(super) async fn health(context: &Context, running: Option<&Presence>, report: &mut Report) -> Option<Told> {
    let Some(agent) = running else {
        report.warn("agent", "none is running on this data folder", "start it: agent --webhooks");
        return None;
    };
    let mut told = None;
    let mut versions = Vec::new();
    let doors = [("webhook server", &agent.webhooks), ("local API", &agent.api)];
    for (door, base) in doors.into_iter().filter_map(|(door, base)| Some((door, base.as_ref()?))) {
        match get(&format!("{base}/health")).await {
            Ok(answer) if answer.status.is_success() => {
                told = told.or(Told::now("the running agent", answer.date));
                versions.extend(version(&answer));
            }
            Ok(answer) => {
                let message = format!("its {door} answers HTTP {}", answer.status.as_u16());
                report.bad("agent", message, "agent logs tells why");
            }
            Err(reason) => report.bad("agent", format!("its {door} does not answer: {reason}"), "restart it"),
        }
    }
    let old = versions.iter().find(|version| *version != env!("CARGO_PKG_VERSION"));
    match old {
        Some(version) => {
            let message = format!("runs version {version}, and this program is {}", env!("CARGO_PKG_VERSION"));
            report.warn("agent", message, "restart it");
        }
        None if versions.is_empty() => {}
        None => report.ok("agent", format!("process {} runs and answers", agent.pid)),
    }
    if agent.api.is_some() {
        token(context, report).await;
    }
    told
}

/// Whether the command line may speak to the running agent.
async fn token(context: &Context, report: &mut Report) {
    let asked = local::api(context, Method::GET, "/api/events?limit=1", Vec::new());
    let message = match tokio::time::timeout(ANSWER_WAIT, asked).await {
        Ok(Ok(answer)) if answer.status.is_success() => return,
        Ok(Ok(answer)) => format!("the local API answers HTTP {} to this data folder's token", answer.status.as_u16()),
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => format!("the local API does not answer within {} s", ANSWER_WAIT.as_secs()),
    };
    report.bad("agent", message, "restart the agent; it reads admin_token at its start");
}

/// `GET`, within [`ANSWER_WAIT`].
pub(super) async fn get(url: &str) -> Result<Answer, String> {
    let client = local::client_for(url).map_err(|error| format!("{error:#}"))?;
    let asked = client.send(Method::GET, url, HeaderMap::new(), Vec::new());
    match tokio::time::timeout(ANSWER_WAIT, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", ANSWER_WAIT.as_secs())),
    }
}

/// The version that a `/health` page tells; `None` when it is somebody else's page.
pub(super) fn version(answer: &Answer) -> Option<String> {
    let page: Value = serde_json::from_str(&answer.body).ok()?;
    page.get("queue_depth")?;
    page.get("version")?.as_str().map(str::to_owned)
}
