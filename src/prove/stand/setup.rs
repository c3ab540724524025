//! One agent's configuration, workflows and Telegram.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{AgentProcess, SecretBook};
use crate::prove::telegram::{BotApi, TOKEN};

/// Who may decide; also the default chat.
pub(in crate::prove) const APPROVER: i64 = 7001;
/// Somebody on no list.
pub(in crate::prove) const STRANGER: i64 = 9009;
/// What the senders sign with.
pub(in crate::prove) const SECRET: &str = "prove-secret-b7c9e1d2f3a4";

/// A folder with a configuration, and the Telegram that it names.
#[derive(Debug)]
pub(in crate::prove) struct Setup {
    pub(in crate::prove) folder: PathBuf,
    pub(in crate::prove) telegram: BotApi,
}

/// What differs between agents.
#[derive(Debug, Clone, Default)]
pub(in crate::prove) struct Wanted {
    /// Handlers besides `github`: name and what stands in its braces.
    pub(in crate::prove) handlers: Vec<(String, String)>,
    /// Chats besides the default: name and id; each id may decide too.
    pub(in crate::prove) chats: Vec<(String, i64)>,
    /// Workflows: name and text.
    pub(in crate::prove) workflows: Vec<(String, String)>,
    /// More keys at the top.
    pub(in crate::prove) keys: String,
    /// Whether tools may reach loopback.
    pub(in crate::prove) loopback: bool,
}

impl Setup {
    /// Writes everything under `folder`.
    pub(in crate::prove) async fn write(folder: &Path, wanted: &Wanted, secrets: &SecretBook) -> Result<Self, String> {
        secrets.add(SECRET);
        secrets.add(TOKEN);
        let telegram = BotApi::start().await;
        let fault = |error: std::io::Error| format!("{}: {error}", folder.display());
        std::fs::create_dir_all(folder.join("data/workflows")).map_err(fault)?;
        std::fs::create_dir_all(folder.join("data/files")).map_err(fault)?;
        std::fs::write(folder.join("config.yaml"), config(wanted, &telegram)).map_err(fault)?;
        for (name, text) in &wanted.workflows {
            std::fs::write(folder.join(format!("data/workflows/{name}.yaml")), text).map_err(fault)?;
        }
        Ok(Self { folder: folder.to_owned(), telegram })
    }

    /// Starts its agent.
    pub(in crate::prove) async fn up(&self, program: &Path) -> Result<AgentProcess, String> {
        AgentProcess::up(program, &self.folder).await
    }

    /// The ledger's file.
    pub(in crate::prove) fn ledger(&self) -> PathBuf {
        self.folder.join("data/ledger.db")
    }
}

fn config(wanted: &Wanted, telegram: &BotApi) -> String {
    let mut text = format!(
        "webhooks:\n  port: 0\n  rate_limit: {{ enabled: false }}\n  handlers:\n    github: {{ secret: {SECRET} }}\n"
    );
    // Writing into a String cannot fail.
    for (name, keys) in &wanted.handlers {
        let _ = writeln!(text, "    {name}: {{ {keys} }}");
    }
    let chats: String = wanted.chats.iter().map(|(name, id)| format!(", {name}: {id}")).collect();
    let users: String = wanted.chats.iter().map(|(_, id)| format!(", {id}")).collect();
    let allow = if wanted.loopback { "[\"127.0.0.0/8\"]" } else { "[]" };
    let _ = write!(
        text,
        "telegram:\n  token: \"{TOKEN}\"\n  api_url: \"{}\"\n  chats: {{ default: {APPROVER}{chats} }}\n  \
         allowed_users: [{APPROVER}{users}]\ndashboard: {{ port: 0 }}\nnetwork: {{ allow: {allow} }}\n{}\n",
        telegram.url(),
        wanted.keys
    );
    text
}
