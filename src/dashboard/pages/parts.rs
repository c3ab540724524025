//! Small parts that pages share: times, states, sizes, links, lists without content.
//!
//! Whatever came from outside passes through here or through `maud`, which escapes it; texts that can turn the reading
//! direction are cleaned or spelled out first.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use crate::domain::approval::ApprovalState;
use crate::domain::event::{EventStatus, Verdict};
use crate::domain::notice::{Message, NoticeState, Severity};
use crate::domain::run::{RunState, StepState};
use crate::domain::text::{clean_lines, clip_chars, one_line, spelled_line};

/// Longest title in a list, in characters.
const TITLE_CHARS_MAX: usize = 240;
/// Longest texts of a row in a list, in bytes of HTML: what it is, and what stands beneath.
const ROW_TITLE_BYTES_MAX: usize = 360;
const ROW_MORE_BYTES_MAX: usize = 280;
/// Longest text that a page is there to tell, in characters: a step of a set-up, a finding, a reason.
const TEXT_CHARS_MAX: usize = 1000;
/// Bytes of text of a message, and most lines.
const BUBBLE_BYTES_MAX: usize = 6 * 1024;
const LINES_MAX: usize = 40;
/// The longest of what stands for a character in HTML, in bytes.
const HTML_ENTITY_BYTES: usize = 6;
/// Longest link that is shown as one, in bytes.
const URL_BYTES_MAX: usize = 2048;

/// How a state looks: each is a word of its own, the colour only helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    Warn,
    Busy,
    Quiet,
    Idle,
}

impl Tone {
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Warn => "warn",
            Self::Busy => "busy",
            Self::Quiet => "quiet",
            Self::Idle => "idle",
        }
    }
}

/// A dot and a word.
pub(super) fn state(tone: Tone, word: &str) -> Markup {
    html! { span class={ "st " (tone.class()) } { (word) } }
}

pub(super) fn event_state(status: EventStatus) -> Markup {
    let tone = match status {
        EventStatus::Accepted => Tone::Busy,
        EventStatus::Processed => Tone::Good,
        EventStatus::Ignored | EventStatus::Duplicate => Tone::Idle,
        EventStatus::Rejected | EventStatus::Failed => Tone::Bad,
    };
    state(tone, status.as_str())
}

pub(super) fn verdict_state(verdict: Verdict) -> Markup {
    let tone = match verdict {
        Verdict::Valid => Tone::Good,
        Verdict::Unsigned => Tone::Warn,
        Verdict::Missing | Verdict::Invalid | Verdict::Stale => Tone::Bad,
    };
    state(tone, verdict_words(verdict))
}

/// A verdict in words.
pub(super) fn verdict_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "signature valid",
        Verdict::Unsigned => "unsigned",
        Verdict::Missing => "signature missing",
        Verdict::Invalid => "signature wrong",
        Verdict::Stale => "signature too old",
    }
}

pub(super) fn run_tone(state: RunState) -> Tone {
    match state {
        RunState::Running => Tone::Busy,
        RunState::Waiting => Tone::Warn,
        RunState::Success => Tone::Good,
        RunState::Error | RunState::InDoubt => Tone::Bad,
        RunState::Denied | RunState::Expired | RunState::Cancelled => Tone::Idle,
    }
}

pub(super) fn run_state(run: RunState) -> Markup {
    state(run_tone(run), &words_of(run.as_str()))
}

pub(super) fn step_tone(state: StepState) -> Tone {
    match state {
        StepState::Ready | StepState::Skipped => Tone::Idle,
        StepState::Waiting => Tone::Warn,
        StepState::Started => Tone::Busy,
        StepState::Success => Tone::Good,
        StepState::Error | StepState::InDoubt => Tone::Bad,
        StepState::Denied | StepState::Expired | StepState::Cancelled => Tone::Idle,
    }
}

pub(super) fn approval_state(approval: ApprovalState) -> Markup {
    let tone = match approval {
        ApprovalState::Pending => Tone::Warn,
        ApprovalState::Approved => Tone::Good,
        ApprovalState::Denied => Tone::Bad,
        ApprovalState::Expired | ApprovalState::Cancelled => Tone::Idle,
    };
    state(tone, approval.as_str())
}

pub(super) fn notice_state(notice: NoticeState) -> Markup {
    let tone = match notice {
        NoticeState::Pending => Tone::Busy,
        NoticeState::Sent | NoticeState::Edited => Tone::Good,
        NoticeState::MaybeSent => Tone::Warn,
        NoticeState::Failed => Tone::Bad,
        NoticeState::Muted => Tone::Idle,
    };
    state(tone, &words_of(notice.as_str()))
}

