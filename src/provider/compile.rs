//! From the written manifest to a provider: every value checked, every template compiled, every example rendered, and
//! every fault told with its place.

use std::path::Path;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde_yaml::Spanned;

use super::faults::Faults;
use super::handshake::Handshake;
use super::manifest::{EventSpec, LookupSpec, Manifest, SecretMaker, SourceSpec, SummarySpec, from_yaml};
use super::reading::{DeliveryLookup, EventLookup, PayloadPath, Source, UNKNOWN_EVENT, clean_event};
use super::signature::Signature;
use super::summary::{RESERVED, Summaries};
use super::{EventInfo, Provider};
use crate::domain::fault::Fault;

/// Longest provider name, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Largest example file, in bytes.
const EXAMPLE_BYTES_MAX: u64 = 1024 * 1024;

/// A manifest that is part of the program.
#[derive(Debug)]
pub(super) struct Embedded {
    pub name: &'static str,
    pub text: &'static str,
}

/// Reads and checks one manifest. `folder` is where `example_file` is looked up; `None` for embedded ones.
pub(super) fn parse(text: &str, file: &str, folder: Option<&Path>) -> Result<Provider, Vec<Fault>> {
    let mut faults = Faults::of(file);
    match from_yaml::<Manifest>(text) {
        Ok(manifest) => compile(&manifest, folder, faults),
        Err(error) => {
            faults.yaml(&error);
            Err(faults.into_list())
        }
    }
}

/// Reads a manifest whose templates a test has tried on its examples, so that start-up need not.
pub(super) fn trusted(text: &str, file: &str) -> Result<Provider, Vec<Fault>> {
    let mut faults = Faults::of(file);
    match from_yaml::<Manifest>(text) {
        Ok(manifest) => build(&manifest, None, faults),
        Err(error) => {
            faults.yaml(&error);
            Err(faults.into_list())
        }
    }
}

/// Checks a manifest that has been read, its examples included.
fn compile(manifest: &Manifest, folder: Option<&Path>, faults: Faults) -> Result<Provider, Vec<Fault>> {
    let file = faults.file().to_owned();
    let provider = build(manifest, folder, faults)?;
    let mut faults = Faults::of(&file);
    check_templates(manifest, &provider, &mut faults);
    if faults.is_empty() { Ok(provider) } else { Err(faults.into_list()) }
}

/// Checks a manifest that has been read, save how its templates do on its examples.
pub(super) fn build(manifest: &Manifest, folder: Option<&Path>, mut faults: Faults) -> Result<Provider, Vec<Fault>> {
    let name = &manifest.name.value;
    let named = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(named) {
        faults.on(&manifest.name, "name", "a provider's name is 1 to 64 lower-case letters, digits, '-' or '_'");
    }
    let title = manifest.title.clone().filter(|t| !t.trim().is_empty()).unwrap_or_else(|| name.clone());
    let headers: Vec<String> = manifest.headers.iter().filter_map(|h| header_name(h, "headers", &mut faults)).collect();
    let provider = Provider {
        name: name.clone(),
        docs: manifest.docs.clone(),
        setup: manifest.setup.clone(),
        answer_within: manifest.sender.timeout.as_deref().and_then(first_duration),
        timeout: manifest.sender.timeout.clone(),
        body: manifest.sender.body,
        retries: manifest.sender.retries.clone(),
        secret_env: None,
        overload_status: status(
            manifest.sender.overload_status.as_ref(),
            "sender.overload_status",
            503,
            400..600,
            &mut faults,
        ),
        rate_limit_status: status(
            manifest.sender.rate_limit_status.as_ref(),
            "sender.rate_limit_status",
            429,
            400..600,
            &mut faults,
        ),
        success_status: status(
            manifest.sender.success_status.as_ref(),
            "sender.success_status",
            200,
            200..300,
            &mut faults,
        ),
        generic: manifest.sender.generic,
        issues_secret: manifest.sender.secret == SecretMaker::Issued,
        signature: Signature::compile(&manifest.signature, &mut faults),
        event: event_lookup(&manifest.event, &mut faults),
        delivery: delivery_lookup(&manifest.delivery, &mut faults),
        handshakes: handshakes(manifest, &mut faults),
        summaries: summaries(manifest, &title, headers.clone(), &mut faults),
        events: manifest.events.iter().filter_map(|spec| event_info(spec, folder, &mut faults)).collect(),
        headers,
        title,
    };
    if faults.is_empty() { Ok(provider) } else { Err(faults.into_list()) }
}

