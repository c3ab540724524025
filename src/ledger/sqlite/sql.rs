//! A person's own SQL: on a connection of its own that can only read, for at most so many steps and bytes of answer.
//!
//! Three walls that do not look at the text: the file is open for reading only, an authorizer admits nothing but reads, and
//! the statement must be one that SQLite calls read-only.

use std::path::Path;

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode};
use serde_json::Value;

use super::open;
use super::readers::ReadError;
use crate::ledger::{LedgerError, QueryResult};

/// Virtual machine instructions between two looks at the bound.
const STEPS_PER_LOOK: i32 = 100_000;
/// Looks after which a query is cut off: 2·10⁹ instructions, some ten seconds.
const LOOKS_MAX: u32 = if cfg!(test) { 20 } else { 20_000 };
/// Bytes of text in an answer, about.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest text or blob that a statement may make or read, in bytes: more than any body that is kept.
const CELL_BYTES_MAX: i32 = 64 * 1024 * 1024;
/// Longest statement, in bytes.
const SQL_BYTES_MAX: usize = 64 * 1024;
/// Pragmas that tell about the schema and change nothing.
const PRAGMAS: &[&str] = &[
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "foreign_key_list",
    "user_version",
    "application_id",
    "page_count",
    "page_size",
    "freelist_count",
    "compile_options",
    "quick_check",
    // Asked by the full-text index of `memories` when it opens.
    "data_version",
];

/// See [`crate::ledger::Ledger::query`].
pub(super) fn query(path: &Path, sql: &str, rows_max: usize) -> Result<QueryResult, ReadError> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(invalid(format!("a statement is at most {SQL_BYTES_MAX} bytes long")));
    }
    let conn = restricted(path)?;
    let mut statement = conn.prepare(sql).map_err(explain)?;
    if !statement.readonly() {
        return Err(invalid("only statements that read are run here".into()));
    }
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    if columns.is_empty() {
        return Err(invalid("the statement has no result: write a SELECT".into()));
    }
    let mut result = QueryResult { columns, rows: Vec::new(), truncated: false };
    let mut bytes = 0;
    let mut rows = statement.query(()).map_err(explain)?;
    while let Some(row) = rows.next().map_err(explain)? {
        if result.rows.len() >= rows_max || bytes > ANSWER_BYTES_MAX {
            result.truncated = true;
            break;
        }
        let mut cells = Vec::with_capacity(result.columns.len());
        for index in 0..result.columns.len() {
            let cell = row.get_ref(index)?;
            bytes += size(cell);
            cells.push(json(cell));
        }
        result.rows.push(cells);
    }
    Ok(result)
}

fn restricted(path: &Path) -> Result<Connection, ReadError> {
    let mut conn = open::reader(path).map_err(|e| LedgerError::Unavailable(e.to_string()))?;
    conn.set_limit(Limit::SQLITE_LIMIT_LENGTH, CELL_BYTES_MAX)?;
    let mut looks = 0;
    conn.progress_handler(
        STEPS_PER_LOOK,
        Some(move || {
            looks += 1;
            looks > LOOKS_MAX
        }),
    )?;
    conn.authorizer(Some(
        |context: AuthContext<'_>| if admits(&context.action) { Authorization::Allow } else { Authorization::Deny },
    ))?;
    Ok(conn)
}

fn admits(action: &AuthAction<'_>) -> bool {
    match action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => true,
        AuthAction::Function { function_name } => !function_name.eq_ignore_ascii_case("load_extension"),
        AuthAction::Pragma { pragma_name, pragma_value } => {
            let known = PRAGMAS.iter().any(|known| known.eq_ignore_ascii_case(pragma_name));
            let takes_name =
                pragma_name.contains('_') && (pragma_name.contains("info") || pragma_name.contains("list"));
            known && (pragma_value.is_none() || takes_name)
        }
        _ => false,
    }
}

/// What a person who wrote the statement should know.
fn explain(error: rusqlite::Error) -> ReadError {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => {
            invalid("the query took too long and was stopped: narrow it down (WHERE, LIMIT)".into())
        }
        Some(ErrorCode::AuthorizationForStatementDenied | ErrorCode::ReadOnly) => {
            invalid("only statements that read are run here".into())
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt) => error.into(),
        _ => invalid(error.to_string()),
    }
}

fn invalid(reason: String) -> ReadError {
    LedgerError::Invalid(reason).into()
}

fn size(cell: ValueRef<'_>) -> usize {
    match cell {
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 8,
        ValueRef::Text(text) => text.len(),
        ValueRef::Blob(blob) => blob.len() * 2,
    }
}

fn json(cell: ValueRef<'_>) -> Value {
    match cell {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned().into(),
        ValueRef::Blob(blob) => format!("x'{}'", hex::encode(blob)).into(),
    }
}