/// `in_doubt` as people write it.
pub(super) fn words_of(word: &str) -> String {
    word.replace('_', " ")
}

/// How long ago; the exact moment is beneath the pointer.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> Markup {
    html! { time.ago.nowrap datetime=(at) title=(exact(at)) { (ago_text(at, now)) } }
}

fn ago_text(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs();
    match seconds {
        ..5 => "just now".into(),
        5..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        86_400..604_800 => format!("{} d ago", seconds / 86_400),
        _ => at.strftime("%Y-%m-%d").to_string(),
    }
}

/// A moment to the second.
pub(super) fn moment(at: Timestamp) -> Markup {
    html! { time.nowrap datetime=(at) title=(exact(at)) { (at.strftime("%Y-%m-%d %H:%M:%S UTC")) } }
}

fn exact(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S%.3f UTC").to_string()
}

/// How long something took or lasts: `840 ms`, `3.2 s`, `4 min 05 s`, `2 h 10 min`, `3 d 4 h`.
pub(super) fn span(duration: SignedDuration) -> String {
    let ms = duration.as_millis().max(0);
    match ms {
        ..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..3_600_000 => format!("{} min {:02} s", ms / 60_000, ms % 60_000 / 1000),
        3_600_000..86_400_000 => format!("{} h {:02} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
        _ => format!("{} d {} h", ms / 86_400_000, ms % 86_400_000 / 3_600_000),
    }
}

/// A size: `812 bytes`, `4.1 KB`, `5.2 MB`.
pub(super) fn bytes(count: u64) -> String {
    match count {
        ..1000 => format!("{count} bytes"),
        1000..1_000_000 => format!("{}.{} KB", count / 1000, count % 1000 / 100),
        _ => format!("{}.{} MB", count / 1_000_000, count % 1_000_000 / 100_000),
    }
}

/// A number with thin spaces between thousands.
pub(super) fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 * 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A title from outside, as one line that cannot disguise itself.
pub(super) fn title(text: &str) -> String {
    clip_chars(&one_line(text), TITLE_CHARS_MAX)
}

/// The same for a row of a list, whose page has many: whatever is in it, a page of rows stays small.
pub(super) fn row_title(text: &str) -> String {
    clip_html(&title(text), ROW_TITLE_BYTES_MAX)
}

/// What stands beneath a row's title.
pub(super) fn row_more(text: &str) -> String {
    clip_html(&title(text), ROW_MORE_BYTES_MAX)
}

/// A text that somebody needs whole, in one line: why, or what to do. Longer than a title may be.
pub(super) fn told(text: &str) -> String {
    clip_chars(&one_line(text), TEXT_CHARS_MAX)
}

/// A sentence of ours in which `code` stands between backticks.
pub(super) fn prose(text: &str) -> Markup {
    let text = told(text);
    html! {
        @for (index, piece) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (piece) } } @else { (piece) }
        }
    }
}

/// A text with its lines, and what hides in it spelled out.
pub(super) fn spelled_lines(text: &str) -> String {
    text.lines().map(spelled_line).collect::<Vec<_>>().join("\n")
}

/// The beginning of a text that takes at most so many bytes in HTML.
pub(super) fn clip_html(text: &str, bytes_max: usize) -> String {
    let mut bytes = 0;
    let fits = |c: &char| {
        bytes += if matches!(c, '<' | '>' | '&' | '"') { HTML_ENTITY_BYTES } else { c.len_utf8() };
        bytes <= bytes_max
    };
    let chars = text.chars().take_while(fits).count();
    clip_chars(text, chars)
}

/// The rows of a list that have room together: those that matter before the others, all in their order.
pub(super) fn within<T>(
    items: &[T],
    bytes_max: usize,
    matters: impl Fn(&T) -> bool,
    row: impl Fn(&T) -> Markup,
) -> Vec<Markup> {
    let (first, rest): (Vec<_>, Vec<_>) = items.iter().enumerate().partition(|(_, item)| matters(item));
    let mut bytes = 0;
    let rows = first.into_iter().chain(rest).map(|(at, item)| (at, row(item)));
    let fits = |(_, row): &(usize, Markup)| {
        bytes += row.0.len();
        bytes <= bytes_max
    };
    let mut shown: Vec<(usize, Markup)> = rows.take_while(fits).collect();
    shown.sort_by_key(|(at, _)| *at);
    shown.into_iter().map(|(_, row)| row).collect()
}