fn status(
    given: Option<&Spanned<u16>>,
    key: &str,
    default: u16,
    range: std::ops::Range<u16>,
    faults: &mut Faults,
) -> u16 {
    match given {
        Some(status) if !range.contains(&status.value) => {
            faults.on(
                status,
                key,
                format!("{} is not a status from {} to {}", status.value, range.start, range.end - 1),
            );
            default
        }
        Some(status) => status.value,
        None => default,
    }
}

/// The time that `10s (30s on a server of its own)` begins with; other words are for people alone.
fn first_duration(text: &str) -> Option<Duration> {
    let word = text.split_whitespace().next()?.trim_end_matches([',', ';']);
    let found = word.parse::<jiff::SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    found.filter(|time| !time.is_zero())
}

fn header_name(text: &Spanned<String>, key: &str, faults: &mut Faults) -> Option<String> {
    header(text, &text.value, key, faults).map(|name| name.as_str().to_owned())
}

/// Reads a header's name, or tells the fault.
pub(super) fn header<T>(at: &Spanned<T>, text: &str, key: &str, faults: &mut Faults) -> Option<HeaderName> {
    match text.trim().parse() {
        Ok(name) => Some(name),
        Err(_) => {
            faults.on(at, key, format!("'{text}' is no header name"));
            None
        }
    }
}

fn source(spec: &SourceSpec, key: &str, faults: &mut Faults) -> Option<Source> {
    match spec {
        SourceSpec::Header(text) => {
            let names = text.value.split('+').map(|part| header(text, part, &format!("{key}.header"), faults));
            names.collect::<Option<Vec<_>>>().map(Source::Header)
        }
        SourceSpec::Payload(text) => {
            let (label, written) = match text.value.split_once('=') {
                Some((label, path)) => (Some(label.trim().to_owned()), path),
                None => (None, text.value.as_str()),
            };
            if label.as_ref().is_some_and(|label| label.is_empty() || clean_event(label) != *label) {
                faults.on(text, format!("{key}.payload"), "what stands before '=' is no part of an event type");
            }
            let paths: Option<Vec<_>> = written.split('+').map(PayloadPath::parse).collect();
            if paths.is_none() {
                faults.on(text, format!("{key}.payload"), format!("'{written}' is no dotted path"));
            }
            paths.map(|paths| Source::Payload(label, paths))
        }
    }
}

fn event_lookup(spec: &LookupSpec, faults: &mut Faults) -> EventLookup {
    let sources: Vec<Source> = spec.sources.iter().filter_map(|s| source(s, "event", faults)).collect();
    let actions: Vec<PayloadPath> = spec.action.iter().filter_map(|path| PayloadPath::parse(path)).collect();
    if actions.len() < spec.action.len() {
        faults.whole("event.action: every entry is a dotted path");
    }
    let default = spec.default.clone().unwrap_or_else(|| UNKNOWN_EVENT.to_owned());
    EventLookup { sources, actions, required: spec.required, default }
}

fn delivery_lookup(spec: &LookupSpec, faults: &mut Faults) -> DeliveryLookup {
    if !spec.action.is_empty() || spec.required || spec.default.is_some() {
        faults.whole("delivery: `action`, `required` and `default` belong to `event`");
    }
    DeliveryLookup { sources: spec.sources.iter().filter_map(|s| source(s, "delivery", faults)).collect() }
}

fn handshakes(manifest: &Manifest, faults: &mut Faults) -> Vec<Handshake> {
    let mut compiled = Vec::new();
    for spec in &manifest.handshake {
        match Handshake::compile(&spec.value) {
            Ok(handshake) => compiled.push(handshake),
            Err(message) => faults.on(spec, "handshake", message),
        }
    }
    compiled
}

fn summaries(manifest: &Manifest, title: &str, headers: Vec<String>, faults: &mut Faults) -> Summaries {
    let mut summaries = Summaries::new(title, headers);
    for (name, expression) in &manifest.facts.0 {
        let key = format!("facts.{name}");
        if RESERVED.contains(&name.as_str()) {
            faults.on(expression, &key, format!("'{name}' is taken: templates have it already"));
        } else if let Err(error) = summaries.add_fact(name, &expression.value) {
            faults.on(expression, &key, error.message);
        }
    }
    let mut seen: Vec<&str> = Vec::new();
    for (written, spec) in &manifest.summaries.0 {
        let pattern = bare(written);
        if seen.contains(&pattern) {
            faults.on(&spec.title, format!("summaries.{written}"), "two patterns cover the same events");
            continue;
        }
        seen.push(pattern);
        for (part, template) in parts(spec) {
            if let Err(error) = summaries.add_template(pattern, &part, &template.value) {
                faults.on(template, format!("summaries.{written}.{part}"), error.message);
            }
        }
        summaries.add_pattern(pattern, spec);
    }
    summaries.finish()
}

