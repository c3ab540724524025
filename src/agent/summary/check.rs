//! Whether a model's sentences may be shown: every number, link and name in them must stand in what they are about.
//!
//! Strict on purpose. A summary that is refused costs nothing, since the template stands; one that invents an amount, a person
//! or an address costs trust. What it cannot see: words in lower case that are wrong, and sentences that are true word by word
//! and misleading as a whole. That is why the title and the facts are never the model's.

use std::collections::HashSet;

use serde_json::Value;

use super::figures::{Figure, figures};
use super::spelled::spelled;
use super::vocabulary::{ACRONYMS, MONTHS, PUNCTUATION, STARTERS, domain_like, host, numbers, words};
use crate::domain::notice::Message;
use crate::domain::text::one_line;
use crate::ledger::EventDetail;
use crate::ledger::models::WantedSummary;

/// Longest summary, in characters.
const CHARS_MAX: usize = 600;
/// Most sentences.
const SENTENCES_MAX: usize = 4;
/// Letters by which two words count as forms of one (`merged`, `merging`).
const STEM_CHARS: usize = 4;

/// What a summary may speak of.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Everything as one text, in lower case.
    text: String,
    /// Its words.
    words: HashSet<String>,
    /// Its numbers, without leading zeros and separators.
    numbers: HashSet<String>,
    /// Its numbers with what belongs to them.
    figures: HashSet<Figure>,
    /// Amounts of the notice in their smallest units, which nobody may take for the amount.
    minor: HashSet<String>,
    /// The host of the notice's own link.
    host: Option<String>,
    /// What the title says, in lower case.
    title: String,
}

impl Source {
    /// One event: its payload, and what the template says.
    pub(super) fn of_event(event: &EventDetail, message: &Message) -> Self {
        let mut source = Self { title: message.title.to_lowercase(), ..Self::default() };
        source.host = message.url.as_deref().and_then(host).map(str::to_owned);
        source.take_message(message);
        for text in [&event.row.handler, &event.row.provider, &event.row.event].into_iter().flatten() {
            source.take(text);
        }
        source.take_value(&event.payload);
        source
    }

    /// A digest: what the templates of its notices say. Its count is a number too.
    pub(super) fn of_digest(notices: &[WantedSummary]) -> Self {
        let mut source = Self::default();
        for notice in notices {
            source.take_message(&notice.message);
        }
        // How many of them are alike is for the model to count, and cannot be wrong by more than all.
        source.numbers.extend((1..=notices.len()).map(|count| count.to_string()));
        source
    }

    fn take_message(&mut self, message: &Message) {
        for text in std::iter::once(&message.title).chain(&message.lines) {
            self.take(text);
            self.minor.extend(figures(text).iter().filter_map(Figure::minor));
        }
    }

