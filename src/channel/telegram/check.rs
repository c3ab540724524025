//! Questions to a Bot API server that no notice depends on: for `agent doctor`, and for `agent init`, which learns a person's
//! ids from their first message.
//!
//! Answers are read into small structs of our own, so that nothing outside this folder sees the Bot API's types. No error
//! holds the token.

use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use teloxide::payloads::{DeleteWebhook, GetChat, GetMe, GetUpdates, GetUpdatesSetters as _, GetWebhookInfo};
use teloxide::requests::Payload;
use teloxide::types::{AllowedUpdate, ChatId, Recipient};

use super::api::{Api, Reply, TelegramError};
use crate::config::Secret;
use crate::domain::text::{clip_chars, one_line};

/// Longest wait for an answer to a question.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the server may hold a poll open.
const POLL_SECONDS: u32 = 10;
/// How long we wait for it.
const POLL_TIMEOUT: Duration = Duration::from_secs(15);
/// Updates in one poll; Telegram's own limit.
const UPDATES_MAX: u8 = 100;
/// Longest name that is shown.
const NAME_CHARS_MAX: usize = 80;

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// There is no bot of that token.
    #[error("Telegram refuses the token")]
    BadToken,
    /// Somebody else reads this bot's messages, or its webhook takes them.
    #[error("another program reads this bot's messages, or a webhook is set")]
    Taken,
    /// The server refuses, in its words.
    #[error("{0}")]
    Refused(String),
    /// No answer that can be used.
    #[error("{0}")]
    NoAnswer(String),
}

/// The bot behind a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bot {
    /// Its name after the `@`.
    pub username: String,
}

/// Somebody's message to the bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstMessage {
    /// The chat it was written in.
    pub chat: i64,
    /// The chat's title; `None` for a private one.
    pub title: Option<String>,
    /// The person.
    pub user: u64,
    /// What they call themselves, on one line.
    pub name: String,
}

/// What a poll brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Messages of people, oldest first.
    pub messages: Vec<FirstMessage>,
    /// Where the next poll begins; asking there confirms what came before.
    pub next: Option<i32>,
}

/// Asks one bot's server.
#[derive(Debug)]
pub struct TelegramCheck {
    api: Api,
}

impl TelegramCheck {
    /// For the bot of `token` over the Bot API server at `api_url`. Opens no connection yet.
    ///
    /// # Errors
    /// When `api_url` is no base for requests.
    pub fn new(token: &Secret, api_url: &str) -> Result<Self, TelegramError> {
        Ok(Self { api: Api::new(token, api_url)? })
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// [`CheckError::BadToken`] when it is nobody's.
    pub async fn bot(&self) -> Result<Bot, CheckError> {
        #[derive(Deserialize)]
        struct Me {
            username: String,
        }
        let me: Me = self.ask(&GetMe::new(), ASK_TIMEOUT).await?;
        Ok(Bot { username: clip_chars(&one_line(&me.username), NAME_CHARS_MAX) })
    }

    /// The server's time in its last answer.
    pub fn server_time(&self) -> Option<Timestamp> {
        self.api.answered_at()
    }

    /// The name of a chat that the bot can reach.
    ///
    /// # Errors
    /// [`CheckError::Refused`] when it cannot.
    pub async fn chat(&self, chat: i64) -> Result<String, CheckError> {
        let chat: Chat = self.ask(&GetChat::new(Recipient::Id(ChatId(chat))), ASK_TIMEOUT).await?;
        Ok(chat.shown())
    }

    /// The host of the webhook that is set at Telegram; with one, polling is refused.
    ///
    /// # Errors
    /// When the server does not tell.
    pub async fn webhook_host(&self) -> Result<Option<String>, CheckError> {
        #[derive(Deserialize)]
        struct Info {
            #[serde(default)]
            url: String,
        }
        let info: Info = self.ask(&GetWebhookInfo::new(), ASK_TIMEOUT).await?;
        // The path of such a URL is often its secret.
        let host = info.url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
        Ok((!info.url.is_empty()).then(|| host.unwrap_or_else(|| "an unreadable address".to_owned())))
    }

    /// Removes the webhook, so that messages can be polled. What waits for it stays.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn remove_webhook(&self) -> Result<(), CheckError> {
        self.ask::<_, bool>(&DeleteWebhook::new(), ASK_TIMEOUT).await.map(drop)
    }

