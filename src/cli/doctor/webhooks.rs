//! Secrets, proxies and the public address: whether senders can reach the handlers, and nobody else can speak for them.

use super::Told;
use super::agent::{get, version};
use super::report::Report;
use crate::app;
use crate::config::{self, Config, Handler};
use crate::domain::net::Cidr;
use crate::provider::Registry;

/// A shorter secret can be guessed.
const SECRET_CHARS_MIN: usize = 16;

pub(super) fn handlers(config: &Config, registry: &Registry, report: &mut Report) {
    let enabled: Vec<&Handler> = config.webhooks.handlers.values().filter(|handler| handler.enabled).collect();
    if enabled.is_empty() {
        report.warn(
            "handlers",
            "none is enabled, so nothing is taken",
            "add one under webhooks.handlers: agent webhook add github",
        );
        return;
    }
    let mut unsigned: Vec<&Handler> = Vec::new();
    for handler in &enabled {
        let secrets = app::secrets_of(handler, config);
        let name = format!("handler {}", handler.name);
        let provider = app::provider_of(handler, registry);
        // Nobody chooses a public key or what the sender makes, and no length makes them better.
        let is_chosen = provider.is_none_or(|provider| !provider.issues_secret() && !provider.signs_with_private_key());
        if secrets.is_empty() {
            unsigned.push(handler);
        } else if is_chosen && secrets.iter().any(|secret| secret.expose().chars().count() < SECRET_CHARS_MIN) {
            let message = format!("its secret has fewer than {SECRET_CHARS_MIN} characters and can be guessed");
            report.warn(&name, message, "take a long random one, here and at the sender: openssl rand -hex 20");
        } else if handler.allow_unsigned {
            let message = "has a secret, and allow_unsigned accepts requests without a signature all the same";
            report.warn(&name, message, "remove allow_unsigned once every sender signs");
        } else {
            report.ok(&name, if secrets.len() > 1 { format!("{} secrets", secrets.len()) } else { "a secret".into() });
        }
    }
    without_secret(config, &unsigned, report);
}

fn without_secret(config: &Config, unsigned: &[&Handler], report: &mut Report) {
    let (open, closed): (Vec<&Handler>, Vec<&Handler>) = unsigned.iter().partition(|handler| handler.allow_unsigned);
    if !open.is_empty() {
        let message = format!("allow_unsigned takes requests of anybody at {}", names(&open));
        report.warn("handlers", message, "set a secret, or limit who may call with allowed_ips");
    }
    let Some(first) = closed.first() else { return };
    let fix = format!("set {} in .env, and so on", config::secret_variable(&first.name));
    let fix = if closed.len() == 1 { fix.trim_end_matches(", and so on").to_owned() } else { fix };
    if !config.webhooks.host.is_loopback() {
        report.bad("handlers", format!("no secret: {}", names(&closed)), fix);
    } else if config.webhooks.public_url.is_some() {
        let message = format!("no secret, so what comes through a proxy is refused: {}", names(&closed));
        report.bad("handlers", message, fix);
    } else {
        report.warn("handlers", format!("no secret, so requests of this machine only: {}", names(&closed)), fix);
    }
}

fn names(handlers: &[&Handler]) -> String {
    handlers.iter().map(|handler| handler.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Whether the client's address can be believed where a proxy stands before us.
pub(super) fn proxies(config: &Config, report: &mut Report) {
    let webhooks = &config.webhooks;
    let anybody = |range: &&Cidr| range.to_string().ends_with("/0");
    if let Some(range) = webhooks.trusted_proxies.iter().find(anybody) {
        let message = format!("trusted_proxies has {range}: anybody may write any client address into a header");
        report.bad("proxy", message, "name the proxy's own address, such as 127.0.0.1");
    } else if webhooks.public_url.is_some() && webhooks.host.is_loopback() && webhooks.trusted_proxies.is_empty() {
        let message = "public_url is set and only this machine can connect, so a proxy stands before; without trusted_proxies \
                       all its clients count as one for rate_limit and allowed_ips";
        report.warn("proxy", message, "webhooks.trusted_proxies: [127.0.0.1]");
    } else if !webhooks.trusted_proxies.is_empty() {
        let list: Vec<String> = webhooks.trusted_proxies.iter().map(ToString::to_string).collect();
        report.ok("proxy", format!("client addresses are believed from {}", list.join(", ")));
    }
}

/// Whether the public address leads to this agent. Gives the time there.
pub(super) async fn public_url(config: &Config, listening: Option<&str>, report: &mut Report) -> Option<Told> {
    let base = config.webhooks.public_url.as_deref()?;
    if !base.starts_with("https://") {
        report.warn(
            "public URL",
            format!("{base} is not encrypted, so payloads can be read on their way"),
            "use https",
        );
    }
    if listening.is_none() {
        report.ok("public URL", format!("{base}; not tried, as no webhook server runs"));
        return None;
    }
    match get(&format!("{base}/health")).await {
        Ok(answer) if version(&answer).is_some() => {
            report.ok("public URL", format!("{base} leads here"));
            Told::now("the public URL", answer.date)
        }
        Ok(answer) => {
            let message = format!("{base}/health answers HTTP {}, and not as an agent does", answer.status.as_u16());
            report.warn("public URL", message, "let the proxy pass /webhooks/ and /health to the webhook server");
            None
        }
        Err(reason) => {
            let message = format!("{base} does not answer from here: {reason}");
            report.warn("public URL", message, "try it from another network; some routers do not lead back in");
            None
        }
    }
}