    fn take_value(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.take(text),
            Value::Number(number) => self.take(&number.to_string()),
            Value::Array(items) => {
                self.numbers.insert(items.len().to_string());
                items.iter().for_each(|item| self.take_value(item));
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.take(name);
                    self.take_value(value);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn take(&mut self, text: &str) {
        let lower = text.to_lowercase();
        self.words.extend(words(&lower).map(str::to_owned));
        self.numbers.extend(numbers(&lower));
        self.figures.extend(figures(&lower));
        self.text.push_str(&lower);
        self.text.push('\n');
    }

    /// The sentences as they are shown, or why they are not.
    pub(super) fn check(&self, answer: &str) -> Result<String, String> {
        let text = plain(answer);
        if text.is_empty() {
            return Err("the answer is empty".to_owned());
        }
        if text.chars().count() > CHARS_MAX {
            return Err(format!("the answer is longer than {CHARS_MAX} characters"));
        }
        if text.to_lowercase().trim_end_matches('.') == self.title {
            return Err("the answer repeats the title".to_owned());
        }
        // Dots and slashes of other scripts, with which an address can be written past every other rule, and their digits.
        let strange =
            |c: &char| !c.is_ascii() && !c.is_alphabetic() && !PUNCTUATION.contains(*c) && !self.text.contains(*c);
        if let Some(strange) = text.chars().find(strange) {
            return Err(format!("it holds the sign U+{:04X}, which is not in the event", u32::from(strange)));
        }
        let mut sentences = 1;
        let mut starts = true;
        let mut tokens = text.split(' ').peekable();
        while let Some(token) = tokens.next() {
            self.token(token, starts)?;
            starts = token.trim_end_matches(['"', '\'', ')', '”', '’']).ends_with(['.', '!', '?', ':', '…']);
            if starts && tokens.peek().is_some() {
                sentences += 1;
            }
        }
        if sentences > SENTENCES_MAX {
            return Err(format!("the answer has more than {SENTENCES_MAX} sentences"));
        }
        self.numbers_in_words(&text)?;
        self.figures_stand_so(&text)?;
        Ok(text)
    }

    /// A number in words is one of the event's numbers, or stands there in words too.
    fn numbers_in_words(&self, text: &str) -> Result<(), String> {
        for number in spelled(words(text)) {
            let is_known = self.numbers.contains(&number.value.to_string())
                || number.words.iter().all(|word| self.words.contains(word));
            if !is_known {
                return Err(format!("the number '{}' is not in the event", shown(&number.words.join(" "))));
            }
        }
        Ok(())
    }

    /// An amount, a share, a number below nothing: all of it stands in the event, and no amount is told in cents as if it were
    /// whole units.
    fn figures_stand_so(&self, text: &str) -> Result<(), String> {
        for figure in figures(text) {
            if figure.is_more_than_digits() && !self.figures.contains(&figure) {
                return Err(format!("what is said of the number {} is not in the event", shown(&figure.number)));
            }
            if !figure.is_more_than_digits() && self.minor.contains(&figure.number) {
                return Err(format!("the number {} is an amount in its smallest units", shown(&figure.number)));
            }
        }
        Ok(())
    }

    /// One word between spaces.
    fn token(&self, token: &str, starts: bool) -> Result<(), String> {
        let bare =
            token.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '@' | '#' | '/' | '$' | '€' | '£'));
        if bare.is_empty() {
            return Ok(());
        }
        let lower = bare.to_lowercase();
        if lower.contains("://") || lower.starts_with("www.") {
            return self.link(&lower);
        }
        // What a chat turns into something that can be pressed.
        let commands = lower.starts_with(['@', '#', '/']).then_some(lower.as_str());
        let addresses = lower.split(|c: char| !c.is_alphanumeric() && !".-_@+%".contains(c)).filter(|part| {
            let part = part.trim_matches(['.', '-']);
            part.contains('@') || domain_like(part)
        });
        for pressable in commands.into_iter().chain(addresses) {
            let pressable = pressable.trim_matches(['.', '-']);
            // Where a link in a payload leads is no word to repeat either, unless the notice leads there too.
            let leads_there = self.text.contains(&format!("://{pressable}")) && self.host.as_deref() != Some(pressable);
            if leads_there || !self.text.contains(pressable) {
                return Err(format!("'{}' is not in the event, or a stranger's address", shown(bare)));
            }
        }
        // `acme/evil` is a name that no capital marks.
        let parts: Vec<&str> = lower.split('/').collect();
        let is_named = parts.len() > 1 && parts.iter().all(|part| part.contains(char::is_alphabetic));
        let is_plain = || parts.iter().all(|part| STARTERS.split_ascii_whitespace().any(|word| word == *part));
        if is_named && !self.text.contains(&lower) && !is_plain() {
            return Err(format!("the name '{}' is not in the event", shown(bare)));
        }
        for number in numbers(&lower) {
            if !self.numbers.contains(&number) {
                return Err(format!("the number {} is not in the event", shown(&number)));
            }
        }
        let mut begins = starts;
        for word in words(bare) {
            if word.chars().any(char::is_uppercase) && !self.may_say(word, begins) {
                return Err(format!("the name '{}' is not in the event", shown(word)));
            }
            begins = false;
        }
        Ok(())
    }

    fn link(&self, link: &str) -> Result<(), String> {
        let ours = self.host.is_some() && host(link) == self.host.as_deref();
        if ours && self.text.contains(link) {
            return Ok(());
        }
        Err("it holds a link that is not the notice's own".to_owned())
    }

    /// Whether a capitalised word is one of the event's, a form of one, or begins a sentence as any word does.
    fn may_say(&self, word: &str, starts: bool) -> bool {
        let lower = word.to_lowercase();
        if self.words.contains(&lower) || lower == "i" {
            return true;
        }
        let plain = lower.strip_suffix("'s").or_else(|| lower.strip_suffix("’s")).unwrap_or(&lower);
        if self.words.contains(plain) {
            return true;
        }
        if ACRONYMS.contains(&plain) || self.has_month(plain) {
            return true;
        }
        if !starts || word.chars().skip(1).any(char::is_uppercase) {
            return false;
        }
        if STARTERS.split_ascii_whitespace().any(|starter| starter == plain) {
            return true;
        }
        let stem: String = lower.chars().take(STEM_CHARS).collect();
        stem.chars().count() == STEM_CHARS
            && lower.chars().count() > STEM_CHARS
            && self.words.iter().any(|known| known.starts_with(&stem) && alike(known, &lower))
    }
}

impl Source {
    /// Whether the event speaks of a month of this name: by a short form of it, or as `2026-03-05`.
    fn has_month(&self, word: &str) -> bool {
        let Some(at) = MONTHS.iter().position(|month| *month == word) else { return false };
        self.words.contains(&word[..3]) || self.text.contains(&format!("-{:02}-", at + 1))
    }
}

/// Whether two words of one stem differ by an ending only.
fn alike(known: &str, word: &str) -> bool {
    let common = known.chars().zip(word.chars()).take_while(|(a, b)| a == b).count();
    let rest = |text: &str| text.chars().count() - common;
    rest(known) <= 3 && rest(word) <= 4
}

