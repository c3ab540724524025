//! The paths of a payload's values as plain text, for who has no script that copies them: as conditions write them.

use maud::html;
use serde_json::Value;

use super::layout::Place;
use super::tree::{Key, shown};
use super::{Page, View, event};
use crate::dashboard::problem::Problem;
use crate::domain::text::clip_chars;

/// Values that are listed, and bytes of their paths and texts, about.
const PATHS_MAX: usize = 500;
const BYTES_MAX: usize = 40 * 1024;
/// Longest value beside its path, in characters.
const VALUE_CHARS_MAX: usize = 60;
/// Longest path, in characters; a longer one is left out with all beneath it.
const PATH_CHARS_MAX: usize = 300;

pub(super) async fn show(view: View<'_>, id: &str) -> Result<Page, Problem> {
    let event = event::find(view, id).await?;
    let name = event::name(&event.row);
    let mut list = List { rows: Vec::new(), bytes: 0, whole: true };
    list.walk(&event.payload, "payload".to_owned());
    let body = html! {
        div.head { div {
            p.crumb { a href="/events" { "Events" } a href={ "/events/" (event.row.id) } { (name) } }
            h1 { "Paths" }
            p.sub { "Where each value of the payload is, as conditions and templates write it." }
        } }
        table.keys.paths {
            thead { tr { th { "Path" } th { "Value" } } }
            tbody { @for (path, value) in &list.rows { tr { td.mono { (path) } td.mono { (value) } } } }
        }
        @if !list.whole { p.soft.gap { "There are more; the payload's download has all of them." } }
    };
    Ok(Page::new(Place::Events, "Paths", body))
}

struct List {
    rows: Vec<(String, String)>,
    bytes: usize,
    whole: bool,
}

impl List {
    /// Payloads are no deeper than what intake admits, which is little for a stack.
    fn walk(&mut self, value: &Value, path: String) {
        if self.rows.len() >= PATHS_MAX || self.bytes >= BYTES_MAX || path.chars().count() > PATH_CHARS_MAX {
            self.whole = false;
            return;
        }
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (name, value) in map {
                    if !self.goes_on() {
                        return;
                    }
                    self.walk(value, path.clone() + &Key::Name(name).step());
                }
            }
            Value::Array(items) if !items.is_empty() => {
                for (index, value) in items.iter().enumerate() {
                    if !self.goes_on() {
                        return;
                    }
                    self.walk(value, path.clone() + &Key::Index(index).step());
                }
            }
            _ => {
                let value = clip_chars(&shown(value), VALUE_CHARS_MAX);
                self.bytes += path.len() + value.len();
                self.rows.push((path, value));
            }
        }
    }

    fn goes_on(&mut self) -> bool {
        self.whole &= self.rows.len() < PATHS_MAX && self.bytes < BYTES_MAX;
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(value: &Value) -> List {
        let mut list = List { rows: Vec::new(), bytes: 0, whole: true };
        list.walk(value, "payload".to_owned());
        list
    }

    #[test]
    fn a_path_reads_as_conditions_write_it() {
        let list = listed(&json!({ "pull_request": { "labels": [{ "name": "bug" }], "a-b": 1 }, "none": {} }));
        let paths: Vec<&str> = list.rows.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            ["payload.pull_request.labels[0].name", "payload.pull_request[\"a-b\"]", "payload.none"],
            "in the payload's order"
        );
        assert!(list.whole);
    }

    #[test]
    fn the_list_is_bounded_in_every_direction() {
        let many = Value::Object((0..100_000).map(|n| (format!("k{n}"), json!(n))).collect());
        let mut deep = json!(1);
        for _ in 0..126 {
            deep = json!({ "a key of some length": deep });
        }
        for value in [many, deep, json!(vec!["<".repeat(300); 9000])] {
            let list = listed(&value);
            assert!(!list.whole && list.rows.len() <= PATHS_MAX && list.bytes < BYTES_MAX + 1000);
        }
    }
}