    /// Waits some seconds for messages from `next` on.
    ///
    /// # Errors
    /// [`CheckError::Taken`] when somebody else reads them.
    pub async fn messages(&self, next: Option<i32>) -> Result<Heard, CheckError> {
        let mut request =
            GetUpdates::new().limit(UPDATES_MAX).timeout(POLL_SECONDS).allowed_updates([AllowedUpdate::Message]);
        if let Some(next) = next {
            request = request.offset(next);
        }
        let updates: Vec<Update> = self.ask(&request, POLL_TIMEOUT).await?;
        let last = updates.iter().map(|update| update.update_id).max();
        let messages = updates.into_iter().filter_map(|update| update.message?.first()).collect();
        Ok(Heard { messages, next: last.map(|last| last.saturating_add(1)).or(next) })
    }

    async fn ask<P: Payload + Serialize, T: DeserializeOwned>(
        &self,
        question: &P,
        timeout: Duration,
    ) -> Result<T, CheckError> {
        match self.api.call(question, timeout).await {
            Reply::Done(result) => serde_json::from_str(result.get())
                .map_err(|_| CheckError::NoAnswer(format!("{} answers something else", P::NAME))),
            // 404 is what a token without a colon gets: the path is then no bot's.
            Reply::Said(error) if matches!(error.error_code, 401 | 404) => Err(CheckError::BadToken),
            Reply::Said(error) if error.error_code == 409 => Err(CheckError::Taken),
            Reply::Said(error) => Err(CheckError::Refused(error.to_string())),
            Reply::DoneUnread(_) => Err(CheckError::NoAnswer("the answer cannot be read".into())),
            Reply::NotSent(error) | Reply::Unanswered(error) => Err(CheckError::NoAnswer(error)),
        }
    }
}

#[derive(Deserialize)]
struct Update {
    update_id: i32,
    message: Option<Message>,
}

#[derive(Deserialize)]
struct Message {
    chat: Chat,
    from: Option<Person>,
    sender_chat: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Person {
    id: u64,
    is_bot: bool,
    first_name: String,
    last_name: Option<String>,
    username: Option<String>,
}

#[derive(Deserialize)]
struct Chat {
    id: i64,
    title: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    username: Option<String>,
}

impl Message {
    /// The message as one of a person; bots, channels and anonymous administrators are nobody.
    fn first(self) -> Option<FirstMessage> {
        let from = self.from.filter(|from| !from.is_bot && self.sender_chat.is_none())?;
        let name = shown(Some(&from.first_name), from.last_name.as_deref(), from.username.as_deref());
        let title = self.chat.title.as_deref().map(|title| clip_chars(&one_line(title), NAME_CHARS_MAX));
        Some(FirstMessage { chat: self.chat.id, title, user: from.id, name })
    }
}

impl Chat {
    fn shown(&self) -> String {
        let first = self.title.as_deref().or(self.first_name.as_deref());
        shown(first, self.last_name.as_deref(), self.username.as_deref())
    }
}

fn shown(first: Option<&str>, last: Option<&str>, username: Option<&str>) -> String {
    let at = username.map(|name| format!("(@{name})"));
    let parts: Vec<&str> = [first, last, at.as_deref()].into_iter().flatten().collect();
    clip_chars(&one_line(&parts.join(" ")), NAME_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_people_are_heard_and_by_the_name_they_use() {
        let heard =
            |text: &str| serde_json::from_str::<Update>(text).expect("an update").message.and_then(Message::first);
        let ann = r#"{"id":7,"is_bot":false,"first_name":"Ann","last_name":"Lee","username":"ann"}"#;
        let private =
            heard(&format!(r#"{{"update_id":1,"message":{{"chat":{{"id":7,"type":"private"}},"from":{ann}}}}}"#));
        let expected = FirstMessage { chat: 7, title: None, user: 7, name: "Ann Lee (@ann)".into() };
        assert_eq!(private, Some(expected));
        let group = format!(r#"{{"update_id":1,"message":{{"chat":{{"id":-5,"title":"Ops\nteam"}},"from":{ann}}}}}"#);
        assert_eq!(heard(&group).and_then(|first| first.title).as_deref(), Some("Ops team"));
        let anonymous = format!(
            r#"{{"update_id":1,"message":{{"chat":{{"id":-5,"title":"Ops"}},"from":{ann},"sender_chat":{{"id":-5}}}}}}"#
        );
        assert_eq!(heard(&anonymous), None);
        assert_eq!(heard(&group.replace("\"is_bot\":false", "\"is_bot\":true")), None);
        assert_eq!(heard(r#"{"update_id":1,"edited_message":{}}"#), None);
    }
}
