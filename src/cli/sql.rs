//! `agent sql`: one read-only statement on the ledger.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{Common, context, out, small_runtime};

/// Rows that are printed when nobody asks for more.
const ROWS_DEFAULT: usize = 1000;

#[derive(Debug, Args)]
pub(super) struct SqlArgs {
    /// The statement, such as 'SELECT * FROM webhook_events ORDER BY processed_at DESC LIMIT 10'
    statement: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Most rows to print
    #[arg(long, default_value_t = ROWS_DEFAULT, value_name = "N")]
    limit: usize,
}

pub(super) fn sql(common: &Common, args: &SqlArgs) -> anyhow::Result<ExitCode> {
    let context = context::load(common)?;
    let ledger = context.ledger()?;
    let result = small_runtime()?.block_on(ledger.query(&args.statement, args.limit))?;
    if args.json {
        let rows: Vec<serde_json::Map<String, Value>> =
            result.rows.iter().map(|row| result.columns.iter().cloned().zip(row.iter().cloned()).collect()).collect();
        out::json(&rows)?;
    } else {
        let head: Vec<&str> = result.columns.iter().map(String::as_str).collect();
        let rows: Vec<Vec<String>> = result.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
        out::table(&head, &rows)?;
    }
    if result.truncated {
        out::error(format!("more rows are there: these are the first {}; --limit N prints more", args.limit));
    }
    Ok(ExitCode::SUCCESS)
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => out::harmless(text),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
