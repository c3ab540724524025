//! Identifiers: a prefix that says what a thing is, and a ULID that sorts by time and can be made on any machine.

use std::fmt;
use std::str::FromStr;

use ulid::Ulid;

/// A text that is not an identifier of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is not an id of this kind: expected '{prefix}' and 26 letters or digits, such as {prefix}01K0000000000000000000000A"
)]
pub struct IdError {
    prefix: &'static str,
    text: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl $name {
            /// The prefix of the written form.
            pub const PREFIX: &'static str = $prefix;

            /// Wraps a ULID.
            pub fn new(ulid: Ulid) -> Self {
                Self(ulid)
            }

            /// The ULID inside.
            pub fn ulid(self) -> Ulid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix($prefix)
                    .and_then(|rest| Ulid::from_string(rest).ok())
                    .map(Self)
                    .ok_or_else(|| IdError { prefix: $prefix, text: text.chars().take(64).collect() })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": concat!("^", $prefix, "[0-7][0-9A-HJKMNP-TV-Z]{25}$") })
            }
        }
    };
}

id!(
    /// One webhook delivery that was kept: `evt_…`.
    EventId,
    "evt_"
);
id!(
    /// One message that is owed to a chat: `ntc_…`.
    NoticeId,
    "ntc_"
);
id!(
    /// One execution of a workflow: `run_…`.
    RunId,
    "run_"
);
id!(
    /// One question to approvers about one step: `apr_…`.
    ApprovalId,
    "apr_"
);
id!(
    /// One thing that was said in a conversation, and its answer: `turn_…`.
    TurnId,
    "turn_"
);
id!(
    /// One HTTP request, told to the caller in every refusal: `req_…`.
    RequestId,
    "req_"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        let id = EventId::new(Ulid::from_parts(1_700_000_000_000, 7));
        assert_eq!(id.to_string().parse::<EventId>(), Ok(id));
    }

    #[test]
    fn an_id_of_another_kind_is_refused_with_the_kind_that_was_expected() {
        let error = "ntc_01K00000000000000000000000".parse::<EventId>().expect_err("a notice is no event");
        assert!(error.to_string().contains("evt_"), "{error}");
    }
}
