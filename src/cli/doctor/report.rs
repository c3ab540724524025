//! What `agent doctor` found: one line a check, with the fix where there is something to do.

use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

use crate::cli::out;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// It works, and somebody should know.
    Warn,
    /// It does not work.
    Bad,
}

/// One check.
#[derive(Debug, Clone, Serialize)]
struct Check {
    name: String,
    status: Status,
    message: String,
    fix: Option<String>,
}

/// Every check so far.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Check>);

impl Report {
    pub(super) fn ok(&mut self, name: &str, message: impl Into<String>) {
        self.add(name, Status::Ok, message.into(), None);
    }

    pub(super) fn warn(&mut self, name: &str, message: impl Into<String>, fix: impl Into<String>) {
        self.add(name, Status::Warn, message.into(), Some(fix.into()));
    }

    pub(super) fn bad(&mut self, name: &str, message: impl Into<String>, fix: impl Into<String>) {
        self.add(name, Status::Bad, message.into(), Some(fix.into()));
    }

    /// Bad where it is asked for, else worth knowing.
    pub(super) fn bad_if(&mut self, needed: bool, name: &str, message: impl Into<String>, fix: impl Into<String>) {
        let status = if needed { Status::Bad } else { Status::Warn };
        self.add(name, status, message.into(), Some(fix.into()));
    }

    fn add(&mut self, name: &str, status: Status, message: String, fix: Option<String>) {
        // One line a check, and nothing that a terminal could take for a command: names of chats come from outside.
        let (message, fix) =
            (out::harmless(&message), fix.map(|fix| out::harmless(&fix)).filter(|fix| !fix.is_empty()));
        self.0.push(Check { name: name.to_owned(), status, message, fix });
    }

    /// Prints every check and gives the exit code.
    pub(super) fn print(&self, json: bool) -> anyhow::Result<ExitCode> {
        let count = |status| self.0.iter().filter(|check| check.status == status).count();
        let (bad, warnings) = (count(Status::Bad), count(Status::Warn));
        if json {
            out::json(&json!({ "ok": bad == 0, "bad": bad, "warnings": warnings, "checks": self.0 }))?;
        } else {
            let colour = out::colour();
            let width = self.0.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
            for check in &self.0 {
                out::line(line(check, width, colour))?;
            }
            out::line(match (bad, warnings) {
                (0, 0) => "Everything is as it should be.".to_owned(),
                (0, _) => format!("Nothing is bad, {}.", counted(warnings, "warning")),
                (_, 0) => format!("{bad} bad."),
                _ => format!("{bad} bad, {}.", counted(warnings, "warning")),
            })?;
        }
        Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn line(check: &Check, width: usize, colour: bool) -> String {
    let (word, code) = match check.status {
        Status::Ok => ("ok  ", "32"),
        Status::Warn => ("warn", "33"),
        Status::Bad => ("bad ", "31"),
    };
    let word = if colour { format!("\u{1b}[{code}m{word}\u{1b}[0m") } else { word.to_owned() };
    let fix = check.fix.as_ref().map(|fix| format!(" → {fix}")).unwrap_or_default();
    format!("{word}  {:<width$}  {}{fix}", check.name, check.message)
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
