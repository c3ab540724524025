//! The paths of a payload's values as plain text, for who has no script that copies them: as conditions write them.

use maud::html;
use serde_json::Value;

use super::layout::Place;
use super::plan::{Plan, entries, entry_count};
use super::tree::shown;
use super::{Page, View, event};
use crate::dashboard::problem::Problem;
use crate::domain::text::clip_chars;

/// Values that are listed, and bytes of their paths and texts, about.
const PATHS_MAX: usize = 500;
const BYTES_MAX: usize = 40 * 1024;
/// Longest value beside its path, in characters.
const VALUE_CHARS_MAX: usize = 60;
/// Values that are looked at, objects and lists too.
const VALUES_MAX: usize = 5000;
/// Longest path behind its root, in bytes; a longer one is left out with all beneath it.
const PATH_BYTES_MAX: usize = 300;
/// What paths begin with.
const ROOT: &str = "payload";

pub(super) async fn show(view: View<'_>, id: &str) -> Result<Page, Problem> {
    let event = event::find(view, id).await?;
    let name = event::name(&event.row);
    let list = List::new(&event.payload);
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

/// Paths and values in the payload's order; where not all have room, those of what lies near the top.
struct List {
    rows: Vec<(String, String)>,
    whole: bool,
}

impl List {
    fn new(payload: &Value) -> Self {
        let (mut rows, mut values, mut bytes) = (PATHS_MAX, VALUES_MAX, BYTES_MAX);
        let plan = Plan::new(payload, usize::MAX, |asks| {
            let is_row = entry_count(asks.value) == 0;
            let path_bytes = asks.path_bytes.filter(|bytes| *bytes <= PATH_BYTES_MAX);
            // What has no path is passed over, so that it cannot hide what comes behind it.
            let is_row = is_row && path_bytes.is_some();
            let own = if is_row { ROOT.len() + path_bytes.unwrap_or_default() + clipped(asks.value).len() } else { 0 };
            let has_room = (rows > 0 || !is_row) && values > 0 && bytes >= own;
            if has_room {
                rows -= usize::from(is_row);
                values -= 1;
                bytes -= own;
            }
            has_room
        });
        let mut list = Self { rows: Vec::new(), whole: true };
        list.walk(payload, ROOT.to_owned(), &plan);
        list
    }

    /// Payloads are no deeper than what intake admits, which is little for a stack.
    fn walk(&mut self, value: &Value, path: String, plan: &Plan) {
        let count = entry_count(value);
        if count == 0 {
            self.rows.push((path, clipped(value)));
            return;
        }
        let shown = plan.shown(value);
        self.whole &= shown == count;
        for (key, value) in entries(value).take(shown) {
            let step = key.step().filter(|step| path.len() - ROOT.len() + step.len() <= PATH_BYTES_MAX);
            match step {
                Some(step) => self.walk(value, path.clone() + &step, plan),
                None => self.whole = false,
            }
        }
    }
}

fn clipped(value: &Value) -> String {
    clip_chars(&shown(value), VALUE_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_reads_as_conditions_write_it() {
        let list = List::new(&json!({ "pull_request": { "labels": [{ "name": "bug" }], "a-b": 1 }, "none": {} }));
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
            let list = List::new(&value);
            let bytes: usize = list.rows.iter().map(|(path, value)| path.len() + value.len()).sum();
            assert!(!list.whole && list.rows.len() <= PATHS_MAX && bytes <= BYTES_MAX, "{bytes}");
        }
        let hiding = json!({ "k".repeat(121): { "a": 1 }, "k".repeat(120): { "\u{1}".repeat(60): 1 }, "sender": 1 });
        let list = List::new(&hiding);
        assert_eq!((list.rows.len(), list.rows[0].0.as_str(), list.whole), (1, "payload.sender", false));
        let first = json!({ "first": vec![0; 9000], "sender": { "login": "x" } });
        assert!(List::new(&first).rows.iter().any(|(path, _)| path == "payload.sender.login"), "whatever comes first");
    }
}
