//! An answer in Telegram's HTML. Every run of characters gets its own tags around its escaped text, so that tags are balanced
//! wherever an answer is cut, and nothing that a model wrote is a tag.

use teloxide::payloads::{SendChatAction, SendChatActionSetters as _};
use teloxide::types::{ChatAction, ChatId, MessageId, ThreadId};

use super::TelegramChannel;
use super::api::CALL_TIMEOUT;
use super::render::{HTML_BYTES_MAX, Rendered, TEXT_UNITS_MAX};
use crate::domain::notice::ChatKey;
use crate::domain::speech::{Room, Run, Speech};
use crate::domain::text::html_escape;

/// Telegram drops marks after the 100th, and an address without its mark would be a link.
const MARKED_MAX: usize = 90;

/// The messages of an answer.
pub(super) fn parts(speech: &Speech) -> Vec<Speech> {
    speech.parts(Room { units: TEXT_UNITS_MAX, bytes: HTML_BYTES_MAX, marked: MARKED_MAX })
}

/// One message of an answer.
pub(super) fn rendered(part: &Speech) -> Rendered {
    Rendered { html: part.runs().iter().map(html).collect(), plain: part.plain() }
}

fn html(run: &Run<'_>) -> String {
    let mut html = html_escape(&run.text);
    let style = run.style;
    if style.block {
        return format!("<pre>{html}</pre>");
    }
    if style.code {
        return format!("<code>{html}</code>");
    }
    if style.italic {
        html = format!("<i>{html}</i>");
    }
    if style.bold {
        html = format!("<b>{html}</b>");
    }
    match run.link {
        Some(link) => format!("<a href=\"{}\">{html}</a>", html_escape(link)),
        None => html,
    }
}

impl TelegramChannel {
    /// Shows "typing…", if Telegram likes.
    pub(super) async fn show_typing(&self, chat: &ChatKey) {
        let Some((id, thread)) = chat.as_telegram() else { return };
        let mut request = SendChatAction::new(ChatId(self.moved(id)), ChatAction::Typing);
        if let Some(thread) = thread {
            request = request.message_thread_id(ThreadId(MessageId(thread)));
        }
        self.heard(&self.api.call(&request, CALL_TIMEOUT).await);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::text::utf16_len;

    /// Whether every tag is one of ours, is closed in the right order, and nothing else has a bracket.
    fn is_balanced(html: &str) -> bool {
        let mut open = Vec::new();
        let mut rest = html;
        while let Some(start) = rest.find('<') {
            let Some(end) = rest[start..].find('>') else { return false };
            let tag = &rest[start + 1..start + end];
            match tag.strip_prefix('/') {
                Some(name) if open.pop() == Some(name) => {}
                Some(_) => return false,
                None => {
                    let name = tag.split(' ').next().unwrap_or_default();
                    if !["b", "i", "code", "pre", "a"].contains(&name) {
                        return false;
                    }
                    open.push(name);
                }
            }
            rest = &rest[start + end + 1..];
        }
        open.is_empty() && !rest.contains('<')
    }

    #[test]
    fn marks_become_tags_and_brackets_do_not() {
        let links = vec!["https://ok.example/?a=1&b=2".to_owned()];
        let speech = Speech::parse("**a <b> & c** `x<y` [pr](https://ok.example/?a=1&b=2)\n<script>", &links);
        insta::assert_snapshot!(rendered(&speech).html, @r#"
        <b>a &lt;b&gt; &amp; c</b> <code>x&lt;y</code> <a href="https://ok.example/?a=1&amp;b=2">pr</a>
        &lt;script&gt;
        "#);
    }

    proptest! {
        #[test]
        fn every_part_is_balanced_and_within_telegrams_limits(
            text in "([a-z]{1,9}|[*_`~#\\[\\]()!<>&\" \n]|```\n|https://(ok|evil)\\.example/|🙂|\\PC){0,1200}",
            times in 1usize..9,
        ) {
            let speech = Speech::parse(&text.repeat(times), &["https://ok.example/".to_owned()]);
            for part in parts(&speech) {
                let Rendered { html, plain } = rendered(&part);
                prop_assert!(is_balanced(&html), "{html}");
                prop_assert!(utf16_len(&plain) <= TEXT_UNITS_MAX && html.len() <= HTML_BYTES_MAX);
                prop_assert!(part.runs().iter().filter(|run| html_escape(&run.text) != super::html(run)).count() <= 100);
                for target in html.split("href=\"").skip(1) {
                    prop_assert!(target.starts_with("https://ok.example/\""), "{target}");
                }
            }
        }
    }
}