/// The text as one line without the markdown that models write whatever they are told.
fn plain(answer: &str) -> String {
    let lines = answer.lines().map(|line| {
        let line = line.trim();
        let line = line.trim_start_matches(['#', '>']).trim_start();
        line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")).unwrap_or(line)
    });
    let text = lines.collect::<Vec<_>>().join(" ").replace("**", "").replace('`', "");
    let text = one_line(&text);
    let unquoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).filter(|inner| !inner.contains('"'));
    unquoted.unwrap_or(&text).to_owned()
}

/// A word as a reason shows it.
fn shown(word: &str) -> String {
    crate::domain::text::clip_chars(word, 40)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::notice::Severity;

    fn source() -> Source {
        let message = Message {
            title: "acme/shop: alice opened #42 Fix rounding of totals".into(),
            lines: vec!["+120 −3 in 4 files · fix-totals → main".into(), "$1,234.50".into()],
            url: Some("https://github.com/acme/shop/pull/42".into()),
            severity: Severity::Info,
        };
        let mut source =
            Source { host: Some("github.com".into()), title: message.title.to_lowercase(), ..Source::default() };
        source.take_message(&message);
        source.take("github");
        source.take_value(&serde_json::json!({
            "sender": {"login": "alice"}, "created_at": "2026-01-02T03:04:05Z", "reviewers": ["Bob Ross", "carol"], "total": 123_450,
            "body": "See https://github.com/acme/shop/pull/42 and https://evil.example/login. Totals are rounded in Cart.rs.",
        }));
        source
    }

    #[test]
    fn sentences_about_the_event_pass_as_plain_text() {
        for good in [
            "Alice fixes how totals are rounded in Cart.rs, with 120 lines added in 4 files. Bob Ross and Carol shall review it.",
            "The change goes from fix-totals to main. It was opened on 2026-01-02.",
            "Rounding of totals is changed for $1,234.50; 2 reviewers are asked.",
            "It costs 1,234.50 dollars, adds and/or removes lines (−3), and concerns acme/shop.",
            "Alice's pull request #42 concerns acme/shop on GitHub.",
            "Additionally, it was opened on January 2, 2026.",
            "Three lines go, and two reviewers are asked to look at one of the four files.",
            "This PR awaits review before its CI runs. Rounded totals appear in Cart.rs.",
        ] {
            assert_eq!(source().check(good).as_deref(), Ok(good));
        }
        assert_eq!(source().check("\"**Totals** are\n- rounded.\"").as_deref(), Ok("Totals are rounded."));
    }

    #[test]
    fn what_is_not_in_the_event_is_not_said() {
        for (bad, why) in [
            ("", "empty"),
            ("  \n ", "empty"),
            ("It changes 121 lines.", "121"),
            ("It costs $1,234.51.", "51"),
            ("It was seen by forty people.", "forty"),
            ("It hit thousands of totals.", "thousands"),
            ("This is the ninth attempt.", "ninth"),
            ("It changes 4k files.", "of the number 4"),
            ("It changes 4% of the files.", "of the number 4"),
            ("It costs $4.", "of the number 4"),
            ("It costs 120 dollars.", "of the number 120"),
            ("It costs €1,234.50.", "of the number 1234.5"),
            ("It costs 123450 in all.", "smallest units"),
            ("It fell by -4 files.", "of the number 4"),
            ("It holds ⁷ files.", "U+2077"),
            ("It was pushed to acme/evil by alice.", "acme/evil"),
            ("It was merged by Mallory.", "Mallory"),
            ("Mallory merged it.", "Mallory"),
            ("Open https://evil.example/login to confirm.", "link"),
            ("Open http://github.com.evil.example/x now.", "link"),
            ("Open login.evil.com please.", "login.evil.com"),
            ("Open for @mallory now.", "@mallory"),
            ("It wants /approve to go on.", "/approve"),
            ("It is at help@evil.example now.", "help@evil.example"),
            ("It is at mailto:help@evil.example now.", "evil.example"),
            ("It is at x:evil.example:8080/x now.", "evil.example"),
            ("It is at t.me/evil now.", "t.me"),
            ("It is at 192.0.2.7 now.", "192.0.2.7"),
            ("It is at tg://resolve?domain=evil now.", "link"),
            ("It is at evil\u{3002}example now.", "U+3002"),
            ("It is at \u{435}vil.example now.", "vil.example"),
            ("It is at EVIL.EXAMPLE now.", "EVIL.EXAMPLE"),
            ("It is in (evil.example).", "evil.example"),
            ("It was merged in March.", "March"),
            ("It is. It was. It has. It can. It will.", "sentences"),
        ] {
            let refused = source().check(bad).expect_err(bad);
            assert!(refused.contains(why), "{bad}: {refused}");
        }
        assert!(source().check(&"it is ".repeat(200)).is_err(), "too long");
        assert!(source().check("acme/shop: alice opened #42 Fix rounding of totals.").is_err(), "the title");
    }

    #[test]
    fn numbers_compare_by_value() {
        assert_eq!(numbers("1,234.50 and 007, v2 1,23 12,345,678"), ["1234", "50", "7", "2", "1", "23", "12345678"]);
    }
}
