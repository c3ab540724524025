//! The text of the first `config.yaml`: the keys that matter, with comments, and nothing secret.

use crate::channel::telegram::FirstMessage;
use crate::config::secret_variable;
use crate::domain::event::HandlerName;

/// What the answers were.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) data_dir: String,
    pub(super) public_url: Option<String>,
    pub(super) handlers: Vec<NewHandler>,
    pub(super) telegram: Option<Telegram>,
}

/// A handler to be written.
#[derive(Debug)]
pub(super) struct NewHandler {
    pub(super) name: HandlerName,
    /// The provider, where it is not the one of that name.
    pub(super) provider: Option<String>,
    /// The sender makes the secret, so that there is none yet.
    pub(super) issued: bool,
}

#[derive(Debug)]
pub(super) struct Telegram {
    pub(super) person: Option<FirstMessage>,
    /// `None` for Telegram's own.
    pub(super) api_url: Option<String>,
}

impl Answers {
    /// The file.
    pub(super) fn yaml(&self) -> String {
        let mut text = String::from(
            "# Written by 'agent init'. 'agent check' tells every mistake, 'agent config show' what is in effect;\n\
             # docs/CONFIG.md explains every key. The secrets are in .env beside this file.\n\n",
        );
        text.push_str(&format!("data_dir: {}\n\nwebhooks:\n  enabled: true\n", quoted(&self.data_dir)));
        text.push_str("  host: 127.0.0.1                 # this machine only: a proxy or tunnel stands before it\n");
        text.push_str("  port: 8080\n");
        match &self.public_url {
            Some(url) => {
                text.push_str(&format!("  public_url: {}   # what senders reach\n", quoted(url)));
                text.push_str(
                    "  trusted_proxies: [127.0.0.1, \"::1\"] # the proxy on this machine tells who the client is\n",
                );
            }
            None => text.push_str("  # public_url: https://hooks.example.com   # what senders reach\n"),
        }
        text.push_str("  handlers:\n");
        for handler in &self.handlers {
            text.push_str(&handler.yaml("    "));
        }
        text.push_str(&self.telegram_yaml());
        text
    }

    fn telegram_yaml(&self) -> String {
        let Some(telegram) = &self.telegram else {
            return "\n# Without Telegram notices appear where the agent runs.\n".to_owned();
        };
        let (chat, user, name, mark) = match &telegram.person {
            Some(person) => {
                let name = person
                    .title
                    .clone()
                    .map_or_else(|| person.name.clone(), |title| format!("{title}, {}", person.name));
                (person.chat.to_string(), person.user.to_string(), format!("   # {}", comment(&name)), "")
            }
            None => ("<chat id>".into(), "<your id>".into(), String::new(), "# "),
        };
        let mut text = String::from("\n");
        if telegram.person.is_none() {
            text.push_str(
                "# Write to the bot: it answers with your id. Fill it in, remove the '# ', and Telegram is on.\n",
            );
        }
        let mut line = |line: String| text.push_str(&format!("{mark}{line}\n"));
        line("telegram:".into());
        line("  token: \"${TELEGRAM_BOT_TOKEN}\"".into());
        line(format!("  chats: {{ default: {chat} }}{name}"));
        line(format!("  allowed_users: [{user}]         # who may command and decide"));
        if let Some(url) = &telegram.api_url {
            line(format!("  api_url: {}", quoted(url)));
        }
        text
    }
}

impl NewHandler {
    /// The handler as it stands under `webhooks.handlers`.
    pub(super) fn yaml(&self, indent: &str) -> String {
        let variable = secret_variable(&self.name);
        let provider = self.provider.as_ref().map(|name| format!("provider: {name}, ")).unwrap_or_default();
        let (name, issued) = (&self.name, if self.issued { ":-" } else { "" });
        let hint = if self.issued {
            format!("   # paste the sender's secret into .env: {variable}=…")
        } else {
            String::new()
        };
        format!("{indent}{}: {{ {provider}secret: \"${{{variable}{issued}}}\" }}{hint}\n", quoted(name.as_str()))
    }
}

/// A YAML text: bare where nothing in it means something, else in double quotes.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    let word = text.chars().all(plain) && text.contains(|c: char| c.is_ascii_alphabetic());
    let reserved =
        ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_lowercase().as_str());
    if word && !reserved && !text.starts_with('-') {
        return text.to_owned();
    }
    // A JSON text is a YAML text; `${` would be a variable.
    serde_json::Value::from(text.replace("${", "$${")).to_string()
}

/// A text that stays in its comment.
fn comment(text: &str) -> String {
    crate::cli::out::harmless(text)
}
