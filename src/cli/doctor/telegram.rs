//! Telegram: whether the token is a bot's, nothing takes its messages away, and every chat can be reached.

use super::Told;
use super::report::Report;
use crate::channel::telegram::{CheckError, TelegramCheck};
use crate::config::{Config, Telegram};

/// Most chats that are asked for; each costs a request.
const CHATS_MAX: usize = 20;

pub(super) async fn telegram(config: &Config, report: &mut Report) -> Option<Told> {
    let Some(telegram) = &config.telegram else {
        report.ok("telegram", "not configured; notices appear where the agent runs");
        return None;
    };
    let check = match TelegramCheck::new(&telegram.token, &telegram.api_url) {
        Ok(check) => check,
        Err(error) => {
            report.bad("telegram", error.to_string(), "set telegram.api_url, or leave it out");
            return None;
        }
    };
    let bot = check.bot().await;
    let told = Told::now("Telegram", check.server_time());
    match &bot {
        Ok(bot) => report.ok("telegram", format!("the token is that of @{}", bot.username)),
        Err(CheckError::BadToken) => {
            report.bad(
                "telegram",
                "Telegram refuses the token",
                "copy it again from @BotFather into TELEGRAM_BOT_TOKEN",
            );
        }
        Err(error) => {
            let message = format!("{} does not answer: {error}", telegram.api_url);
            report.bad("telegram", message, "look at the network and at telegram.api_url; notices wait until it works");
        }
    }
    people(telegram, report);
    if bot.is_ok() {
        webhook(&check, report).await;
        chats(&check, telegram, report).await;
    }
    told
}

async fn webhook(check: &TelegramCheck, report: &mut Report) {
    match check.webhook_host().await {
        Ok(None) => {}
        Ok(Some(host)) => {
            let message = format!("a webhook to {host} takes this bot's messages, so commands do not arrive here");
            report.bad("telegram", message, "use a bot of its own, or remove that webhook (deleteWebhook)");
        }
        Err(error) => report.warn("telegram", format!("whether a webhook is set is unknown: {error}"), "try again"),
    }
}

async fn chats(check: &TelegramCheck, telegram: &Telegram, report: &mut Report) {
    if telegram.chats.is_empty() {
        report.warn("chats", "telegram.chats is empty, so nobody is told anything", "add telegram.chats.default");
    }
    for (name, key) in telegram.chats.iter().take(CHATS_MAX) {
        let Some((id, _)) = key.as_telegram() else { continue };
        let line = format!("chat {name}");
        match check.chat(id).await {
            Ok(title) => report.ok(&line, title),
            Err(CheckError::Refused(words)) => {
                let fix = if id < 0 { "add the bot to the group" } else { "the person must write to the bot first" };
                report.bad(&line, format!("{id} cannot be reached: {words}"), format!("check the id; {fix}"));
            }
            Err(error) => report.bad(&line, format!("{id} cannot be reached: {error}"), "try again"),
        }
    }
    let more = telegram.chats.len().saturating_sub(CHATS_MAX);
    if more > 0 {
        report.ok("chats", format!("{more} more were not asked for"));
    }
}

fn people(telegram: &Telegram, report: &mut Report) {
    if telegram.allowed_users.is_empty() {
        let message = "allowed_users is empty, so nobody may command the bot or decide";
        report.warn(
            "telegram",
            message,
            "write to the bot: it answers with your id, which belongs into telegram.allowed_users",
        );
    }
}
