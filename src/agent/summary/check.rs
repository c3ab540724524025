//! Whether a model's sentences may be shown: every number, link and name in them must stand in what they are about.
//!
//! Strict on purpose. A summary that is refused costs nothing, since the template stands; one that invents an amount, a person
//! or an address costs trust. What it cannot see: words in lower case that are wrong, and sentences that are true word by word
//! and misleading as a whole. That is why the title and the facts are never the model's.

use std::collections::HashSet;

use serde_json::Value;

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

/// Words that begin sentences in any text and are nobody's name.
const STARTERS: &str = "a about above account action activity actual added adds after again all also although among an and \
another any approval approved are as assigned at author authored automated awaiting because before below between body both branch \
branches build but by can changed changes charge checks closed code comment commented commit commits committed completed confirmed \
contributors created currently customer customers delivery deleted deployed deployment description details due during each earlier \
either error errors event events every everything except existing failed failure failures few files final finally first fixed fixes \
following for four from further git had has have he her here his how however i if in incident including initial instead \
introduced invoice issue issues it its just label labelled last later latest least linked made main many merged message messages \
monitoring more most multiple my neither new next no none nor not note nothing now of on once one only open opened or order orders \
other others our out over overall owner part paid parts payment payments pending please previously problem processing product project \
proposed published pull pushed pushes recent refund refunded related release released removed reopened report reported reports \
repository request requested requests resolved review reviewer reviewers run running scheduled second several she should since so some \
started status still subscription succeeded successful successfully summary tag team ten tests than that the their them then there \
these they this those three through thus ticket title to today together total transaction triggered two under until up update updated \
updates upon user users using version was we were what when where whether which while who whose will with within without work workflow \
you your";

/// What a summary may speak of.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Everything as one text, in lower case.
    text: String,
    /// Its words.
    words: HashSet<String>,
    /// Its numbers, without leading zeros and separators.
    numbers: HashSet<String>,
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
        self.take(&message.title);
        message.lines.iter().for_each(|line| self.take(line));
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
        Ok(text)
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
        let pressable = lower.starts_with(['@', '#', '/']) || domain_like(&lower);
        if pressable && !self.text.contains(&lower) {
            return Err(format!("'{}' is not in the event", shown(bare)));
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
        if !starts || word.chars().skip(1).any(char::is_uppercase) {
            return false;
        }
        if STARTERS.split_ascii_whitespace().any(|starter| starter == lower) {
            return true;
        }
        let stem: String = lower.chars().take(STEM_CHARS).collect();
        stem.chars().count() == STEM_CHARS
            && lower.chars().count() > STEM_CHARS
            && self.words.iter().any(|known| known.starts_with(&stem) && alike(known, &lower))
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

/// Words: runs of letters and digits, with apostrophes inside.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && !matches!(c, '\'' | '’'))
        .map(|word| word.trim_matches(['\'', '’']))
        .filter(|word| !word.is_empty())
}

/// Numbers as they compare: digits without separators between thousands and without leading zeros. `1,234.50` is `1234` and
/// `50`, wherever it stands.
fn numbers(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if !chars[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let mut digits = String::new();
        while at < chars.len() {
            let group =
                |from: usize| chars.get(from..from + 3).is_some_and(|part| part.iter().all(char::is_ascii_digit));
            if chars[at].is_ascii_digit() {
                digits.push(chars[at]);
                at += 1;
            } else if chars[at] == ',' && group(at + 1) && !chars.get(at + 4).is_some_and(char::is_ascii_digit) {
                at += 1;
            } else {
                break;
            }
        }
        let trimmed = digits.trim_start_matches('0');
        found.push(if trimmed.is_empty() { "0".to_owned() } else { trimmed.to_owned() });
    }
    found
}

/// Whether a chat may take a word for an address: `evil.example`, `a.b.co`.
fn domain_like(word: &str) -> bool {
    let host = word.split('/').next().unwrap_or_default();
    let parts: Vec<&str> = host.split('.').collect();
    let label = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '-');
    parts.len() > 1
        && parts.iter().all(label)
        && parts.last().is_some_and(|last| last.chars().count() > 1 && last.chars().all(char::is_alphabetic))
}

fn host(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#', ':']).next().filter(|host| !host.is_empty())
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
            "sender": {"login": "alice"}, "created_at": "2026-01-02T03:04:05Z", "reviewers": ["Bob Ross", "carol"],
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
            "Alice's pull request #42 concerns acme/shop on GitHub.",
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
            ("It was merged by Mallory.", "Mallory"),
            ("Mallory merged it.", "Mallory"),
            ("Open https://evil.example/login to confirm.", "link"),
            ("Open http://github.com.evil.example/x now.", "link"),
            ("Open login.evil.com please.", "login.evil.com"),
            ("Open for @mallory now.", "@mallory"),
            ("It wants /approve to go on.", "/approve"),
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
