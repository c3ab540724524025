//! The terminal as a channel: notices as calm text on a stream.
//!
//! It knows colours and indentation. Nothing that came from a payload reaches the terminal as a control sequence.

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::SUMMARY_MARK;
use crate::domain::card::{Block, Card};
use crate::domain::notice::{ChatKey, Message, Severity};
use crate::domain::speech::Speech;
use crate::domain::text::{clean_lines, clip_chars, one_line};
use crate::ports::{Channel, DigestLine, Document, Pacing, SendOutcome, Sent, Summarized};

/// Notices that are committed together; a terminal takes them as fast as they come.
const BATCH: usize = 32;
/// Longest line that is printed, in characters.
const LINE_CHARS_MAX: usize = 2000;
/// Most lines of one notice.
const LINES_MAX: usize = 200;

/// Prints notices to a writer.
pub struct Terminal {
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
    colour: bool,
}

impl Terminal {
    /// A channel that prints to `writer`; `colour` adds SGR sequences, for a terminal only.
    pub fn new(writer: Box<dyn Write + Send>, colour: bool) -> Self {
        Self { writer: Arc::new(Mutex::new(writer)), colour }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn title(&self, title: &str, severity: Severity) -> String {
        let title = clip_chars(&one_line(title), LINE_CHARS_MAX);
        let (sign, code) = match severity {
            Severity::Info => ("●", "36"),
            Severity::Good => ("✔", "32"),
            Severity::Warning => ("▲", "33"),
            Severity::Critical => ("✖", "31"),
        };
        format!("{} {}\n", self.paint(code, sign), self.paint("1", &title))
    }

    fn url(&self, url: &str) -> String {
        format!("  {}\n", self.paint("2", &clip_chars(&one_line(url), LINE_CHARS_MAX)))
    }

    fn render(&self, message: &Message) -> String {
        let mut text = self.title(&message.title, message.severity);
        for line in message.lines.iter().flat_map(|line| clean_lines(line)).take(LINES_MAX) {
            text.push_str(format!("  {}", clip_chars(&line, LINE_CHARS_MAX)).trim_end());
            text.push('\n');
        }
        if let Some(url) = &message.url {
            text.push_str(&self.url(url));
        }
        text
    }

    async fn print(&self, text: String) -> SendOutcome {
        let writer = Arc::clone(&self.writer);
        // A reader that has stopped reading (a pager) blocks the write; it must not block the runtime.
        let written = tokio::task::spawn_blocking(move || {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.write_all(text.as_bytes()).and_then(|()| writer.flush())
        });
        match written.await {
            Ok(Ok(())) => SendOutcome::Sent { message_id: None },
            Ok(Err(error)) => SendOutcome::NotSent { error: format!("the terminal does not take it: {error}") },
            Err(error) => SendOutcome::NotSent { error: format!("printing ended badly: {error}") },
        }
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").field("colour", &self.colour).finish_non_exhaustive()
    }
}

#[async_trait]
impl Channel for Terminal {
    fn name(&self) -> &'static str {
        "terminal"
    }

    fn pacing(&self, _chat: &ChatKey) -> Pacing {
        Pacing {
            chat_interval: Duration::ZERO,
            channel_interval: Duration::ZERO,
            digest_after: None,
            digest_window: Duration::ZERO,
            batch: BATCH,
        }
    }

    async fn send(&self, _chat: &ChatKey, message: &Message, _reply_to: Option<i64>) -> SendOutcome {
        self.print(self.render(message)).await
    }

    async fn send_digest(&self, _chat: &ChatKey, title: &str, lines: &[DigestLine]) -> SendOutcome {
        let mut text = self.title(title, Severity::Info);
        for line in lines {
            text.push_str(&format!("  {}\n", clip_chars(&one_line(&line.title), LINE_CHARS_MAX)));
        }
        self.print(text).await
    }

    fn digest_fits(&self, _title: &str, lines: &[DigestLine]) -> usize {
        lines.len().clamp(1, LINES_MAX)
    }

    fn card_fits(&self, _card: &Card) -> bool {
        true
    }

    async fn send_card(&self, _chat: &ChatKey, card: &Card) -> SendOutcome {
        let mut text = self.title(&card.title, card.severity);
        for block in &card.blocks {
            let (Block::Text(lines) | Block::Code(lines)) = block;
            for line in clean_lines(lines) {
                text.push_str(format!("  {line}").trim_end());
                text.push('\n');
            }
        }
        self.print(text).await
    }

    async fn edit_card(&self, _chat: &ChatKey, _message_id: i64, _card: &Card) -> SendOutcome {
        SendOutcome::Refused { error: "what is printed cannot be changed".into() }
    }

    fn speech_parts(&self, speech: &Speech) -> Vec<Speech> {
        vec![speech.clone()]
    }

    async fn say(&self, _chat: &ChatKey, part: &Speech, _reply_to: Option<i64>) -> SendOutcome {
        let lines = clean_lines(&part.in_terminal()).map(|line| format!("  {line}")).collect::<Vec<_>>();
        self.print(format!("{}\n", lines.join("\n"))).await
    }

    async fn revise(&self, _chat: &ChatKey, _message_id: i64, _part: &Speech) -> SendOutcome {
        SendOutcome::Refused { error: "what is printed cannot be changed".into() }
    }

    async fn add_summary(&self, _chat: &ChatKey, _message_id: Option<i64>, summarized: &Summarized<'_>) -> SendOutcome {
        let title = match summarized.sent {
            Sent::Notice(message) => message.title.as_str(),
            Sent::Digest { title, .. } => title,
        };
        let line = |text: &str| clip_chars(&one_line(text), LINE_CHARS_MAX);
        self.print(format!("{} {}\n  {}\n", self.paint("35", SUMMARY_MARK), line(title), line(summarized.text))).await
    }

    async fn send_document(&self, _chat: &ChatKey, document: &Document) -> SendOutcome {
        let lines = clean_lines(&document.text).map(|line| format!("  {line}\n")).collect::<String>();
        self.print(format!("{}\n{lines}", one_line(&document.caption))).await
    }

    async fn probe(&self) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    async fn printed(colour: bool, message: &Message) -> String {
        let shared = Shared::default();
        let terminal = Terminal::new(Box::new(shared.clone()), colour);
        let outcome = terminal.send(&ChatKey::terminal(), message, None).await;
        assert_eq!(outcome, SendOutcome::Sent { message_id: None });
        String::from_utf8(shared.0.lock().expect("not poisoned").clone()).expect("UTF-8")
    }

    #[tokio::test]
    async fn a_notice_is_a_title_indented_lines_and_a_link() {
        let message = Message {
            title: "acme/shop: alice opened #42".into(),
            lines: vec!["Fix rounding\n+10 −3".into()],
            url: Some("https://example.com/42".into()),
            severity: Severity::Good,
        };
        assert_eq!(
            printed(false, &message).await,
            "✔ acme/shop: alice opened #42\n  Fix rounding\n  +10 −3\n  https://example.com/42\n"
        );
        assert!(printed(true, &message).await.contains("\x1b[2mhttps://example.com/42\x1b[0m"));
    }

    #[tokio::test]
    async fn a_payload_cannot_write_control_sequences() {
        let hostile = "a\x1b[2J\x1b]0;owned\x07b\u{9b}31m\r\u{202e}c".to_owned();
        let message = Message {
            title: hostile.clone(),
            lines: vec![hostile.clone()],
            url: Some(hostile),
            severity: Severity::Info,
        };
        let text = printed(false, &message).await;
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert!(!text.contains('\u{202e}'), "{text:?}");
    }
}
