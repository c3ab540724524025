//! What words without a command ask for, where no model reads them: a page of the agent, or stored events.
//!
//! It knows English words and nothing of a ledger. What it does not understand stays a word to look for, so that nobody is told
//! of less than a plain search would have found.

use jiff::SignedDuration;

use super::event::EventStatus;
use super::text::clip_chars;

/// Longest text that is searched for, in characters.
const WORDS_CHARS_MAX: usize = 100;
/// A word shorter than this finds too much.
const WORD_CHARS_MIN: usize = 3;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// A greeting, or what the agent can do.
    Help,
    /// How the agent is.
    Status,
    /// What waits for a decision.
    Approvals,
    /// What workflows did.
    Runs,
    /// Stored events.
    Events(Wanted),
}

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The words to look for, as they were written; empty when none are left.
    pub words: String,
    /// Only this handler.
    pub handler: Option<String>,
    /// Only those of that time.
    pub within: Option<Within>,
    /// Only this status, where the words alone find nothing.
    pub status: Option<EventStatus>,
}

/// A time back from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Within {
    /// How it is said: "today".
    pub said: &'static str,
    /// Since how long before now; `None` is the beginning of the day.
    pub since: Option<SignedDuration>,
}

/// Words of questions that no event is found by.
const IDLE: &str = "a about all an and any anything are at arrive arrived be been by came can come could did do does event events ever \
    everything find for from get give going got had happen happened happening has have how i in is it just last \
    late lately latest list many me my new newest news notices now of on our please recent recently see show since \
    so some something tell that the there these things this to up us was we webhooks were what what whats when \
    where which who why with you your";

/// What an event is called in short, and how its title says it.
const SHORT: &[(&str, &str)] = &[
    ("pr", "pull request"),
    ("prs", "pull request"),
    ("pulls", "pull request"),
    ("mr", "merge request"),
    ("mrs", "merge request"),
    ("pushes", "push"),
    ("issues", "issue"),
    ("payments", "payment"),
    ("invoices", "invoice"),
    ("releases", "release"),
    ("deploys", "deploy"),
    ("deployments", "deployment"),
    ("alerts", "alert"),
    ("comments", "comment"),
    ("reviews", "review"),
];

impl Question {
    /// Reads `text`; `handlers` are the names that may stand in it.
    pub fn read(text: &str, handlers: &[String]) -> Self {
        let all: Vec<&str> = text.split_whitespace().map(bare).filter(|word| !word.is_empty()).collect();
        let low: Vec<String> = all.iter().map(|word| word.to_lowercase()).collect();
        let mut wanted = Wanted::default();
        let mut kept: Vec<String> = Vec::new();
        let (mut page, mut pages) = (None, 0);
        for (word, low) in all.iter().zip(&low) {
            if let Some(within) = within(low) {
                wanted.within = Some(within);
            } else if let Some(handler) = handlers.iter().find(|handler| handler.eq_ignore_ascii_case(low)) {
                wanted.handler = Some(handler.clone());
            } else if let Some(asked) = page_of(low) {
                pages += 1;
                page = Some(asked);
                kept.push((*word).to_owned());
            } else if let Some((_, long)) = SHORT.iter().find(|(short, _)| short == low) {
                kept.push((*long).to_owned());
            } else if !IDLE.split(' ').any(|idle| idle == low) {
                wanted.status = wanted.status.or_else(|| status(low));
                kept.push((*word).to_owned());
            }
        }
        let nothing_else = wanted.within.is_none() && wanted.handler.is_none() && kept.len() <= pages;
        if let Some(page) = page.filter(|_| nothing_else) {
            return page;
        }
        wanted.words = clip_chars(&kept.join(" "), WORDS_CHARS_MAX);
        Self::Events(wanted)
    }
}

impl Wanted {
    /// What to look for, one after the other until something is found: all words, the status that they may mean, the longest
    /// word. What is empty finds all events of the handler and the time.
    pub fn tries(&self) -> Vec<Self> {
        let with = |words: &str, status| Self { words: words.to_owned(), status, ..self.clone() };
        let mut tries = vec![with(&self.words, None)];
        // Titles speak of one: `pull requests` asks for each pull request.
        let singular = self.words.split(' ').map(singular).collect::<Vec<_>>().join(" ");
        if singular != self.words {
            tries.push(with(&singular, None));
        }
        if let Some(state) = self.status {
            let others = self.words.split(' ').filter(|word| status(&word.to_lowercase()).is_none());
            tries.push(with(&others.collect::<Vec<_>>().join(" "), Some(state)));
        }
        let longest = self.words.split(' ').max_by_key(|word| word.chars().count()).unwrap_or_default();
        if longest.len() < self.words.len() {
            tries.push(with(longest, None));
        }
        let long_enough = |wanted: &Self| wanted.words.is_empty() || wanted.words.chars().count() >= WORD_CHARS_MIN;
        tries.retain(long_enough);
        tries
    }

