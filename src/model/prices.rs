//! What models cost: a table of list prices, what the configuration says instead, and an estimate of tokens before a call.
//!
//! Prices change; the table says when it was made, `model.price` beats it, and a model that nobody knows counts as a dear one,
//! so that the budget errs on the side of the person who pays.

use crate::config::{ModelEndpoint, ModelPrice};
use crate::ports::{ModelMessage, ModelRequest};

/// When the prices of the table were in force. Sources: platform.openai.com/docs/pricing, docs.claude.com/en/docs/about-claude/pricing,
/// ai.google.dev/gemini-api/docs/pricing (standard tier, short prompts).
pub const PRICES_DATE: &str = "2025-11";

/// Provider, the beginning of the model's name, and hundredths of a US dollar for a million tokens read and written.
const TABLE: &[(&str, &str, u64, u64)] = &[
    ("openai", "gpt-5-nano", 5, 40),
    ("openai", "gpt-5-mini", 25, 200),
    ("openai", "gpt-5-pro", 1500, 12_000),
    ("openai", "gpt-5", 125, 1000),
    ("openai", "gpt-4.1-nano", 10, 40),
    ("openai", "gpt-4.1-mini", 40, 160),
    ("openai", "gpt-4.1", 200, 800),
    ("openai", "gpt-4o-mini", 15, 60),
    ("openai", "gpt-4o", 250, 1000),
    ("openai", "o4-mini", 110, 440),
    ("openai", "o3-mini", 110, 440),
    ("openai", "o3", 200, 800),
    ("anthropic", "claude-opus-4-5", 500, 2500),
    ("anthropic", "claude-opus-4", 1500, 7500),
    ("anthropic", "claude-sonnet-4", 300, 1500),
    ("anthropic", "claude-3-7-sonnet", 300, 1500),
    ("anthropic", "claude-haiku-4-5", 100, 500),
    ("anthropic", "claude-3-5-haiku", 80, 400),
    ("anthropic", "claude-3-haiku", 25, 125),
    ("gemini", "gemini-2.5-pro", 125, 1000),
    ("gemini", "gemini-2.5-flash-lite", 10, 40),
    ("gemini", "gemini-2.5-flash", 30, 250),
    ("gemini", "gemini-2.0-flash-lite", 8, 30),
    ("gemini", "gemini-2.0-flash", 10, 40),
];
/// What a model costs that is not in the table: as much as the dearest that are in common use.
const UNKNOWN: Price = Price { input: 1500, output: 7500 };
/// Words that name a version of a model and no other model.
const VERSIONS: [&str; 4] = ["latest", "preview", "exp", "chat-latest"];
/// Bytes of text to a token, when nobody counts: fewer than in English prose, so that the guess is high.
const BYTES_PER_TOKEN: u64 = 3;
/// Tokens that each message and each tool costs besides its text.
const TOKENS_PER_PART: u64 = 12;

/// What a model costs, in hundredths of a US dollar for a million tokens, which is hundredths of a micro-dollar for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    input: u64,
    output: u64,
}

impl Price {
    /// The price of a model, and whether anybody said it.
    pub fn of(endpoint: &ModelEndpoint) -> (Self, bool) {
        if let Some(price) = endpoint.price {
            return (Self::configured(price), true);
        }
        if endpoint.provider == "ollama" {
            return (Self { input: 0, output: 0 }, true);
        }
        let found = TABLE
            .iter()
            .filter(|(provider, prefix, ..)| endpoint.provider == *provider && begins(&endpoint.name, prefix))
            .max_by_key(|(_, prefix, ..)| prefix.len());
        found.map_or((UNKNOWN, false), |(_, _, input, output)| (Self { input: *input, output: *output }, true))
    }

    fn configured(price: ModelPrice) -> Self {
        let hundredths = |usd: f64| {
            // Rounded up: a price that is not quite nothing is not nothing. Negative and absurd ones are refused by the reader.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just before")]
            let rounded = (usd * 100.0).ceil().clamp(0.0, 1e12) as u64;
            rounded
        };
        Self { input: hundredths(price.input), output: hundredths(price.output) }
    }

