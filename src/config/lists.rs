//! Lists: each item is read and told on its own, so one bad item hides no other.

use serde_json::Value as Json;

use super::effective::Origin;
use super::reader::{Problem, Reader, Scalar, Section};
use crate::domain::tree::{Node, Value, describe};

impl Reader<'_> {
    /// A list; each bad item is told on its own. Empty items are skipped where `skip_empty` says so, and else are bad.
    pub(super) fn list<T>(
        &mut self,
        s: &Section,
        key: &str,
        skip_empty: bool,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Vec<T> {
        let path = s.path_of(key);
        let Some(entry) = s.written(key).cloned() else {
            self.record(path, Json::Array(Vec::new()), Origin::Default);
            return Vec::new();
        };
        self.list_of(&entry.value, &path, skip_empty, parse)
    }

    /// As [`Reader::list`], from a node.
    pub(super) fn list_of<T>(
        &mut self,
        node: &Node,
        path: &str,
        skip_empty: bool,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        let mut texts = Vec::new();
        let mut origin = Origin::File { file: self.file.clone(), line: node.at.line, through: Vec::new() };
        match &node.value {
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let item_path = format!("{path}[{index}]");
                    let Some(mut scalar) = self.item(item, &item_path) else { continue };
                    let text = scalar.text.take().unwrap_or_default();
                    if text.is_empty() && skip_empty {
                        continue;
                    }
                    match parse(&text) {
                        Ok(value) => {
                            values.push(value);
                            texts.push(shown_item(&text));
                        }
                        Err(problem) => {
                            scalar.text = Some(text);
                            self.problem(&scalar, &item_path, problem);
                        }
                    }
                    if let (Origin::File { through, .. }, Origin::File { through: more, .. }) =
                        (&mut origin, scalar.origin)
                    {
                        through.extend(more);
                    }
                }
            }
            Value::Scalar(_) | Value::Map(_) | Value::Null => {
                let site = self.site(node.at);
                let hint = matches!(node.value, Value::Scalar(_)).then(|| "write it in brackets: [a, b]".to_owned());
                self.fault(&site, path, format!("expected a list, found {}", describe(node)), hint);
            }
        }
        self.record(path.to_owned(), Json::Array(texts), origin);
        values
    }

    fn item(&mut self, item: &Node, path: &str) -> Option<Scalar> {
        if matches!(item.value, Value::Null) {
            let site = self.site(item.at);
            let origin = Origin::File { file: self.file.clone(), line: item.at.line, through: Vec::new() };
            return Some(Scalar { text: None, origin, site, hidden: None });
        }
        self.expanded(item, path, false)
    }
}

fn shown_item(text: &str) -> Json {
    text.parse::<i64>().map_or_else(|_| Json::String(text.to_owned()), Json::from)
}