    /// What these events are, after "the newest": `failed events of stripe with 'refund' of today`.
    pub fn told(&self) -> String {
        let state = self.status.map(|status| format!("{status} ")).unwrap_or_default();
        let handler = self.handler.as_ref().map(|handler| format!(" of {handler}")).unwrap_or_default();
        let kept = self.words.split(' ').filter(|word| self.status.is_none() || status(&word.to_lowercase()).is_none());
        let words = kept.collect::<Vec<_>>().join(" ");
        let words = if words.is_empty() { String::new() } else { format!(" with '{words}'") };
        let within = self.within.map(|within| format!(", {}", within.said)).unwrap_or_default();
        format!("{state}events{handler}{words}{within}")
    }
}

/// A word without the marks around it.
fn bare(word: &str) -> &str {
    let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '#' && c != '/');
    word.strip_suffix("'s").or_else(|| word.strip_suffix("’s")).unwrap_or(word)
}

/// One of what a plural means, where cutting its ending is enough.
fn singular(word: &str) -> &str {
    match word.strip_suffix('s') {
        Some(one) if one.chars().count() >= WORD_CHARS_MIN && !one.ends_with('s') && one.is_ascii() => one,
        _ => word,
    }
}

fn page_of(word: &str) -> Option<Question> {
    Some(match word {
        "help" | "hello" | "hi" | "hey" | "commands" | "thanks" | "thank" => Question::Help,
        "status" | "health" | "alive" => Question::Status,
        "approval" | "approvals" | "approve" | "pending" | "waiting" | "waits" => Question::Approvals,
        "run" | "runs" => Question::Runs,
        _ => return None,
    })
}

fn within(word: &str) -> Option<Within> {
    let back = |said, hours| Some(Within { said, since: Some(SignedDuration::from_hours(hours)) });
    match word {
        "today" => Some(Within { said: "today (UTC)", since: None }),
        "yesterday" => back("the last two days", 48),
        "hour" => back("the last hour", 1),
        "week" => back("the last seven days", 7 * 24),
        "month" => back("the last thirty days", 30 * 24),
        _ => None,
    }
}

fn status(word: &str) -> Option<EventStatus> {
    Some(match word {
        "fail" | "failed" | "failing" | "failure" | "failures" | "broken" => EventStatus::Failed,
        "refused" | "rejected" | "denied" => EventStatus::Rejected,
        "ignored" | "filtered" => EventStatus::Ignored,
        "duplicate" | "duplicates" => EventStatus::Duplicate,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Question {
        Question::read(text, &["stripe".into(), "github".into()])
    }

    fn wanted(text: &str) -> Wanted {
        match read(text) {
            Question::Events(wanted) => wanted,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_question_keeps_the_words_that_events_have() {
        let told = |text: &str| wanted(text).told();
        assert_eq!(told("What came in today?"), "events, today (UTC)");
        assert_eq!(told("what happened at stripe this week"), "events of stripe, the last seven days");
        assert_eq!(told("any PRs from alice?"), "events with 'pull request alice'");
        assert_eq!(told("acme/shop#42"), "events with 'acme/shop#42'");
        assert_eq!(told("überweisung"), "events with 'überweisung'");
    }

    #[test]
    fn pages_are_asked_for_in_plain_words_and_only_alone() {
        assert_eq!(read("help"), Question::Help);
        assert_eq!(read("Hello!"), Question::Help);
        assert_eq!(read("what is waiting for me?"), Question::Approvals);
        assert_eq!(read("how is the status"), Question::Status);
        assert_eq!(read("pending approvals?"), Question::Approvals);
        assert_eq!(wanted("status of acme/shop").words, "status acme/shop");
        assert_eq!(wanted("approve the refund").words, "approve refund");
    }

    #[test]
    fn a_word_that_may_be_a_status_is_looked_for_first() {
        let tries: Vec<String> = wanted("what failed at github").tries().iter().map(Wanted::told).collect();
        assert_eq!(tries, ["events of github with 'failed'", "failed events of github"]);
        assert_eq!(wanted("what failed at github").told(), "failed events of github");
        let tries: Vec<String> = wanted("octocat's pull requests").tries().iter().map(Wanted::told).collect();
        assert_eq!(tries[..2], ["events with 'octocat pull requests'", "events with 'octocat pull request'"]);
        let tries: Vec<String> = wanted("failed refund acme").tries().iter().map(Wanted::told).collect();
        let all = ["events with 'failed refund acme'", "failed events with 'refund acme'", "events with 'refund'"];
        assert_eq!(tries, all);
    }

    #[test]
    fn what_is_too_short_to_look_for_is_not() {
        assert!(wanted("xy").tries().is_empty());
        assert_eq!(wanted("").tries().len(), 1, "nothing at all asks for the newest events");
        assert!(wanted(&"long ".repeat(100)).words.chars().count() <= WORDS_CHARS_MAX);
    }
}
