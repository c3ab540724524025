//! How requests are verified, in words for people; and a secret of the form that a sender's scheme takes.

use base64::Engine as _;

use super::super::manifest::{Algorithm, Encoding, KeyForm, ListForm, Mode};
use super::Signature;
use super::age::{Place, Stamp};
use super::scheme::{Kind, Scheme, Signed};

impl Signature {
    /// A sentence for each way of signing, and one for what they are together.
    pub(in super::super) fn in_words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.schemes.iter().map(Scheme::in_words).collect();
        if self.headers.len() > 1 {
            words.push(match self.mode {
                Mode::First => {
                    "The first of these headers that is present decides; none can rescue another.".to_owned()
                }
                Mode::All => "Every one of these headers that is present must be right.".to_owned(),
            });
        }
        words.extend(self.refused.iter().map(|(name, why)| format!("Not taken: `{name}` ({why}).")));
        words
    }

    /// A secret made of `bytes`, written as the first scheme reads it.
    pub(in super::super) fn fresh_secret(&self, bytes: &[u8]) -> String {
        match self.schemes.first().map(|scheme| &scheme.kind) {
            Some(Kind::Signed(signed)) if signed.key_form == KeyForm::Base64AfterPrefix => {
                format!("{}{}", signed.key_prefix, base64::engine::general_purpose::STANDARD.encode(bytes))
            }
            Some(Kind::Signed(_) | Kind::Token { .. } | Kind::Basic) | None => hex::encode(bytes),
        }
    }
}

impl Scheme {
    fn in_words(&self) -> String {
        let header = &self.shown;
        match &self.kind {
            Kind::Signed(signed) => format!("`{header}`: {}", signed.in_words()),
            Kind::Token { prefix } if prefix.is_empty() => format!("`{header}`: the secret itself."),
            Kind::Token { prefix } => format!("`{header}`: the secret itself after `{}`.", prefix.trim_end()),
            Kind::Basic => {
                format!("`{header}`: Basic; the secret is `user:password`, or the password of any user.")
            }
        }
    }
}

impl Signed {
    fn in_words(&self) -> String {
        let what = match self.algorithm {
            Some(Algorithm::Sha1) => "HMAC-SHA1",
            Some(Algorithm::Sha256) => "HMAC-SHA256",
            Some(Algorithm::Sha512) => "HMAC-SHA512",
            None => "an Ed25519 signature",
        };
        let template = self.content.template();
        let over = if template == "{body}" { "the body".to_owned() } else { format!("`{template}`") };
        let encoding = match self.form.encoding {
            Encoding::Hex => "hexadecimal",
            Encoding::Base64 => "base64",
        };
        let mut text = format!("{what} over {over}, in {encoding}{}.", self.place());
        text.push(' ');
        text.push_str(&self.key_in_words());
        if let Some(stamp) = &self.stamp {
            text.push_str(&format!(" {}", stamp.in_words()));
        }
        if let Some(name) = &self.id_header {
            text.push_str(&format!(" `{{id}}` is the header `{name}`."));
        }
        if let Some(name) = &self.body_hash_query {
            text.push_str(&format!(" The query field `{name}` holds the SHA-256 of the body."));
        }
        text
    }

    fn place(&self) -> String {
        let form = &self.form;
        let optional = if form.prefix_optional { ", which may be left out" } else { "" };
        let after = if form.prefix.is_empty() { String::new() } else { format!(" after `{}`{optional}", form.prefix) };
        match form.list {
            ListForm::None => after,
            ListForm::Comma => format!("{after}; several may stand there, with commas between"),
            ListForm::Space => format!("{after}; several may stand there, with spaces between"),
            ListForm::Pairs => format!(" as `{}=` among pairs with commas or semicolons between{after}", form.field),
        }
    }

    fn key_in_words(&self) -> String {
        if self.algorithm.is_none() {
            return "The secret is the sender's public key.".to_owned();
        }
        match self.key_form {
            KeyForm::Raw => "The key is the secret's text, all of it.".to_owned(),
            KeyForm::Hex => "The key is what the secret's hexadecimal digits stand for.".to_owned(),
            KeyForm::Base64AfterPrefix => {
                format!("The key is what the base64 after `{}` in the secret stands for.", self.key_prefix)
            }
        }
    }
}

impl Stamp {
    fn in_words(&self) -> String {
        let place = match &self.place {
            Place::Header(name) => format!("the header `{name}`"),
            Place::Field(field) => format!("the pair `{field}=`"),
            Place::Payload(path) => format!("the payload's `{path}`"),
        };
        format!("The time is in {place} and may be {} s off.", self.window.as_secs())
    }
}
