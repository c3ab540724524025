//! The signatures in a header: one, several with commas or spaces, or among `key=value` pairs (Stripe puts commas between
//! them, Paddle semicolons).
//!
//! In a list an entry of another version (`v0=`, `v1a,`) or one that cannot be read is passed over, as senders demand;
//! it can never make another entry count.

use http::{HeaderMap, HeaderName};

use super::super::manifest::{Encoding, ListForm};
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Most signatures in one header that are looked at. Stripe sends one for each of its secrets, during a rotation two.
pub(super) const ENTRIES_MAX: usize = 16;
/// Most pairs of one header that are read.
const PAIRS_MAX: usize = 64;
/// What stands between pairs. What is signed is made of the pairs' values, so another way to cut them makes nothing right.
pub(super) const PAIR_ENDS: [char; 2] = [',', ';'];
/// Longest signature header, in bytes.
const HEADER_BYTES_MAX: usize = 8 * 1024;

/// Standard base64, with or without `=` at the end.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How a scheme writes signatures.
#[derive(Debug, Clone)]
pub(super) struct Form {
    pub list: ListForm,
    pub field: String,
    pub prefix: String,
    pub prefix_optional: bool,
    pub encoding: Encoding,
}

/// What a header holds.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// Decoded signatures.
    pub candidates: Vec<Vec<u8>>,
    /// Entries of the right version, readable or not.
    pub tagged: usize,
    /// The pairs, for a list of pairs.
    pub fields: Vec<(String, String)>,
}

impl Form {
    /// Reads every entry. The error is a sentence about the header as a whole.
    pub(super) fn read(&self, headers: &HeaderMap, name: &HeaderName) -> Result<Entries, String> {
        let mut texts = Vec::new();
        for value in headers.get_all(name) {
            if value.len() > HEADER_BYTES_MAX {
                return Err(format!("{name} is longer than {HEADER_BYTES_MAX} bytes"));
            }
            texts.push(std::str::from_utf8(value.as_bytes()).map_err(|_| format!("{name} is not UTF-8"))?.trim());
        }
        if texts.len() > 1 && matches!(self.list, ListForm::None | ListForm::Pairs) {
            return Err(format!("{name} was sent {} times", texts.len()));
        }
        let mut entries = Entries::default();
        let raw: Vec<&str> = match self.list {
            ListForm::None => texts,
            ListForm::Comma => texts.iter().flat_map(|text| text.split(',')).map(str::trim).collect(),
            ListForm::Space => texts.iter().flat_map(|text| text.split_whitespace()).collect(),
            ListForm::Pairs => {
                let pairs = texts.iter().flat_map(|text| text.split(PAIR_ENDS));
                entries.fields = pairs.filter_map(pair).take(PAIRS_MAX).collect();
                Vec::new()
            }
        };
        let tagged: Vec<&str> = match self.list {
            ListForm::Pairs => {
                entries.fields.iter().filter(|(key, _)| *key == self.field).map(|(_, value)| value.as_str()).collect()
            }
            ListForm::None | ListForm::Comma | ListForm::Space => raw.into_iter().filter(|t| !t.is_empty()).collect(),
        };
        let values: Vec<&str> = tagged.into_iter().filter_map(|text| self.untag(text)).take(ENTRIES_MAX).collect();
        entries.tagged = values.len();
        entries.candidates = values.into_iter().filter_map(|text| decode(self.encoding, text)).collect();
        Ok(entries)
    }

    fn untag<'t>(&self, text: &'t str) -> Option<&'t str> {
        match text.strip_prefix(self.prefix.as_str()) {
            Some(rest) => Some(rest),
            None if self.prefix_optional => Some(text),
            None => None,
        }
    }

    /// Writes one signature as this header has it, `fields` before it where the header has pairs.
    pub(super) fn write(&self, signature: &[u8], fields: &[(String, String)]) -> String {
        let encoded = match self.encoding {
            Encoding::Hex => hex::encode(signature),
            Encoding::Base64 => base64::engine::general_purpose::STANDARD.encode(signature),
        };
        let entry = format!("{}{encoded}", self.prefix);
        match self.list {
            ListForm::None | ListForm::Comma | ListForm::Space => entry,
            ListForm::Pairs => {
                let mut pairs: Vec<String> = fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
                pairs.push(format!("{}={entry}", self.field));
                pairs.join(",")
            }
        }
    }

    /// Whether the pair of the signature is in the header and its separators are none that we cut at.
    pub(super) fn has_hidden_pair(&self, headers: &HeaderMap, name: &HeaderName) -> bool {
        let shape = self.shape();
        let holds = |value: &http::HeaderValue| {
            let text = value.to_str().unwrap_or_default();
            text.match_indices(shape.as_str()).any(|(at, _)| !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric()))
        };
        self.list == ListForm::Pairs && headers.get_all(name).iter().any(holds)
    }

    /// What an entry looks like, for a message.
    pub(super) fn shape(&self) -> String {
        match self.list {
            ListForm::Pairs => format!("{}=", self.field),
            ListForm::None | ListForm::Comma | ListForm::Space => self.prefix.clone(),
        }
    }
}

fn pair(text: &str) -> Option<(String, String)> {
    let (key, value) = text.split_once('=')?;
    Some((key.trim().to_owned(), value.trim().to_owned()))
}

fn decode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Hex => hex::decode(text).ok(),
        Encoding::Base64 => BASE64.decode(text).ok(),
    }
}
