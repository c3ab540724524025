//! The manifest as a person writes it: YAML in, plain structs out, with the place of everything that may be wrong later.
//!
//! Only shapes are here. What they mean is decided in `compile`, which checks them; nothing else sees these types, so the
//! written form can grow without touching the engine. `docs/PROVIDERS.md` describes every key.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::Spanned;

/// Reads YAML as of today: `no`, `on` and `y` are words, `010` is no number, as in JSON payloads they would be written.
pub(super) fn from_yaml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, serde_yaml::Error> {
    let options = serde_yaml::options! { strict_booleans: true, leading_zero_numbers_as_strings: true };
    serde_yaml::from_str_with_options(text, options)
}

/// One sender.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub name: Spanned<String>,
    pub title: Option<String>,
    pub docs: Option<String>,
    /// What a person does at the sender, a step each.
    #[serde(default)]
    pub setup: Vec<String>,
    #[serde(default)]
    pub sender: Sender,
    #[serde(default)]
    pub signature: SignatureSpec,
    #[serde(default)]
    pub event: LookupSpec,
    #[serde(default)]
    pub delivery: LookupSpec,
    #[serde(default)]
    pub handshake: Vec<Spanned<HandshakeSpec>>,
    #[serde(default)]
    pub headers: Vec<Spanned<String>>,
    #[serde(default)]
    pub facts: Ordered<Spanned<String>>,
    #[serde(default)]
    pub summaries: Ordered<SummarySpec>,
    #[serde(default)]
    pub events: Vec<EventSpec>,
}

/// How the sender behaves: for the answers we give and for people.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sender {
    pub timeout: Option<String>,
    /// Who makes the secret.
    #[serde(default)]
    pub secret: SecretMaker,
    pub retries: Option<String>,
    pub overload_status: Option<Spanned<u16>>,
    pub rate_limit_status: Option<Spanned<u16>>,
    pub success_status: Option<Spanned<u16>>,
    #[serde(default)]
    pub body: BodyForm,
    /// A way to sign that many services have and the name of none: messages say "the sender".
    #[serde(default)]
    pub generic: bool,
}

/// How the sender writes a body.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BodyForm {
    #[default]
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
}

/// Who makes the secret.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SecretMaker {
    /// We do, and it is typed into the sender's form.
    #[default]
    Chosen,
    /// The sender does, and shows it.
    Issued,
}

/// How requests are signed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignatureSpec {
    #[serde(default)]
    pub mode: Mode,
    #[serde(default)]
    pub schemes: Vec<Spanned<SchemeSpec>>,
    /// Headers that are a signature of a kind we do not take, and what to say about them.
    #[serde(default)]
    pub refused: Ordered<Spanned<String>>,
}

/// Which of the schemes decide.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    #[default]
    First,
    All,
}

/// One way to sign.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SchemeSpec {
    pub kind: KindSpec,
    pub header: Spanned<String>,
    pub algorithm: Option<Algorithm>,
    pub encoding: Option<Encoding>,
    #[serde(default)]
    pub prefix: String,
    #[serde(default)]
    pub prefix_optional: bool,
    pub content: Option<Spanned<String>>,
    #[serde(default)]
    pub key: KeyForm,
    pub key_prefix: Option<String>,
    #[serde(default)]
    pub list: ListForm,
    pub field: Option<String>,
    pub timestamp: Option<Spanned<TimestampSpec>>,
    pub id_header: Option<Spanned<String>>,
    pub body_hash_query: Option<String>,
}

impl SchemeSpec {
    /// HMAC-SHA256 of the body in hex, with or without `sha256=`: what a header's name alone most likely means.
    pub(super) fn hex_of_body(header: Spanned<String>) -> Self {
        Self {
            kind: KindSpec::Hmac,
            header,
            algorithm: None,
            encoding: None,
            prefix: "sha256=".into(),
            prefix_optional: true,
            content: None,
            key: KeyForm::Raw,
            key_prefix: None,
            list: ListForm::None,
            field: None,
            timestamp: None,
            id_header: None,
            body_hash_query: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KindSpec {
    Hmac,
    Ed25519,
    Token,
    Basic,
}

/// The hash beneath an HMAC.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Algorithm {
    Sha1,
    #[default]
    Sha256,
    Sha512,
}

/// How signature bytes are written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    #[default]
    Hex,
    Base64,
}

/// How the secret's text becomes key bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KeyForm {
    /// The text itself, every character of it.
    #[default]
    Raw,
    /// Base64 after a prefix such as `whsec_`, which may be left out.
    #[serde(alias = "base64")]
    Base64AfterPrefix,
    /// Hexadecimal.
    Hex,
}