    /// What so many tokens cost, in millionths of a US dollar, rounded up.
    pub fn micro_usd(self, tokens_in: u64, tokens_out: u64) -> u64 {
        let part = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        let hundredths = part(tokens_in, self.input) + part(tokens_out, self.output);
        u64::try_from(hundredths.div_ceil(100)).unwrap_or(u64::MAX)
    }
}

/// Whether `name` is `prefix` or a version of it: `gpt-4o-2024-08-06` is a `gpt-4o`; `gpt-4oz` is none, `gpt-5.2` is no `gpt-5`, and
/// `o3-pro` is no `o3`: what has a word of its own has a price of its own.
fn begins(name: &str, prefix: &str) -> bool {
    let Some(rest) = name.strip_prefix(prefix) else { return false };
    let Some(version) = rest.strip_prefix(['-', '@', ':']) else { return rest.is_empty() };
    version.starts_with(|c: char| c.is_ascii_digit()) || VERSIONS.iter().any(|word| version.starts_with(word))
}

/// Tokens of a text, guessed.
pub(super) fn tokens(text: &str) -> u64 {
    (text.len() as u64).div_ceil(BYTES_PER_TOKEN)
}

/// Tokens that a request makes a model read, guessed high.
pub(super) fn tokens_in(request: &ModelRequest) -> u64 {
    let messages: u64 = request
        .messages
        .iter()
        .map(|message| match message {
            ModelMessage::User { text } | ModelMessage::Tool { text, .. } => tokens(text),
            ModelMessage::Assistant { text, calls } => {
                tokens(text) + calls.iter().map(|call| tokens(&call.name) + tokens(&call.args.to_string())).sum::<u64>()
            }
        })
        .sum();
    let tools: u64 = request
        .tools
        .iter()
        .map(|tool| tokens(&tool.name) + tokens(&tool.description) + tokens(&tool.schema.to_string()))
        .sum();
    let parts = 1 + (request.messages.len() + request.tools.len()) as u64;
    tokens(&request.system) + messages + tools + parts * TOKENS_PER_PART
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn endpoint(provider: &str, name: &str, price: Option<ModelPrice>) -> ModelEndpoint {
        let (provider, name) = (provider.to_owned(), name.to_owned());
        ModelEndpoint { provider, name, base_url: None, api_key: None, timeout: Duration::ZERO, price }
    }

    #[test]
    fn a_name_finds_its_price_and_an_unknown_one_is_dear() {
        let usd = |provider: &str, name: &str| {
            let (price, known) = Price::of(&endpoint(provider, name, None));
            (price.micro_usd(1_000_000, 0), price.micro_usd(0, 1_000_000), known)
        };
        assert_eq!(usd("openai", "gpt-4o-mini"), (150_000, 600_000, true));
        assert_eq!(usd("openai", "gpt-4o-2024-08-06"), (2_500_000, 10_000_000, true));
        assert_eq!(usd("openai", "gpt-4o-mini-2024-07-18"), (150_000, 600_000, true));
        assert_eq!(usd("anthropic", "claude-sonnet-4-5-20250929"), (3_000_000, 15_000_000, true));
        assert_eq!(usd("gemini", "gemini-2.5-flash"), (300_000, 2_500_000, true));
        assert_eq!(usd("ollama", "llama3.2"), (0, 0, true));
        assert_eq!(usd("openai", "gpt-4oz"), (15_000_000, 75_000_000, false));
        assert!(!usd("openai", "gpt-5.2-pro").2);
        assert!(!usd("openai", "o3-pro").2 && !usd("openai", "o3-deep-research").2);
        assert_eq!(usd("anthropic", "claude-3-5-haiku-latest"), (800_000, 4_000_000, true));
        assert_eq!(usd("acme", "gpt-4o"), (15_000_000, 75_000_000, false), "a name says nothing about another's price");
    }

    #[test]
    fn what_is_configured_beats_the_table_and_a_fraction_is_rounded_up() {
        let own = Some(ModelPrice { input: 1.0, output: 2.5 });
        let (price, known) = Price::of(&endpoint("openai", "gpt-4o", own));
        assert!(known);
        assert_eq!(price.micro_usd(10, 10), 35);
        assert_eq!(price.micro_usd(0, 1), 3);
        let free = Some(ModelPrice { input: 0.0, output: 0.0 });
        assert_eq!(Price::of(&endpoint("acme", "x", free)).0.micro_usd(u64::MAX, 7), 0);
    }
}
