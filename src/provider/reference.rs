//! The `integrations/<name>/provider.yaml` shape of an earlier system, read as if it were one of our manifests.
//!
//! It knows a signature header and a list of events, and nothing about how they read. So it stands on a manifest of ours:
//! the built-in one of the same name, whose formulas and summaries stay, or else `custom` with that header.

use serde::Deserialize;
use serde_json::Value;
use serde_yaml::Spanned;

use super::Provider;
use super::compile::{self, Embedded};
use super::faults::Faults;
use super::manifest::{EventSpec, LookupSpec, Manifest, Mode, Ordered, SchemeSpec, SourceSpec, from_yaml};
use crate::domain::fault::Fault;

/// The manifest on which unknown senders stand.
const GENERIC: &str = "custom";

/// What we read of it; other keys are about calling the service and no concern of ours.
#[derive(Debug, Deserialize)]
struct Reference {
    name: Spanned<String>,
    #[serde(default)]
    webhook_events: Vec<ReferenceEvent>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
struct ReferenceEvent {
    name: Spanned<String>,
    #[serde(default)]
    description: String,
    payload_schema: Option<Value>,
    example_payload: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    webhook_config: Option<WebhookConfig>,
}

#[derive(Debug, Deserialize)]
struct WebhookConfig {
    signature_header: Option<Spanned<String>>,
    signature_algorithm: Option<Spanned<String>>,
    secret: Option<Spanned<String>>,
}

/// Whether a file has that shape: keys at the top that our own never has.
pub(super) fn is_reference(text: &str) -> bool {
    let keys = ["webhook_events", "base_url", "metadata"];
    from_yaml::<Value>(text).is_ok_and(|value| keys.iter().any(|key| value.get(key).is_some()))
}

/// Reads a file of that shape.
pub(super) fn parse(text: &str, file: &str, builtin: &[Embedded]) -> Result<Provider, Vec<Fault>> {
    let mut faults = Faults::of(file);
    let reference: Reference = match from_yaml(text) {
        Ok(reference) => reference,
        Err(error) => {
            faults.yaml(&error);
            return Err(faults.into_list());
        }
    };
    let known = builtin.iter().find(|manifest| manifest.name == reference.name.value);
    let base = known.or_else(|| builtin.iter().find(|manifest| manifest.name == GENERIC));
    let base = base.expect("`custom` is built in");
    let mut manifest: Manifest = from_yaml(base.text).expect("built-in manifests are read by a test");
    if known.is_none() {
        rename(&mut manifest, &reference.name);
    }
    let config = reference.metadata.webhook_config.as_ref();
    if let Some(config) = config {
        sign_as(&mut manifest, config, known.is_some(), &mut faults);
    }
    for event in reference.webhook_events {
        add_event(&mut manifest, event);
    }
    let secret_env =
        config.and_then(|config| config.secret.as_ref()).and_then(|secret| secret_env(secret, &mut faults));
    let mut provider = compile::build(&manifest, None, faults)?;
    provider.secret_env = secret_env;
    Ok(provider)
}

/// Makes the generic manifest one of a named sender: its events may be named by `X-<name>-Event`, its deliveries by
/// `X-<name>-Delivery`, as most senders do.
fn rename(manifest: &mut Manifest, name: &Spanned<String>) {
    let place = |text: String| Spanned { value: text, referenced: name.referenced, defined: name.defined };
    let header = |what: &str| SourceSpec::Header(place(format!("x-{}-{what}", name.value.trim())));
    let put_first = |lookup: &mut LookupSpec, source: SourceSpec| lookup.sources.insert(0, source);
    let mut chars = name.value.chars();
    manifest.title = chars.next().map(|first| first.to_uppercase().chain(chars).collect());
    manifest.events.clear();
    put_first(&mut manifest.event, header("event"));
    put_first(&mut manifest.delivery, header("delivery"));
    manifest.name = place(name.value.clone());
}

/// Takes over the signature header. Where a built-in manifest knows that header, its formula is the better one: this shape
/// cannot say what is signed.
fn sign_as(manifest: &mut Manifest, config: &WebhookConfig, known: bool, faults: &mut Faults) {
    if let Some(algorithm) = &config.signature_algorithm
        && !matches!(algorithm.value.as_str(), "hmac_sha256" | "hmac-sha256" | "sha256")
    {
        faults.on(
            algorithm,
            "metadata.webhook_config.signature_algorithm",
            format!("'{}' is not supported", algorithm.value),
        );
        faults.hint("this shape takes hmac_sha256; for others write a manifest, see docs/PROVIDERS.md");
    }
    let Some(header) = &config.signature_header else { return };
    let same = |scheme: &Spanned<SchemeSpec>| scheme.value.header.value.eq_ignore_ascii_case(header.value.trim());
    if known && manifest.signature.schemes.iter().any(same) {
        return;
    }
    let scheme = SchemeSpec::hex_of_body(header.clone());
    manifest.signature.mode = Mode::First;
    manifest.signature.refused = Ordered::default();
    manifest.signature.schemes =
        vec![Spanned { value: scheme, referenced: header.referenced, defined: header.defined }];
}

fn add_event(manifest: &mut Manifest, event: ReferenceEvent) {
    let old = manifest.events.iter().position(|known| known.name.value == event.name.value);
    let old = old.map(|at| manifest.events.remove(at));
    let (description, example, headers) = match old {
        Some(old) => (old.description, old.example, old.headers),
        None => (String::new(), None, Ordered::default()),
    };
    manifest.events.push(EventSpec {
        description: if event.description.is_empty() { description } else { event.description },
        example: event.example_payload.or(example),
        example_file: None,
        schema: event.payload_schema,
        headers,
        name: event.name,
    });
}

/// `{{env.X}}` names the environment variable X. A secret itself does not belong into such a file, and is not told again.
fn secret_env(secret: &Spanned<String>, faults: &mut Faults) -> Option<String> {
    let text = secret.value.trim();
    let braces = text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).map(str::trim);
    let name = braces
        .and_then(|inner| inner.strip_prefix("env."))
        .or_else(|| text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')));
    let named = |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let found = name.map(str::trim).filter(named).map(str::to_owned);
    if found.is_none() && !text.is_empty() {
        faults.on(secret, "metadata.webhook_config.secret", "names no environment variable");
        faults.hint("write secret: \"{{env.NAME}}\", and the secret into the environment or .env");
    }
    found
}
