//! The section `webhooks` without its handlers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files;
use super::reader::{Reader, Section};
use super::values;
use super::{ForwardedHeader, RateLimit, RequestLogging, Tls, Webhooks, handlers};

/// The variables whose secret serves every route without one of its own, first wins.
pub(super) const COMMON_SECRET_VARIABLES: [&str; 2] = ["WEBHOOK_SECRET", "ASSISTANT_WEBHOOK_SECRET"];

const FORWARDED: &[(&str, ForwardedHeader)] =
    &[("x-forwarded-for", ForwardedHeader::XForwardedFor), ("forwarded", ForwardedHeader::Forwarded)];
const LEVELS: &[(&str, tracing::Level)] = &[
    ("TRACE", tracing::Level::TRACE),
    ("DEBUG", tracing::Level::DEBUG),
    ("INFO", tracing::Level::INFO),
    ("WARN", tracing::Level::WARN),
    ("ERROR", tracing::Level::ERROR),
    // The names that Python's logging uses, which older files have.
    ("WARNING", tracing::Level::WARN),
    ("CRITICAL", tracing::Level::ERROR),
];

/// Reads the section; `default_handlers` are there when no handlers are written. `secret_variables` are those that manifests
/// name, by provider.
pub(super) fn read(
    r: &mut Reader<'_>,
    top: &Section,
    default_handlers: &[&str],
    secret_variables: &BTreeMap<String, String>,
) -> Webhooks {
    let s = r.section(top, "webhooks");
    let enabled = r.defaulted(&s, "enabled", values::flag);
    let host = r.defaulted(&s, "host", values::address);
    let port = r.defaulted(&s, "port", values::integer("webhooks.port"));
    let public_url = r.value(&s, "public_url", values::url);
    let max_body_bytes = r.defaulted(&s, "max_body_bytes", values::integer("webhooks.max_body_bytes"));
    let allowed_ips = r.list(&s, "allowed_ips", false, values::cidr);
    let trusted_proxies = r.list(&s, "trusted_proxies", false, values::cidr);
    let forwarded_header = r.defaulted(&s, "forwarded_header", values::word(FORWARDED));
    let rate_limit = rate_limit(r, &s);
    let tls = tls(r, &s);
    let logging = logging(r, &s);
    let allow_unsigned = r.defaulted(&s, "allow_unsigned", values::flag);
    let common = r.secret_variable(COMMON_SECRET_VARIABLES.into_iter());
    if common.is_some() {
        r.record_secret("webhooks.common_secret".to_owned(), common.as_ref());
    }
    let fallback = handlers::Fallback { common: common.as_ref(), secret_variables, allow_unsigned };
    let handlers = handlers::read(r, &s, default_handlers, fallback);
    Webhooks {
        enabled,
        host,
        port,
        public_url,
        max_body_bytes,
        allowed_ips,
        trusted_proxies,
        forwarded_header,
        rate_limit,
        tls,
        logging,
        allow_unsigned,
        common_secret: common.map(|known| known.secret),
        handlers,
    }
}

/// The limit of `parent`; `None` when it is switched off.
pub(super) fn rate_limit(r: &mut Reader<'_>, parent: &Section) -> Option<RateLimit> {
    let s = r.section(parent, "rate_limit");
    let enabled = r.defaulted(&s, "enabled", values::flag);
    let max_requests: u32 = r.defaulted(&s, "max_requests", values::integer("webhooks.rate_limit.max_requests"));
    let seconds = r.defaulted(&s, "window_seconds", values::integer("webhooks.rate_limit.window_seconds"));
    let max_requests = std::num::NonZeroU32::new(max_requests)?;
    enabled.then_some(RateLimit { max_requests, window: Duration::from_secs(seconds) })
}

fn tls(r: &mut Reader<'_>, parent: &Section) -> Option<Tls> {
    let s = r.section(parent, "ssl");
    let enabled = r.defaulted(&s, "enabled", values::flag);
    let switched = r.said(&s, "enabled");
    let cert = pem(r, &s, "cert");
    let key = pem(r, &s, "key");
    match (cert, key) {
        (Some(cert), Some(key)) => (enabled || !switched).then_some(Tls { cert, key }),
        (None, None) if !enabled => None,
        (cert, key) => {
            for (name, present) in [("cert", cert.is_some()), ("key", key.is_some())] {
                if !present {
                    let site = r.site_of(&s, name);
                    let why = if enabled { "TLS is enabled" } else { "the other half of the pair is given" };
                    r.fault(&site, &s.path_of(name), format!("is missing, and {why}"), None);
                }
            }
            None
        }
    }
}

fn pem(r: &mut Reader<'_>, s: &Section, key: &str) -> Option<PathBuf> {
    let path = r.value(s, key, values::text)?;
    let path = files::resolve(&r.folder, &path);
    if let Some(problem) = unreadable(&path) {
        let site = r.site_of(s, key);
        r.fault(&site, &s.path_of(key), format!("the file {} {problem}", path.display()), None);
    }
    Some(path)
}

/// Asks what it is before opening it: opening a pipe would wait for its writer.
fn unreadable(path: &Path) -> Option<String> {
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => Some("is no file".to_owned()),
        Ok(_) => std::fs::File::open(path).err().map(|error| format!("cannot be read: {}", files::reason(&error))),
        Err(error) => Some(format!("cannot be read: {}", files::reason(&error))),
    }
}

fn logging(r: &mut Reader<'_>, parent: &Section) -> RequestLogging {
    let s = r.section(parent, "logging");
    RequestLogging {
        enabled: r.defaulted(&s, "enabled", values::flag),
        level: r.defaulted(&s, "level", values::word(LEVELS)),
        include_headers: r.defaulted(&s, "include_headers", values::flag),
        include_payload: r.defaulted(&s, "include_payload", values::flag),
    }
}
