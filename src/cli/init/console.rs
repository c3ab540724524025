//! Questions to the person at the terminal. One thread reads the input line by line, so that a question can be left while
//! something else happens; what it reads and where it is printed, the caller says.

use std::collections::VecDeque;
use std::io::{BufRead, Write};

use anyhow::{Context as _, bail};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

use crate::config::Secret;

/// Longest answer, in bytes.
const LINE_BYTES_MAX: usize = 4096;
/// Lines that are read before they are asked for.
const LINES_AHEAD_MAX: usize = 16;

/// A conversation.
pub(super) struct Console {
    lines: mpsc::Receiver<String>,
    /// Read while nothing was asked: answers to come.
    early: VecDeque<String>,
    output: Box<dyn Write + Send>,
    /// The input is a terminal, whose echo can be turned off.
    terminal: bool,
}

impl Console {
    /// Reads `input` from now on.
    pub(super) fn new(mut input: impl BufRead + Send + 'static, output: Box<dyn Write + Send>, terminal: bool) -> Self {
        let (sender, lines) = mpsc::channel(LINES_AHEAD_MAX);
        // A thread of its own and not the runtime's: a read of a terminal cannot be cancelled, and nobody may wait for it at
        // the end.
        std::thread::spawn(move || {
            loop {
                let mut line = Vec::new();
                let mut limited = std::io::Read::take(&mut input, LINE_BYTES_MAX as u64);
                let read = limited.read_until(b'\n', &mut line);
                let text = String::from_utf8_lossy(&line).trim().to_owned();
                if !matches!(read, Ok(1..)) || sender.blocking_send(text).is_err() {
                    return;
                }
            }
        });
        Self { lines, early: VecDeque::new(), output, terminal }
    }

    /// Prints a line.
    pub(super) fn say(&mut self, text: &str) -> anyhow::Result<()> {
        writeln!(self.output, "{text}")?;
        Ok(())
    }

    /// Asks; an empty answer is `default`.
    pub(super) async fn ask(&mut self, question: &str, default: &str) -> anyhow::Result<String> {
        let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
        self.prompt(&format!("{question}{shown}: "))?;
        let answer = self.line().await?;
        Ok(if answer.is_empty() { default.to_owned() } else { answer })
    }

    /// Asks for yes or no; an empty answer is `default`.
    pub(super) async fn confirm(&mut self, question: &str, default: bool) -> anyhow::Result<bool> {
        loop {
            self.prompt(&format!("{question} [{}]: ", if default { "Y/n" } else { "y/N" }))?;
            match self.line().await?.to_lowercase().as_str() {
                "" => return Ok(default),
                "y" | "yes" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ => self.say("Please answer y or n.")?,
            }
        }
    }

    /// Asks for a secret, which is not shown while it is typed; `None` for an empty answer.
    pub(super) async fn secret(&mut self, question: &str) -> anyhow::Result<Option<Secret>> {
        self.prompt(&format!("{question}: "))?;
        let hidden = self.terminal.then(NoEcho::new).flatten();
        let answer = self.line().await;
        if hidden.is_some() {
            // The line break was not shown either.
            self.say("")?;
        }
        Ok(Secret::new(answer?))
    }

    /// Returns once the person presses Enter alone; never when the input has ended. May be dropped while it waits.
    pub(super) async fn enter(&mut self) {
        while self.early.len() < LINES_AHEAD_MAX
            && let Some(line) = self.lines.recv().await
        {
            if line.is_empty() {
                return;
            }
            self.early.push_back(line);
        }
        std::future::pending::<()>().await;
    }

    fn prompt(&mut self, text: &str) -> anyhow::Result<()> {
        write!(self.output, "{text}")?;
        self.output.flush()?;
        Ok(())
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        if let Some(line) = self.early.pop_front() {
            return Ok(line);
        }
        match self.lines.recv().await {
            Some(line) => Ok(line),
            None => bail!("the input ended before the last question: --yes takes the defaults without asking"),
        }
    }
}

/// The terminal's echo, off until dropped.
struct NoEcho(Termios);

impl NoEcho {
    /// `None` when standard input is no terminal after all.
    fn new() -> Option<Self> {
        let input = std::io::stdin();
        let before = tcgetattr(&input).ok()?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&input, OptionalActions::Now, &quiet).context("the terminal keeps its echo").ok()?;
        Some(Self(before))
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _gone = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor};

    use super::*;

    #[tokio::test]
    async fn answers_defaults_and_the_end_of_the_input_are_told_apart() {
        let input = BufReader::new(Cursor::new("here\n\nwhat\nNO\n\ns3cret\n"));
        let mut console = Console::new(input, Box::new(std::io::sink()), false);
        assert_eq!(console.ask("Where", "there").await.expect("answered"), "here");
        assert_eq!(console.ask("Where", "there").await.expect("answered"), "there");
        assert!(!console.confirm("Really?", true).await.expect("answered"));
        assert!(console.confirm("Really?", true).await.expect("answered"));
        assert_eq!(console.secret("Token").await.expect("answered").expect("one").expose(), "s3cret");
        assert!(console.ask("Where", "there").await.is_err());
    }
}
