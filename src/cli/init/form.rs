//! What a person pastes into a sender's form: the payload URL, the content type, where the secret is. The secret itself is
//! not printed: screens are shared and terminals remember.

use std::path::Path;

use crate::config::secret_variable;
use crate::domain::event::HandlerName;
use crate::provider::Provider;

/// What stands for an address that nobody has said.
const NO_HOST: &str = "https://YOUR-HOST";

/// One handler and its sender.
#[derive(Debug)]
pub(super) struct Form<'a> {
    pub(super) name: &'a HandlerName,
    pub(super) provider: &'a Provider,
    /// Where it is served.
    pub(super) path: &'a str,
    pub(super) public_url: Option<&'a str>,
    /// The file with the secret.
    pub(super) dotenv: &'a Path,
    /// Whether the secret is there.
    pub(super) has_secret: bool,
}

impl Form<'_> {
    /// The values, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let (title, variable) = (self.provider.title(), secret_variable(self.name));
        let dotenv = self.dotenv.display();
        let mut lines = vec![format!("{title} (handler {})", self.name)];
        let mut row = |name: &str, value: String| lines.push(format!("  {name:<14}{value}"));
        row("Payload URL", format!("{}{}", self.public_url.unwrap_or(NO_HOST), self.path));
        if !self.provider.sends_forms() {
            row("Content type", "application/json".to_owned());
        }
        if self.provider.issues_secret() {
            let what = if self.has_secret { "is there already" } else { "paste it there" };
            row("Secret", format!("{title} shows one: it belongs into {dotenv}, line {variable} ({what})"));
        } else {
            row("Secret", format!("the value of {variable} in {dotenv}; print it with:"));
            row("", format!("sed -n 's/^{variable}=//p' {}", shell_word(&dotenv.to_string())));
        }
        let steps = self.provider.setup();
        lines.extend(steps.iter().enumerate().map(|(at, step)| format!("  {}. {step}", at + 1)));
        if let Some(docs) = self.provider.docs() {
            lines.push(format!("  {docs}"));
        }
        lines
    }
}

/// A text as one word of a shell.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
