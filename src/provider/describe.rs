//! What a manifest says about its sender to people: for the pages that are made of it, and for who sets a handler up.

use super::Provider;
use super::manifest::BodyForm;
use super::reading::Source;

impl Provider {
    /// Whether the sender makes the secret and shows it, so that it has to be copied from there.
    pub fn issues_secret(&self) -> bool {
        self.issues_secret
    }

    /// Whether bodies are forms and not JSON.
    pub fn sends_forms(&self) -> bool {
        self.body == BodyForm::Form
    }

    /// A new secret made of these random bytes, in the form that this sender's scheme takes.
    pub fn fresh_secret(&self, bytes: &[u8]) -> String {
        self.signature.fresh_secret(bytes)
    }

    /// How requests are verified, a sentence or two for each way.
    pub fn verification_in_words(&self) -> Vec<String> {
        self.signature.in_words()
    }

    /// Where the event type stands, in words; empty when it stands nowhere.
    pub fn event_in_words(&self) -> String {
        places(&self.event.sources)
    }

    /// Where the delivery id stands, in words; empty when it stands nowhere.
    pub fn delivery_in_words(&self) -> String {
        places(&self.delivery.sources)
    }
}

fn places(sources: &[Source]) -> String {
    let words = |source: &Source| match source {
        Source::Header(names) => {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("header {}", names.join(" and "))
        }
        Source::Payload(_, paths) => {
            let paths: Vec<String> = paths.iter().map(|path| format!("`{path}`")).collect();
            format!("payload {}", paths.join(" and "))
        }
    };
    sources.iter().map(words).collect::<Vec<_>>().join(", else ")
}
