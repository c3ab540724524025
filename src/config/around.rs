//! The sections `digest` and `telemetry`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::effective::Origin;
use super::reader::{Problem, Reader, Section};
use super::{Config, Secret, values};

/// The daily digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// Hour and minute of the day.
    pub at: (u8, u8),
    /// The name of the time zone, which exists.
    pub timezone: String,
    /// The chat that gets it.
    pub chat: String,
}

/// Where traces go.
#[derive(Debug, Clone)]
pub struct Otlp {
    /// The whole URL.
    pub endpoint: String,
    /// Headers of each request.
    pub headers: BTreeMap<String, Secret>,
    /// The service's name.
    pub service_name: String,
    /// The longest wait for an answer.
    pub timeout: Duration,
}

/// Reads `digest`; `None` when there is none.
pub(super) fn digest(r: &mut Reader<'_>, top: &Section) -> Option<Digest> {
    if top.written("digest").is_none() {
        r.record("digest".to_owned(), serde_json::Value::Null, Origin::Default);
        return None;
    }
    let s = r.section(top, "digest");
    let at = r.defaulted(&s, "at", time_of_day);
    let timezone = r.defaulted(&s, "timezone", time_zone);
    let chat = r.defaulted(&s, "chat", values::text);
    Some(Digest { at, timezone, chat })
}

/// Reads `telemetry.otlp`; `None` without an endpoint.
pub(super) fn otlp(r: &mut Reader<'_>, top: &Section) -> Option<Otlp> {
    let s = r.section(top, "telemetry");
    let s = r.section(&s, "otlp");
    let endpoint = r.value(&s, "endpoint", values::url);
    let name = |name: &str| name.parse::<http::HeaderName>().is_ok();
    let headers = r.secret_map(&s, "headers", name);
    let service_name = r.defaulted(&s, "service_name", values::text);
    let timeout = r.defaulted(&s, "timeout_seconds", values::integer("telemetry.otlp.timeout_seconds"));
    let mut endpoint = endpoint?;
    if !endpoint.ends_with("/v1/traces") {
        endpoint.push_str("/v1/traces");
    }
    Some(Otlp { endpoint, headers, service_name, timeout: Duration::from_secs(timeout) })
}

/// Checks that the digest's chat exists.
pub(super) fn check(r: &mut Reader<'_>, top: &Section, config: &Config) {
    if let (Some(digest), Some(entry)) = (&config.digest, top.written("digest")) {
        let site = r.site(entry.value.at);
        super::rules::chat_exists(r, config, &site, "digest.chat", &digest.chat);
    }
}

/// `18:00`.
fn time_of_day(text: &str) -> Result<(u8, u8), Problem> {
    let parsed = text.split_once(':').and_then(|(hour, minute)| {
        let digits = |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let number = |part: &str| part.parse::<u8>().ok().filter(|_| digits(part));
        Some((number(hour)?, number(minute)?)).filter(|(hour, minute)| *hour < 24 && *minute < 60 && text.len() >= 4)
    });
    parsed.ok_or_else(|| Problem::expected("a time of day such as 18:00"))
}

/// The name of a time zone.
pub(super) fn time_zone(text: &str) -> Result<String, Problem> {
    let expected = || Problem::expected("a time zone such as Europe/Berlin, America/New_York or UTC");
    jiff::tz::TimeZone::get(text).map(|_| text.to_owned()).map_err(|_| expected())
}
