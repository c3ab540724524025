//! `concurrency`: which runs go side by side.

use super::CONCURRENCY_MAX;
use super::reader::Reader;
use super::refs::Place;
use super::types::Concurrency;
use crate::domain::tree::Node;
use crate::workflow::expr::{Mode, Template};

/// Reads `concurrency`.
pub(super) fn read_concurrency(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<Concurrency> {
    let section = reader.section(node, path, &["key", "limit"])?;
    let limit = match section.get("limit") {
        Some(entry) => reader.integer(&entry.value, &section.path_of("limit"), 1, CONCURRENCY_MAX)?,
        None => 1,
    };
    let (source, at, key_path) = match section.get("key") {
        Some(entry) => {
            let key_path = section.path_of("key");
            (reader.text(&entry.value, &key_path)?, entry.value.at, key_path)
        }
        // One key for all runs.
        None => ("", node.at, path.to_owned()),
    };
    match Template::compile(source, Mode::Word) {
        Ok(key) => {
            reader.check_reads(at, &key_path, key.reads(), &Place::start());
            Some(Concurrency { key, limit: u32::try_from(limit).unwrap_or(u32::MAX) })
        }
        Err(error) => {
            reader.expr_fault(at, &key_path, error);
            None
        }
    }
}