/// The end of an id, which is what differs between ids of one day.
pub(super) fn short_id(id: &str) -> String {
    let prefix = id.split_once('_').map_or("", |(prefix, _)| prefix);
    let tail: String = id.chars().skip(id.chars().count().saturating_sub(8)).collect();
    format!("{prefix}_…{tail}")
}

/// A link that leaves the dashboard; anything that is no web address is shown as text.
pub(super) fn outside_link(url: &str, shown: &str) -> Markup {
    let safe = url.len() <= URL_BYTES_MAX
        && (url.starts_with("https://") || url.starts_with("http://"))
        && url.chars().all(|c| c.is_ascii_graphic());
    html! {
        @if safe { a href=(url) rel="noreferrer noopener" target="_blank" { (shown) } } @else { span { (shown) } }
    }
}

/// A message as a chat shows it.
pub(super) fn bubble(message: &Message) -> Markup {
    let sign = match message.severity {
        Severity::Info => "",
        Severity::Good => "✅ ",
        Severity::Warning => "⚠️ ",
        Severity::Critical => "🔴 ",
    };
    let lines = message.lines.iter().flat_map(|line| clean_lines(line)).take(LINES_MAX);
    let lines: Vec<String> = lines.map(|line| clip_html(&line, BUBBLE_BYTES_MAX / 4)).collect();
    let mut bytes = 0;
    html! {
        div.bubble {
            p { strong { (sign) (title(&message.title)) } }
            @for line in lines.iter().take_while(|line| { bytes += line.len(); bytes <= BUBBLE_BYTES_MAX }) { p { (line) } }
            @if let Some(url) = &message.url { p.clip { (outside_link(url, &clip_chars(&one_line(url), 100))) } }
        }
    }
}

/// A list that has nothing in it, and how it gets something.
pub(super) fn empty(what: &str, how: &Markup) -> Markup {
    html! { div.empty { strong { (what) } p { (how) } } }
}

/// A copy button; without the script it is not there.
pub(super) fn copy(text: &str) -> Markup {
    html! { button.quiet type="button" data-js hidden data-copy=(text) { "copy" } }
}

/// A form that changes something: its token, and where it goes.
pub(super) fn change(action: &str, csrf: &str, inner: &Markup) -> Markup {
    html! {
        form method="post" action=(action) {
            input type="hidden" name="csrf" value=(csrf);
            (inner)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_764_000_000 + second).expect("in range")
    }

    #[test]
    fn times_and_sizes_read_well() {
        let told = |seconds: i64| ago_text(at(-seconds), at(0));
        assert_eq!(
            [told(0), told(42), told(61), told(7300), told(200_000)].join(", "),
            "just now, 42 s ago, 1 min ago, 2 h ago, 2 d ago"
        );
        let took = |ms| span(SignedDuration::from_millis(ms));
        assert_eq!(
            [took(840), took(3250), took(245_000), took(7_800_000)].join(", "),
            "840 ms, 3.2 s, 4 min 05 s, 2 h 10 min"
        );
        assert_eq!((bytes(812), bytes(4100), bytes(5_242_880)), ("812 bytes".into(), "4.1 KB".into(), "5.2 MB".into()));
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
    }

    #[test]
    fn what_matters_has_room_first_and_stands_in_its_place() {
        let rows = ["one", "two", "BAD", "four"];
        let within = |bytes_max| {
            let shown = super::within(&rows, bytes_max, |row| *row == "BAD", |row| html! { (row) });
            shown.into_iter().map(|row| row.0).collect::<Vec<_>>().join(" ")
        };
        assert_eq!([within(100), within(9), within(5), within(2)], ["one two BAD four", "one two BAD", "BAD", ""]);
        assert_eq!([clip_html("abc", 3), clip_html("a<<<b", 14)], ["abc", "a<…"]);
    }

    #[test]
    fn only_web_addresses_become_links() {
        assert!(outside_link("https://example.com/a", "a").into_string().contains("href"));
        for bad in ["javascript:alert(1)", "data:text/html,x", "https://e.com/\u{202e}", " https://e.com"] {
            assert!(!outside_link(bad, "a").into_string().contains("href"), "{bad}");
        }
    }

    #[test]
    fn a_hostile_title_is_text_and_reads_in_one_direction() {
        let shown = html! { (title("<script>alert(1)</script>\u{202e}gpj")) }.into_string();
        assert_eq!(shown, "&lt;script&gt;alert(1)&lt;/script&gt;gpj");
    }
}
