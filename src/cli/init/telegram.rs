//! Setting up Telegram: the bot by its token, the person by their first message, and a test notice as the proof.

use std::sync::Arc;
use std::time::Duration;

use super::console::Console;
use crate::channel::TelegramChannel;
use crate::channel::telegram::{Bot, CheckError, FirstMessage, TelegramCheck};
use crate::cli::out::harmless;
use crate::config::Secret;
use crate::domain::notice::{ChatKey, Message, Severity};
use crate::ports::{Channel as _, SendOutcome, SystemClock};

/// Tokens that are tried before this is given up.
const TOKENS_MAX: usize = 3;
/// Longest wait for the person's first message.
const MESSAGE_WAIT_MAX: Duration = Duration::from_secs(5 * 60);
/// The pause after a poll that brought nothing: a server that does not hold polls open must not be asked in a circle.
const POLL_PAUSE: Duration = Duration::from_millis(500);
/// Polls in a row that may fail.
const FAILURES_MAX: usize = 3;

/// What was learned.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) token: Secret,
    /// The chat and the person; `None` when the person skipped it.
    pub(super) person: Option<FirstMessage>,
}

/// Asks and listens; `None` when the person wants no Telegram.
pub(super) async fn set_up(console: &mut Console, api_url: &str) -> anyhow::Result<Option<Found>> {
    console.say("\nTelegram: talk to @BotFather, send /newbot, and copy the token that it gives you.")?;
    let Some((token, check, bot)) = token(console, api_url).await? else { return Ok(None) };
    let person = if pollable(console, &check).await? { first_message(console, &check, &bot).await? } else { None };
    if let Some(person) = &person {
        let outcome = test_notice(&token, api_url, person.chat).await?;
        console.say(&outcome)?;
    }
    Ok(Some(Found { token, person }))
}

async fn token(console: &mut Console, api_url: &str) -> anyhow::Result<Option<(Secret, TelegramCheck, Bot)>> {
    for _ in 0..TOKENS_MAX {
        let Some(token) = console.secret("Token (not shown; empty for no Telegram)").await? else { return Ok(None) };
        let possible = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-');
        if !token.expose().chars().all(possible) || !token.expose().contains(':') {
            console.say("That is no token: one looks like 123456789:AAF…")?;
            continue;
        }
        let check = TelegramCheck::new(&token, api_url)?;
        match check.bot().await {
            Ok(bot) => {
                console.say(&format!("That is @{}.", harmless(&bot.username)))?;
                return Ok(Some((token, check, bot)));
            }
            Err(CheckError::BadToken) => console.say("Telegram refuses that token.")?,
            Err(error) => console.say(&format!("Telegram does not answer: {error}"))?,
        }
    }
    console.say("Going on without Telegram; run 'agent init --force' again when you have the token.")?;
    Ok(None)
}

/// Sees to it that messages can be fetched.
async fn pollable(console: &mut Console, check: &TelegramCheck) -> anyhow::Result<bool> {
    let Ok(Some(host)) = check.webhook_host().await else { return Ok(true) };
    let question = format!("A webhook to {} takes this bot's messages. Remove it?", harmless(&host));
    if !console.confirm(&question, false).await? {
        console.say("Then commands will not arrive here: use a bot of its own.")?;
        return Ok(false);
    }
    if let Err(error) = check.remove_webhook().await {
        console.say(&format!("It cannot be removed: {error}"))?;
        return Ok(false);
    }
    Ok(true)
}

async fn first_message(
    console: &mut Console,
    check: &TelegramCheck,
    bot: &Bot,
) -> anyhow::Result<Option<FirstMessage>> {
    let name = harmless(&bot.username);
    console.say(&format!("Send any message to @{name} now (https://t.me/{name}), or in a group that it is in."))?;
    console.say(&format!("Waiting for {} minutes; Enter goes on without.", MESSAGE_WAIT_MAX.as_secs() / 60))?;
    let deadline = tokio::time::Instant::now() + MESSAGE_WAIT_MAX;
    let (mut next, mut failures) = (None, 0);
    loop {
        let heard = tokio::select! {
            heard = check.messages(next) => heard,
            () = console.enter() => return Ok(None),
            () = tokio::time::sleep_until(deadline) => {
                console.say("Nobody wrote.")?;
                return Ok(None);
            }
        };
        match heard {
            Ok(heard) => {
                failures = 0;
                next = heard.next;
                let empty = heard.messages.is_empty();
                for message in heard.messages {
                    if is_you(console, &message).await? {
                        return Ok(Some(message));
                    }
                }
                if empty {
                    tokio::time::sleep(POLL_PAUSE).await;
                }
            }
            Err(error) => {
                failures += 1;
                if failures == FAILURES_MAX || error == CheckError::Taken {
                    console.say(&format!("Messages cannot be fetched: {error}."))?;
                    return Ok(None);
                }
                tokio::time::sleep(POLL_PAUSE).await;
            }
        }
    }
}

async fn is_you(console: &mut Console, message: &FirstMessage) -> anyhow::Result<bool> {
    let place = match &message.title {
        Some(title) => format!(" in the group '{}'", harmless(title)),
        None => String::new(),
    };
    let name = harmless(&message.name);
    console.confirm(&format!("{name} (id {}) wrote{place}. Is that you?", message.user), true).await
}

/// Sends the first notice; gives a sentence about it.
async fn test_notice(token: &Secret, api_url: &str, chat: i64) -> anyhow::Result<String> {
    let channel = TelegramChannel::new(token, api_url, Arc::new(SystemClock))?;
    let message = Message {
        lines: vec!["What your webhooks tell will appear in this chat. /help shows what you can ask.".to_owned()],
        severity: Severity::Good,
        ..Message::title("hookhand can write to you here")
    };
    Ok(match channel.send(&ChatKey::telegram(chat, None), &message, None).await {
        SendOutcome::Sent { .. } => "A test notice is in that chat.".to_owned(),
        SendOutcome::NotSent { error } | SendOutcome::Refused { error } | SendOutcome::Unanswered { error } => {
            format!("The test notice did not arrive: {error}")
        }
        SendOutcome::RetryAfter { wait } => {
            format!("Telegram asks to wait {} s before the test notice; the agent will write later.", wait.as_secs())
        }
    })
}
