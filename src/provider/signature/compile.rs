//! From the written schemes to checked ones.

use std::time::Duration;

use http::HeaderName;
use jiff::SignedDuration;
use serde_yaml::Spanned;

use super::super::compile::header;
use super::super::faults::Faults;
use super::super::manifest::{KeyForm, KindSpec, ListForm, SchemeSpec, SignatureSpec, TimestampSpec};
use super::super::reading::PayloadPath;
use super::Signature;
use super::age::{Place, Stamp};
use super::content::Content;
use super::entries::Form;
use super::scheme::{Kind, Scheme, Signed};

/// The window of a timestamp when the manifest does not say: what Stripe, Slack and Standard Webhooks use.
const WINDOW_DEFAULT: Duration = Duration::from_secs(300);
/// The longest window. Past a day a timestamp protects nothing.
const WINDOW_MAX: Duration = Duration::from_secs(86_400);
/// The prefix of a Standard Webhooks secret.
const KEY_PREFIX_DEFAULT: &str = "whsec_";

impl Signature {
    /// Checks the `signature` part of a manifest.
    pub(in super::super) fn compile(spec: &SignatureSpec, faults: &mut Faults) -> Self {
        let mut schemes = Vec::new();
        for (index, written) in spec.schemes.iter().enumerate() {
            let key = format!("signature.schemes.{index}");
            schemes.extend(scheme(written, &key, faults));
        }
        let mut headers: Vec<HeaderName> = Vec::new();
        for scheme in &schemes {
            if !headers.contains(&scheme.header) {
                headers.push(scheme.header.clone());
            }
        }
        let refused = spec.refused.0.iter().filter_map(|(name, message)| {
            Some((header(message, name, "signature.refused", faults)?, message.value.clone()))
        });
        let refused = refused.collect();
        Self { mode: spec.mode, schemes, headers, refused }
    }
}

fn scheme(written: &Spanned<SchemeSpec>, key: &str, faults: &mut Faults) -> Option<Scheme> {
    let spec = &written.value;
    let name = header(&spec.header, &spec.header.value, &format!("{key}.header"), faults)?;
    let kind = match spec.kind {
        KindSpec::Token => {
            refuse_signed_keys(written, key, faults);
            Kind::Token { prefix: spec.prefix.clone() }
        }
        KindSpec::Basic => {
            refuse_signed_keys(written, key, faults);
            Kind::Basic
        }
        KindSpec::Hmac | KindSpec::Ed25519 => Kind::Signed(Box::new(signed(written, key, faults)?)),
    };
    Some(Scheme { header: name, shown: spec.header.value.trim().to_owned(), kind })
}

fn refuse_signed_keys(written: &Spanned<SchemeSpec>, key: &str, faults: &mut Faults) {
    let spec = &written.value;
    let signed =
        spec.content.is_some() || spec.timestamp.is_some() || spec.algorithm.is_some() || spec.id_header.is_some();
    if signed || spec.list != ListForm::None {
        faults.on(
            written,
            key,
            "a token and Basic sign nothing: leave out content, timestamp, algorithm, list and id_header",
        );
    }
}

fn signed(written: &Spanned<SchemeSpec>, key: &str, faults: &mut Faults) -> Option<Signed> {
    let spec = &written.value;
    let text = spec.content.as_ref().map_or("{body}", |content| content.value.as_str());
    let content = match Content::parse(text) {
        Ok(content) => content,
        Err(message) => {
            faults.at(
                spec.content.as_ref().map_or(written.referenced, |c| c.referenced),
                format!("{key}.content"),
                message,
            );
            return None;
        }
    };
    let algorithm = match spec.kind {
        KindSpec::Hmac => Some(spec.algorithm.unwrap_or_default()),
        KindSpec::Ed25519 | KindSpec::Token | KindSpec::Basic => None,
    };
    if algorithm.is_none() && spec.algorithm.is_some() {
        faults.on(written, format!("{key}.algorithm"), "belongs to `kind: hmac`");
    }
    if spec.list != ListForm::Pairs && spec.field.is_some() {
        faults.on(written, format!("{key}.field"), "belongs to `list: pairs`");
    }
    let stamp = match &spec.timestamp {
        Some(timestamp) => Some(stamp(timestamp, spec.list, &format!("{key}.timestamp"), faults)?),
        None => None,
    };
    if content.has_timestamp() && !stamp.as_ref().is_some_and(|s| !matches!(s.place, Place::Payload(_))) {
        faults.on(
            written,
            format!("{key}.timestamp"),
            "the content has {timestamp}, so say in which header or field it is",
        );
    }
    if content.has_id() != spec.id_header.is_some() {
        faults.on(written, format!("{key}.id_header"), "`id_header` and {id} in the content belong together");
    }
    let id_header = match &spec.id_header {
        Some(name) => Some(header(name, &name.value, &format!("{key}.id_header"), faults)?),
        None => None,
    };
    Some(Signed {
        algorithm,
        form: Form {
            list: spec.list,
            field: spec.field.clone().unwrap_or_else(|| "v1".to_owned()),
            prefix: spec.prefix.clone(),
            prefix_optional: spec.prefix_optional,
            encoding: spec.encoding.unwrap_or_default(),
        },
        content,
        key_form: spec.key,
        key_prefix: match (spec.key, &spec.key_prefix) {
            (_, Some(prefix)) => prefix.clone(),
            (KeyForm::Base64AfterPrefix, None) => KEY_PREFIX_DEFAULT.to_owned(),
            (KeyForm::Raw | KeyForm::Hex, None) => String::new(),
        },
        stamp,
        id_header,
        body_hash_query: spec.body_hash_query.clone(),
    })
}

fn stamp(written: &Spanned<TimestampSpec>, list: ListForm, key: &str, faults: &mut Faults) -> Option<Stamp> {
    let spec = &written.value;
    let place = match (&spec.header, &spec.field, &spec.payload) {
        (Some(name), None, None) => Place::Header(header(name, &name.value, key, faults)?),
        (None, Some(field), None) if list == ListForm::Pairs => Place::Field(field.clone()),
        (None, Some(_), None) => {
            faults.on(written, key, "`field` belongs to `list: pairs`");
            return None;
        }
        (None, None, Some(path)) => match PayloadPath::parse(path) {
            Some(path) => Place::Payload(path),
            None => {
                faults.on(written, key, format!("'{path}' is no dotted path"));
                return None;
            }
        },
        _ => {
            faults.on(written, key, "give one of `header`, `field` and `payload`");
            return None;
        }
    };
    let window = match &spec.window {
        None => WINDOW_DEFAULT,
        Some(text) => match text.value.parse::<SignedDuration>().ok().and_then(|d| Duration::try_from(d).ok()) {
            Some(window) if !window.is_zero() && window <= WINDOW_MAX => window,
            _ => {
                faults.on(text, format!("{key}.window"), format!("'{}' is no time from 1s to 24h", text.value));
                return None;
            }
        },
    };
    Some(Stamp { place, unit: spec.unit, window })
}
