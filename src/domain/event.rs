//! What an event is: its handler, its verdict, and the states it goes through.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::ids::EventId;

/// The provider of events that came to a workflow's own route. Such an event starts that workflow, whose outcome is told;
/// it makes no notice of its own.
pub const ROUTE_PROVIDER: &str = "workflow";

/// A committed event on its way to the workflows.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// Its id.
    pub id: EventId,
    /// The handler, or the workflow whose route it came to.
    pub handler: &'a str,
    /// The provider.
    pub provider: &'a str,
    /// The event type with its action.
    pub event: &'a str,
    /// The sender's id of the delivery.
    pub delivery_id: Option<&'a str>,
    /// `Valid` or `Unsigned`.
    pub verdict: Verdict,
    /// When its head was read.
    pub received_at: Timestamp,
    /// Header names in lower case, secrets masked.
    pub headers: &'a [(String, String)],
    /// The payload.
    pub payload: &'a serde_json::Value,
}

/// Longest handler name, in bytes.
pub const HANDLER_NAME_BYTES_MAX: usize = 64;

/// The name of a handler as the configuration writes it: letters, digits, `_`, `-` and `.`, 1 to 64 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandlerName(Arc<str>);

/// A text that cannot name a handler.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' cannot name a handler: use 1 to 64 letters, digits, '_', '-' or '.', beginning with a letter or digit")]
pub struct HandlerNameError(String);

impl HandlerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HandlerName {
    type Err = HandlerNameError;

    fn from_str(text: &str) -> Result<Self, HandlerNameError> {
        let starts_well = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let all_known = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if starts_well && all_known && text.len() <= HANDLER_NAME_BYTES_MAX {
            Ok(Self(text.into()))
        } else {
            Err(HandlerNameError(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for HandlerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HandlerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for HandlerName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Gives an enum one written form for the database, JSON and the command line.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The written form.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::event::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::domain::event::UnknownWord {
                        text: text.chars().take(80).collect(),
                        known: [$($word),+].join(", "),
                    }),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": [$($word),+] })
            }
        }
    };
}
pub(crate) use words;

/// A word that is not among those an enum knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not one of: {known}")]
pub struct UnknownWord {
    /// What was written.
    pub text: String,
    /// What could have been written.
    pub known: String,
}

words! {
    /// What the signature check said.
    Verdict {
        /// The signature is the handler's.
        Valid = "valid",
        /// No secret is configured and the request was admitted without one.
        Unsigned = "unsigned",
        /// A secret is configured and the request carries no signature.
        Missing = "missing",
        /// The signature does not match.
        Invalid = "invalid",
        /// The signature matches and its timestamp is outside the window.
        Stale = "stale",
    }
}

words! {
    /// Where an event is on its way.
    EventStatus {
        /// Committed, waiting for the agent.
        Accepted = "accepted",
        /// Kept, and not for anybody: the handler's `events` leave it out.
        Ignored = "ignored",
        /// Seen before under the same delivery id.
        Duplicate = "duplicate",
        /// Refused before it became an event.
        Rejected = "rejected",
        /// The agent has done all it had to do.
        Processed = "processed",
        /// Given up after the last attempt; a redelivery puts it back.
        Failed = "failed",
    }
}

/// The dedupe key of a delivery: the first 16 bytes of SHA-256 over handler, NUL, delivery id.
///
/// Small on purpose: a unique index over random keys is what limits ingest, and its size decides how much of it stays in
/// memory. Two different deliveries collide with probability 2⁻⁶⁴ at 2³² events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeliveryKey(pub [u8; 16]);

impl DeliveryKey {
    /// The key of `delivery_id` as sent to `handler`.
    pub fn new(handler: &HandlerName, delivery_id: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(handler.as_str().as_bytes());
        hash.update([0]);
        hash.update(delivery_id.as_bytes());
        let digest = hash.finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        Self(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_name_cannot_be_a_path() {
        for bad in ["", "a/b", "..", "-x", "a b", "é", &"x".repeat(65)] {
            assert!(bad.parse::<HandlerName>().is_err(), "{bad:?}");
        }
        for good in ["github", "my_service", "a.b-c", "7"] {
            assert!(good.parse::<HandlerName>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn the_same_delivery_id_at_two_handlers_is_two_deliveries() {
        let (a, b): (HandlerName, HandlerName) = ("a".parse().expect("valid"), "b".parse().expect("valid"));
        assert_ne!(DeliveryKey::new(&a, "1"), DeliveryKey::new(&b, "1"));
        assert_eq!(DeliveryKey::new(&a, "1"), DeliveryKey::new(&a, "1"));
    }

    #[test]
    fn words_read_back_and_name_the_known_ones() {
        for status in EventStatus::ALL {
            assert_eq!(status.as_str().parse::<EventStatus>(), Ok(*status));
        }
        let error = "done".parse::<EventStatus>().expect_err("unknown");
        assert!(error.to_string().contains("processed"), "{error}");
    }
}
