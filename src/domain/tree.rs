//! YAML as a tree in which every node knows its line and column, so that all faults can be told at once. A serde
//! derive stops at the first one and cannot tell a key's place.
//!
//! Built from the parser's events. Scalars stay text (`0123` as a secret keeps its zero) until a typed reader asks. Aliases
//! share nodes and count against [`NODES_MAX`] as if they were copied, so a file cannot grow by them.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use serde_yaml::granit_parser::{self, Event, Parser, ScalarStyle, Span, Tag};

use super::fault::Fault;

/// Most nodes of one file, aliases expanded.
pub const NODES_MAX: usize = 50_000;
/// Deepest nesting.
const DEPTH_MAX: usize = 32;
/// How much of a wrong value a fault shows, in characters.
const SHOWN_CHARS_MAX: usize = 40;

/// A place in the file, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

/// A value and its place.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) value: Value,
    /// A scalar without quotes, which may be a number or a truth value to who asks for one.
    pub(crate) plain: bool,
    size: usize,
}

/// A value.
#[derive(Debug)]
pub(crate) enum Value {
    Null,
    Scalar(String),
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: At,
    pub(crate) value: Rc<Node>,
}

/// A wrong value as a fault shows it.
pub(crate) fn shown(text: &str) -> String {
    if text.is_empty() {
        return "nothing".into();
    }
    let mut short: String = text.chars().take(SHOWN_CHARS_MAX).filter(|c| !c.is_control()).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        short.push('…');
    }
    format!("'{short}'")
}

/// What a node of the wrong shape is; a text is not shown, since it may be a secret in the wrong place.
pub(crate) fn describe(node: &Node) -> &'static str {
    match &node.value {
        Value::Null => "nothing",
        Value::Scalar(_) => "a single value",
        Value::List(_) => "a list",
        Value::Map(_) => "keys",
    }
}

impl Node {
    fn new(at: At, value: Value) -> Self {
        let size = match &value {
            Value::Null | Value::Scalar(_) => 1,
            Value::List(items) => 1 + items.iter().map(|item| item.size).sum::<usize>(),
            Value::Map(entries) => 1 + entries.iter().map(|entry| entry.value.size).sum::<usize>(),
        };
        Self { at, value, plain: false, size }
    }

    fn scalar(at: At, value: Value, plain: bool) -> Self {
        Self { at, value, plain, size: 1 }
    }

    /// The keys, when this is a map.
    pub(crate) fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            Value::Null | Value::Scalar(_) | Value::List(_) => None,
        }
    }
}

/// Reads `text`. `None`: so broken that nothing can be read (the fault is in `faults`).
pub(crate) fn parse(file: &str, text: &str, faults: &mut Vec<Fault>) -> Option<Rc<Node>> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let mut builder = Builder { file, faults, stack: Vec::new(), anchors: HashMap::new(), root: None, nodes: 0 };
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = match next {
            Ok(next) => next,
            Err(error) => {
                let mark = error.marker();
                let at = At { line: mark.line().max(1) as u64, column: mark.col() as u64 + 1 };
                builder.fault(at, format!("this is not YAML: {}", error.info()), None);
                return None;
            }
        };
        if builder.take(event, span).is_err() {
            return None;
        }
    }
    let root = builder.root.take();
    Some(root.unwrap_or_else(|| Rc::new(Node::new(At { line: 1, column: 1 }, Value::Null))))
}

/// A collection that is still open.
struct Frame {
    at: At,
    anchor: usize,
    open: Open,
}

enum Open {
    List(Vec<Rc<Node>>),
    Map { entries: Vec<Entry>, lines: BTreeMap<String, u64>, pending: Option<Pending> },
}

/// A key that waits for its value; `None` when the key was refused and the value is dropped.
struct Pending {
    key: Option<String>,
    at: At,
}

struct Builder<'a> {
    file: &'a str,
    faults: &'a mut Vec<Fault>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    nodes: usize,
}

