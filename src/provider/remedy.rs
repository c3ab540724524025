//! From what was found out about a refused request to what a person should do about it.
//!
//! Findings are kept as sentences, and the advice is given when somebody asks, so it goes by how a sentence begins. The
//! beginnings are here and whoever finds something out takes them from here.

/// Begins what was computed: the signature is right for something.
pub(super) const RIGHT: &str = "the signature is right";
/// Stands in what was compared: a secret that was sent as it is, or a part of it, is right.
pub(super) const HOLDS_RIGHT: &str = "holds the right";
/// Begins what kept a signature from being compared at all.
pub(super) const UNCOMPARED: &str = "nothing could be compared";
/// Begins what is said of a secret that can be no key of this sender's.
pub(super) const UNUSABLE: &str = "the secret that is set here is none of this sender's";
/// Begins what is said of a timestamp in another unit.
pub(super) const OTHER_UNIT: &str = "the timestamp is now when it is read";
/// Stands in what is asked about the address, where that is signed.
pub(super) const SIGNS_URL: &str = "signs the address that it calls";
/// Stands in what is said of a header that something on the way took off.
pub(super) const DROPPED: &str = "did not come through";
/// Begins what is said when nobody looked.
pub const NOT_LOOKED_INTO: &str = "nothing was looked into: too many were refused in that second, or the body is large";

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// The sender has another handler's secret, or another handler's path.
    OtherHandler,
    /// The secrets differ in what the finding says.
    Secret,
    /// The secret here can be none of this sender's.
    UnusableSecret,
    /// The address is taken for another.
    Url,
    /// It may be.
    MaybeUrl,
    /// Something changes the body.
    Body,
    /// Something takes a header off.
    Header,
    /// The sender signs in another way.
    Way,
    /// A header that goes with the signature is not there, or there twice.
    Uncompared,
    /// The time is written otherwise.
    Unit,
}

impl Remedy {
    fn of(finding: &str) -> Option<Self> {
        if finding.starts_with(OTHER_UNIT) {
            return Some(Self::Unit);
        }
        if finding.starts_with(UNUSABLE) {
            return Some(Self::UnusableSecret);
        }
        if finding.starts_with(UNCOMPARED) {
            return Some(Self::Uncompared);
        }
        if finding.contains(SIGNS_URL) {
            return Some(Self::MaybeUrl);
        }
        if finding.contains(HOLDS_RIGHT) {
            return Some(Self::Way);
        }
        let what = finding.strip_prefix(RIGHT)?.trim_start();
        let begins = |words: &[&str]| words.iter().any(|word| what.starts_with(word));
        Some(if begins(&["under the secret of handler", "under the secret of WEBHOOK_SECRET"]) {
            Self::OtherHandler
        } else if begins(&["under "]) {
            Self::Secret
        } else if begins(&["for the URL http"]) {
            Self::Url
        } else if begins(&["for this body", "for the same JSON", "for an empty body", "for the JSON in", "and '"]) {
            Self::Body
        } else if what.contains(DROPPED) {
            Self::Header
        } else {
            Self::Way
        })
    }

    fn advice(self, sender: &str) -> Vec<String> {
        let fine = format!("leave the secret as it is: it is the same here and at {sender}");
        match self {
            Self::OtherHandler => vec![format!(
                "give {sender} the URL of the handler whose secret it has, or enter this handler's secret there"
            )],
            Self::Secret => vec![format!(
                "make the secret the same here and at {sender}: they differ in what was found, on the side that it names"
            )],
            Self::UnusableSecret => vec![format!("copy the secret whole, as {sender} shows it, into this handler's `secret`")],
            Self::Url => vec![fine, "set webhooks.public_url, and restart the agent".to_owned()],
            Self::MaybeUrl => vec![
                format!("compare the address above with the one that is entered at {sender}; where they differ, set webhooks.public_url"),
                format!("where they are the same, set the same secret here and at {sender}"),
            ],
            Self::Body => vec![
                fine,
                "let the body through byte by byte: look for a proxy, a gateway or a framework between the sender and this agent that reads and writes bodies".to_owned(),
            ],
            Self::Header => vec![fine, "let the proxy pass the header on that was found to be missing".to_owned()],
            Self::Way => vec![
                fine,
                "mend what was found: at the sender, or by another `provider` for this handler, also one of your own (docs/PROVIDERS.md)".to_owned(),
            ],
            Self::Uncompared => vec![
                "mend what the refusal says first: as long as that is so, the secret is not even looked at".to_owned(),
                "look at the headers that came in 'agent events show'".to_owned(),
            ],
            Self::Unit => vec![
                "the clocks are right: let the sender write its timestamp in the unit that this provider expects, or set the scheme's `unit` in a provider of your own (docs/PROVIDERS.md)".to_owned(),
            ],
        }
    }
}

/// What to do about a request with these findings; `None` where they prove nothing. `sender` is as
/// [`super::Provider::sender`] says it.
pub fn advice(findings: &[String], sender: &str) -> Option<Vec<String>> {
    let remedy = findings.iter().find_map(|finding| Remedy::of(finding))?;
    Some(remedy.advice(sender))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_proved_right_is_not_to_be_changed() {
        let of = |finding: &str| Remedy::of(finding);
        let right = |rest: &str| Remedy::of(&format!("{RIGHT} {rest}"));
        assert_eq!(right("under the secret of handler 'x': the sender has"), Some(Remedy::OtherHandler));
        assert_eq!(right("under the secret in lower case"), Some(Remedy::Secret));
        assert_eq!(right("for the URL https://a.example/b and this one was taken"), Some(Remedy::Url));
        assert_eq!(right("for the URL alone, and no 'bodySHA256' in it"), Some(Remedy::Way));
        assert_eq!(right("for the body alone, and here more than that is signed"), Some(Remedy::Way));
        assert_eq!(right("for the same JSON indented by two"), Some(Remedy::Body));
        assert_eq!(of("x-y holds the right secret and is written in another way"), Some(Remedy::Way));
        assert_eq!(of("a proxy stands in between (via): does it change the body?"), None);
        for remedy in [Remedy::Url, Remedy::Body, Remedy::Header, Remedy::Way] {
            assert!(remedy.advice("Acme")[0].starts_with("leave the secret"), "{remedy:?}");
        }
    }
}
