//! A fault in something that a person wrote (configuration, manifest, workflow), told so that it can be mended at once.

use std::fmt;

use serde::Serialize;

use super::text::clip_chars;

/// Longest key path that is shown, in characters: a key is whatever the file has there.
const KEY_CHARS_MAX: usize = 200;

/// One fault: where it is, what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Fault {
    /// The file as the user named it; `environment` or `defaults` where there is none.
    pub file: String,
    /// Line, from 1.
    pub line: Option<u64>,
    /// Column, from 1.
    pub column: Option<u64>,
    /// The path of the key, such as `webhooks.handlers.github.secret`.
    pub key: Option<String>,
    /// What is wrong. Never contains a secret.
    pub message: String,
    /// What to do (the nearest valid key, the safe way to write it).
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        if let Some(key) = &self.key {
            write!(f, ": {}", Shown(&clip_chars(key, KEY_CHARS_MAX)))?;
        }
        write!(f, ": {}", Shown(&self.message))?;
        if let Some(hint) = &self.hint {
            write!(f, " ({})", Shown(hint))?;
        }
        Ok(())
    }
}

/// A text whose control characters are spelled out: what a file says goes to terminals and chats.
struct Shown<'t>(&'t str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(char::is_control) {
            let Some(last) = part.chars().next_back().filter(|c| c.is_control()) else {
                f.write_str(part)?;
                continue;
            };
            f.write_str(&part[..part.len() - last.len_utf8()])?;
            write!(f, "{}", last.escape_default())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_one_line_whatever_the_file_says() {
        let fault = Fault {
            file: "w.yaml".into(),
            line: Some(3),
            column: Some(1),
            key: Some(format!("a\tb\u{1b}[2J{}", "x".repeat(300))),
            message: "there is no\nsuch key".into(),
            hint: None,
        };
        let shown = fault.to_string();
        assert!(shown.starts_with("w.yaml:3:1: a\\tb\\u{1b}[2Jxxx"), "{shown}");
        assert!(shown.ends_with("…: there is no\\nsuch key"), "{shown}");
        assert!(shown.chars().count() < 300 && !shown.contains(char::is_control));
    }
}