/// The rest of the file cannot be read; the fault is told.
struct Stop;

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let at = At { line: span.start.line().max(1) as u64, column: span.start.col() as u64 + 1 };
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                self.fault(at, "a second document begins here; a file is one document".into(), None);
                Err(Stop)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = self.tag_says_text(at, tag.as_deref()) || style != ScalarStyle::Plain;
                let null = !quoted && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let key_waits = self.awaits_key();
                let value = if null && !key_waits { Value::Null } else { Value::Scalar(text.into_owned()) };
                self.add(Rc::new(Node::scalar(at, value, !quoted)), anchor, 1)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.tag_says_text(at, tag.as_deref());
                self.stack.push(Frame { at, anchor, open: Open::List(Vec::new()) });
                Ok(())
            }
            Event::MappingStart(_, anchor, tag) => {
                self.tag_says_text(at, tag.as_deref());
                let open = Open::Map { entries: Vec::new(), lines: BTreeMap::new(), pending: None };
                self.stack.push(Frame { at, anchor, open });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => {
                    let size = node.size;
                    self.add(node, 0, size)
                }
                None => {
                    self.fault(at, "this alias refers to what it is part of".into(), None);
                    Err(Stop)
                }
            },
            // Presentation only; and the enum is not ours, so it may grow.
            _ => Ok(()),
        }
    }

    fn awaits_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { open: Open::Map { pending: None, .. }, .. }))
    }

    /// Whether a tag says that a scalar is text. Tags of our own do not exist.
    fn tag_says_text(&mut self, at: At, tag: Option<&Tag>) -> bool {
        let Some(tag) = tag else { return false };
        if tag.handle() == "tag:yaml.org,2002:" {
            return tag.suffix() == "str";
        }
        // Not shown: a secret that begins with '!' and lacks its quotes looks like a tag.
        self.fault(at, "tags mean nothing here; a text that begins with '!' needs quotes".into(), None);
        false
    }

    fn close(&mut self) -> Result<(), Stop> {
        let Some(Frame { at, anchor, open }) = self.stack.pop() else { return Ok(()) };
        let value = match open {
            Open::List(items) => Value::List(items),
            Open::Map { entries, .. } => Value::Map(self.merge(entries)),
        };
        self.add(Rc::new(Node::new(at, value)), anchor, 1)
    }

    /// Adds a complete node to what is open. `cost`: how many nodes it stands for that were not counted yet.
    fn add(&mut self, node: Rc<Node>, anchor: usize, cost: usize) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(cost);
        if self.nodes > NODES_MAX {
            self.fault(node.at, format!("the file has more than {NODES_MAX} values, its aliases expanded"), None);
            return Err(Stop);
        }
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        if self.awaits_key() {
            self.key(&node);
            return Ok(());
        }
        match self.stack.last_mut().map(|frame| &mut frame.open) {
            None => self.root = Some(node),
            Some(Open::List(items)) => items.push(node),
            Some(Open::Map { entries, pending, .. }) => {
                if let Some(Pending { key: Some(key), at }) = pending.take() {
                    entries.push(Entry { key, at, value: node });
                }
            }
        }
        Ok(())
    }

    fn key(&mut self, node: &Node) {
        let path = self.path();
        let Some(Frame { open: Open::Map { lines, pending, .. }, .. }) = self.stack.last_mut() else { return };
        let at = node.at;
        let Value::Scalar(key) = &node.value else {
            *pending = Some(Pending { key: None, at });
            self.fault(at, "a key is a word, not a list or a section".into(), path);
            return;
        };
        let first = lines.get(key).copied();
        lines.entry(key.clone()).or_insert(at.line);
        *pending = Some(Pending { key: first.is_none().then(|| key.clone()), at });
        if let Some(first) = first {
            let shown: String = key.chars().take(80).collect();
            let path = path.map_or_else(|| shown.clone(), |path| format!("{path}.{shown}"));
            self.fault(at, format!("this key is here a second time; the first is on line {first}"), Some(path));
        }
    }

    /// Puts what `<<` names in place of it; keys that are written out win.
    fn merge(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        if !entries.iter().any(|entry| entry.key == "<<") {
            return entries;
        }
        let (merges, mut kept): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.key == "<<");
        for merge in merges {
            let sources: Vec<&Rc<Node>> = match &merge.value.value {
                Value::List(items) => items.iter().collect(),
                Value::Null | Value::Scalar(_) | Value::Map(_) => vec![&merge.value],
            };
            for source in sources {
                let Some(more) = source.entries() else {
                    self.fault(merge.at, "'<<' takes a section or a list of sections".into(), None);
                    continue;
                };
                for entry in more {
                    if !kept.iter().any(|has| has.key == entry.key) {
                        kept.push(entry.clone());
                    }
                }
            }
        }
        kept
    }

    /// The key path of what is open.
    fn path(&self) -> Option<String> {
        let pending = self.stack.iter().filter_map(|frame| match &frame.open {
            Open::Map { pending: Some(Pending { key: Some(key), .. }), .. } => Some(key.as_str()),
            Open::Map { .. } | Open::List(_) => None,
        });
        let keys: Vec<&str> = pending.collect();
        (!keys.is_empty()).then(|| keys.join("."))
    }

    fn fault(&mut self, at: At, message: String, key: Option<String>) {
        self.faults.push(Fault {
            file: self.file.to_owned(),
            line: Some(at.line),
            column: Some(at.column),
            key,
            message,
            hint: None,
        });
    }
}