fn parts(spec: &SummarySpec) -> Vec<(String, &Spanned<String>)> {
    let mut parts = vec![("title".to_owned(), &spec.title)];
    parts.extend(spec.lines.iter().enumerate().map(|(index, line)| (format!("lines.{index}"), line)));
    let optional = [("url", &spec.url), ("severity", &spec.severity), ("subject", &spec.subject)];
    parts.extend(optional.into_iter().filter_map(|(name, part)| Some((name.to_owned(), part.as_ref()?))));
    parts
}

fn event_info(spec: &EventSpec, folder: Option<&Path>, faults: &mut Faults) -> Option<EventInfo> {
    let key = format!("events.{}", spec.name.value);
    let mut headers = Vec::new();
    for (name, value) in &spec.headers.0 {
        let name = header(&spec.name, name, &key, faults)?;
        match HeaderValue::from_str(value) {
            Ok(value) => headers.push((name, value)),
            Err(_) => faults.on(&spec.name, &key, format!("the value of header {name} is no header value")),
        }
    }
    let example = match (&spec.example, &spec.example_file) {
        (Some(example), None) => Some(example.clone()),
        (None, Some(file)) => match example_file(&file.value, folder) {
            Ok(example) => Some(example),
            Err(message) => {
                faults.on(file, format!("{key}.example_file"), message);
                None
            }
        },
        (None, None) => None,
        (Some(_), Some(file)) => {
            faults.on(file, format!("{key}.example_file"), "give either `example` or `example_file`");
            None
        }
    };
    Some(EventInfo {
        name: spec.name.value.clone(),
        description: spec.description.clone(),
        example,
        headers,
        has_schema: spec.schema.is_some(),
    })
}

fn example_file(name: &str, folder: Option<&Path>) -> Result<serde_json::Value, String> {
    let folder = folder.ok_or("a built-in manifest has its examples inside")?;
    let path = folder.join(name);
    let size = std::fs::metadata(&path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if size > EXAMPLE_BYTES_MAX {
        return Err(format!("is larger than {EXAMPLE_BYTES_MAX} bytes"));
    }
    let text = std::fs::read(&path).map_err(|error| format!("cannot be read: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| format!("is no JSON: {error}"))
}

/// A template that fails on the manifest's own example would fail on the real thing. Filters and functions are looked up
/// when they are used, so each template is also tried on nothing at all, where only an unknown name is a fault.
fn check_templates(manifest: &Manifest, provider: &Provider, faults: &mut Faults) {
    let mut told: Vec<String> = Vec::new();
    for (pattern, spec) in &manifest.summaries.0 {
        let event = bare(pattern);
        let errors = provider.summaries.try_summarize(event, &serde_json::Value::Null, &[]);
        for error in errors.into_iter().filter(|error| error.unknown_name) {
            if told.contains(&error.key) {
                continue;
            }
            faults.at(place(manifest, &error.key).unwrap_or(spec.title.referenced), &error.key, error.message);
            told.push(error.key);
        }
    }
    for spec in &manifest.events {
        let event = &spec.name.value;
        let info = provider.events.iter().find(|info| &info.name == event);
        let Some(example) = info.and_then(|info| info.example.as_ref()) else { continue };
        let headers: Vec<(String, String)> =
            spec.headers.0.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        for error in provider.summaries.try_summarize(event, example, &headers) {
            if told.contains(&error.key) {
                continue;
            }
            let location = place(manifest, &error.key).unwrap_or(spec.name.referenced);
            faults.at(location, &error.key, format!("{}, with the example of '{event}'", error.message));
            told.push(error.key);
        }
    }
}

/// Where the template or expression of a key stands.
fn place(manifest: &Manifest, key: &str) -> Option<serde_yaml::Location> {
    if let Some(name) = key.strip_prefix("facts.") {
        return manifest.facts.0.iter().find(|(fact, _)| fact == name).map(|(_, spec)| spec.referenced);
    }
    let rest = key.strip_prefix("summaries.")?;
    manifest.summaries.0.iter().find_map(|(written, spec)| {
        let pattern = bare(written);
        let part = rest.strip_prefix(pattern)?.strip_prefix('.')?;
        parts(spec).into_iter().find(|(name, _)| name == part).map(|(_, template)| template.referenced)
    })
}

/// A pattern as the engine has it: `invoice.*` is `invoice`, `*` is `default`.
fn bare(written: &str) -> &str {
    match written.strip_suffix(".*").unwrap_or(written) {
        "*" => "default",
        other => other,
    }
}
