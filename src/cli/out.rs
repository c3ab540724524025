//! Printing: the only place that writes to standard output and standard error.
//!
//! A reader that went away (`agent events list | head`) ends the command quietly; colour is for terminals, and never with
//! `NO_COLOR`.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::ledger::Page;

/// Prints a line to standard output.
pub fn line(text: impl AsRef<str>) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", text.as_ref())
}

/// Prints what is text already, as it is.
pub fn bytes(text: &[u8]) -> io::Result<()> {
    io::stdout().lock().write_all(text)
}

/// Shows a text on the terminal's last line until the next one; an empty one takes it away.
pub fn transient(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "\r\u{1b}[K{text}")?;
    out.flush()
}

/// Prints a line to standard error.
pub fn error(text: impl AsRef<str>) {
    // Where standard error is closed there is nobody left to tell.
    let _nobody = writeln!(io::stderr().lock(), "{}", text.as_ref());
}

/// Prints a value as indented JSON.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}

/// Prints a value as one line of JSON.
pub fn json_line(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}

/// Prints rows in columns that line up; the last column is as long as it is.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let print = |cells: &[String]| {
        let last = cells.len().saturating_sub(1);
        let mut text = String::new();
        for (at, cell) in cells.iter().enumerate() {
            text.push_str(cell);
            if at < last {
                let pad = widths.get(at).copied().unwrap_or(0).saturating_sub(cell.chars().count()) + 2;
                text.extend(std::iter::repeat_n(' ', pad));
            }
        }
        line(text.trim_end())
    };
    print(&head.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>())?;
    rows.iter().try_for_each(|row| print(row))
}

/// Prints a page of a list as JSON, or as a table that ends with the cursor of the next one. `none` stands for an empty list.
pub fn page<T: Serialize>(
    page: &Page<T>,
    json: bool,
    none: &str,
    head: &[&str],
    cells: impl Fn(&T) -> Vec<String>,
) -> anyhow::Result<()> {
    if json {
        return self::json(page);
    }
    if page.items.is_empty() {
        line(none)?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = page.items.iter().map(cells).collect();
    table(head, &rows)?;
    if let Some(next) = &page.next {
        line(format!("more: --cursor {next}"))?;
    }
    Ok(())
}

/// Whether to colour what goes to standard output.
#[allow(clippy::disallowed_methods, reason = "the command line reads NO_COLOR itself")]
pub fn colour() -> bool {
    io::stdout().is_terminal() && std::env::var("NO_COLOR").map_or(true, |value| value.is_empty())
}

/// A text that a terminal cannot take for a command: control characters become `·`.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}