/// How several signatures stand in one header.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ListForm {
    #[default]
    None,
    Comma,
    Space,
    /// `t=…,v1=…,v1=…`
    #[serde(alias = "stripe")]
    Pairs,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimestampSpec {
    pub header: Option<Spanned<String>>,
    pub field: Option<String>,
    pub payload: Option<String>,
    #[serde(default)]
    pub unit: TimeUnit,
    pub window: Option<Spanned<String>>,
}

/// How a timestamp is written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TimeUnit {
    #[default]
    S,
    Ms,
    Rfc3339,
}

/// Where a value may stand, in the order in which the manifest lists `header` and `payload`.
#[derive(Debug, Default)]
pub(super) struct LookupSpec {
    pub sources: Vec<SourceSpec>,
    pub action: Vec<String>,
    pub required: bool,
    pub default: Option<String>,
}

#[derive(Debug)]
pub(super) enum SourceSpec {
    Header(Spanned<String>),
    Payload(Spanned<String>),
}

impl<'de> Deserialize<'de> for LookupSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LookupVisitor;
        impl<'de> Visitor<'de> for LookupVisitor {
            type Value = LookupSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping with `header`, `payload`, `action`, `required` or `default`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LookupSpec, A::Error> {
                const KEYS: &[&str] = &["header", "payload", "action", "required", "default"];
                let mut spec = LookupSpec::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "header" => {
                            spec.sources.extend(map.next_value::<Spanned<OneOrMany>>()?.map_each(SourceSpec::Header))
                        }
                        "payload" => {
                            spec.sources.extend(map.next_value::<Spanned<OneOrMany>>()?.map_each(SourceSpec::Payload))
                        }
                        "action" => spec.action = map.next_value::<OneOrMany>()?.0,
                        "required" => spec.required = map.next_value()?,
                        "default" => spec.default = Some(map.next_value()?),
                        _ => return Err(serde::de::Error::unknown_field(&key, KEYS)),
                    }
                }
                Ok(spec)
            }
        }
        deserializer.deserialize_map(LookupVisitor)
    }
}

/// One text or a list of texts.
#[derive(Debug)]
struct OneOrMany(Vec<String>);

trait MapEach {
    fn map_each(self, make: fn(Spanned<String>) -> SourceSpec) -> Vec<SourceSpec>;
}

impl MapEach for Spanned<OneOrMany> {
    fn map_each(self, make: fn(Spanned<String>) -> SourceSpec) -> Vec<SourceSpec> {
        let (referenced, defined) = (self.referenced, self.defined);
        self.value.0.into_iter().map(|value| make(Spanned { value, referenced, defined })).collect()
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrManyVisitor;
        impl<'de> Visitor<'de> for OneOrManyVisitor {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = seq.next_element()? {
                    texts.push(text);
                }
                Ok(OneOrMany(texts))
            }
        }
        deserializer.deserialize_any(OneOrManyVisitor)
    }
}

/// A request that is a question, and its answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HandshakeSpec {
    pub when: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    pub reply: ReplySpec,
    /// Keep it as an event, so that people read that the sender is connected.
    #[serde(default)]
    pub keep: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplySpec {
    pub status: Option<u16>,
    pub json: Option<serde_json::Value>,
    pub json_echo: Option<String>,
    pub text: Option<String>,
    pub text_echo: Option<String>,
    #[serde(default)]
    pub headers: Ordered<String>,
}

/// How events of one pattern read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SummarySpec {
    pub title: Spanned<String>,
    #[serde(default)]
    pub lines: Vec<Spanned<String>>,
    pub url: Option<Spanned<String>>,
    pub severity: Option<Spanned<String>>,
    pub subject: Option<Spanned<String>>,
}

/// An event that the sender is known to send.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventSpec {
    pub name: Spanned<String>,
    #[serde(default)]
    pub description: String,
    pub example: Option<serde_json::Value>,
    pub example_file: Option<Spanned<String>>,
    pub schema: Option<serde_json::Value>,
    /// Headers that the sender adds to this event and that templates read.
    #[serde(default)]
    pub headers: Ordered<String>,
}

/// A mapping whose order matters.
#[derive(Debug)]
pub(super) struct Ordered<T>(pub Vec<(String, T)>);

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OrderedVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OrderedVisitor<T> {
            type Value = Ordered<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered<T>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Ordered(pairs))
            }
        }
        deserializer.deserialize_map(OrderedVisitor(PhantomData))
    }
}
