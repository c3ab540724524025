//! Typed reading of the tree: each read finds its value (flag, environment, file, default), checks it, notes where it came from, and
//! adds a fault instead of stopping.
//!
//! What a variable or a secret holds is never shown: such a value is `hidden`, and faults describe it by its origin.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use serde_json::Value as Json;

use super::effective::{EffectiveKey, Origin};
use super::environment::{VarSource, Vars};
use super::expand::{self, ExpandError};
use super::keys::{self, Key, Kind};
use crate::domain::fault::Fault;
use crate::domain::tree::{At, Entry, Node, Value, describe, shown};

/// Why a text is not a value of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    message: Said,
    hint: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    /// "expected …, found …".
    Expected(String),
    /// A sentence of its own, which shows nothing of the value.
    Sentence(String),
}

impl Problem {
    pub(super) fn expected(what: impl Into<String>) -> Self {
        Self { message: Said::Expected(what.into()), hint: None }
    }

    pub(super) fn says(sentence: impl Into<String>) -> Self {
        Self { message: Said::Sentence(sentence.into()), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A place that a fault can name.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) file: String,
    pub(super) at: Option<At>,
    pub(super) line: Option<u64>,
}

/// A part of the configuration: where it is, and its keys when it is written at all.
#[derive(Clone)]
pub(super) struct Section {
    /// `webhooks.handlers.github`.
    pub(super) path: String,
    /// `webhooks.handlers.*`: its place in the table.
    pub(super) pattern: String,
    pub(super) node: Option<Rc<Node>>,
    /// Where it is written, also when what is written there has no keys.
    written_at: Option<At>,
}

impl Section {
    pub(super) fn top(node: Option<Rc<Node>>) -> Self {
        Self { path: String::new(), pattern: String::new(), node, written_at: None }
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.node.as_ref()?.entries()?.iter().find(|entry| entry.key == key)
    }

    /// What is written at `key`, unless that is null.
    pub(super) fn written(&self, key: &str) -> Option<&Entry> {
        self.entry(key).filter(|entry| !matches!(entry.value.value, Value::Null))
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn pattern_of(&self, key: &str) -> String {
        if self.pattern.is_empty() { key.to_owned() } else { format!("{}.{key}", self.pattern) }
    }

    /// A part of this part that is not written anywhere.
    pub(super) fn unwritten(&self, key: &str, pattern: &str) -> Self {
        Self { path: self.path_of(key), pattern: self.pattern_of(pattern), node: None, written_at: None }
    }
}

/// One text with where it came from. No `Debug`: it may be a secret.
pub(super) struct Scalar {
    /// `None`: nothing, so the default holds.
    pub(super) text: Option<String>,
    pub(super) origin: Origin,
    pub(super) site: Site,
    /// What a fault says in place of the value; `None` when the value may be shown.
    pub(super) hidden: Option<String>,
}

/// Reads, and collects faults, notes and origins.
pub(super) struct Reader<'a> {
    pub(super) vars: &'a Vars<'a>,
    /// The configuration file as faults name it; `defaults` without one.
    pub(super) file: String,
    /// What relative paths start at.
    pub(super) folder: PathBuf,
    /// Key → (value, flag) of the command line.
    pub(super) flags: BTreeMap<&'static str, (String, &'static str)>,
    pub(super) faults: Vec<Fault>,
    pub(super) notes: Vec<Fault>,
    pub(super) effective: Vec<EffectiveKey>,
}

impl Reader<'_> {
    /// The site of something in the file.
    pub(super) fn site(&self, at: At) -> Site {
        Site { file: self.file.clone(), at: Some(at), line: None }
    }

    /// The site of `key` of `section`: its value, else the section, else the file.
    pub(super) fn site_of(&self, section: &Section, key: &str) -> Site {
        let node = section.written(key).map(|entry| entry.value.at);
        let at = node.or_else(|| section.node.as_ref().map(|node| node.at)).or(section.written_at);
        Site { file: self.file.clone(), at, line: None }
    }

    pub(super) fn fault(&mut self, site: &Site, key: &str, message: impl Into<String>, hint: Option<String>) {
        let fault = Self::told(site, key, message.into(), hint);
        self.faults.push(fault);
    }

    pub(super) fn note(&mut self, site: &Site, key: &str, message: impl Into<String>, hint: Option<String>) {
        let note = Self::told(site, key, message.into(), hint);
        self.notes.push(note);
    }

    fn told(site: &Site, key: &str, message: String, hint: Option<String>) -> Fault {
        Fault {
            file: site.file.clone(),
            line: site.at.map(|at| at.line).or(site.line),
            column: site.at.map(|at| at.column),
            key: (!key.is_empty()).then(|| key.to_owned()),
            message,
            hint,
        }
    }

    /// Tells what is wrong with a value.
    pub(super) fn problem(&mut self, scalar: &Scalar, path: &str, problem: Problem) {
        let message = match problem.message {
            Said::Sentence(sentence) => sentence,
            Said::Expected(what) => {
                let text = scalar.text.as_deref().unwrap_or_default();
                format!("expected {what}, found {}", scalar.hidden.clone().unwrap_or_else(|| shown(text)))
            }
        };
        self.fault(&scalar.site, path, message, problem.hint);
    }

    /// The section at `key`, its unknown keys told.
    pub(super) fn section(&mut self, parent: &Section, key: &str) -> Section {
        let mut section = parent.unwritten(key, key);
        if let Some(entry) = parent.written(key) {
            section.written_at = Some(entry.value.at);
            section.node = self.keyed(entry, &section);
            self.refuse_unknown(&section);
        }
        section
    }

    /// The names beneath `key` that the user chose, each as a part of its own; `None` when nothing is written.
    pub(super) fn named(&mut self, parent: &Section, key: &str) -> Option<Vec<(Entry, Section)>> {
        let entry = parent.written(key)?;
        let mut section = parent.unwritten(key, key);
        section.node = self.keyed(entry, &section);
        let entries = section.node.as_ref().and_then(|node| node.entries()).unwrap_or_default();
        let parts = entries.iter().map(|entry| {
            let mut part = section.unwritten(&entry.key, "*");
            part.node = Some(Rc::clone(&entry.value));
            (entry.clone(), part)
        });
        Some(parts.collect())
    }

    /// The node of a section, when it is one.
    fn keyed(&mut self, entry: &Entry, section: &Section) -> Option<Rc<Node>> {
        if entry.value.entries().is_some() {
            return Some(Rc::clone(&entry.value));
        }
        let known: Vec<&str> = keys::children(&section.pattern).map(Key::name).filter(|name| *name != "*").collect();
        let hint = (!known.is_empty()).then(|| format!("keys here: {}", known.join(", ")));
        let found = describe(&entry.value);
        let site = self.site(entry.value.at);
        self.fault(&site, &section.path, format!("expected keys beneath it, found {found}"), hint);
        None
    }

    /// One handler or the like: its keys, when what is written there is a map or nothing.
    pub(super) fn checked_part(&mut self, entry: &Entry, mut part: Section) -> Section {
        part.written_at = Some(entry.value.at);
        if matches!(entry.value.value, Value::Null) {
            part.node = None;
            return part;
        }
        part.node = self.keyed(entry, &part);
        self.refuse_unknown(&part);
        part
    }

    /// Tells every key of `section` that is not in the table.
    pub(super) fn refuse_unknown(&mut self, section: &Section) {
        let Some(node) = section.node.clone() else { return };
        for entry in node.entries().unwrap_or_default() {
            if !keys::children(&section.pattern).any(|key| key.name() == entry.key) {
                let name: String = entry.key.chars().take(80).collect();
                let hint = keys::hint_for_unknown(&section.pattern, &entry.key);
                let site = self.site(entry.at);
                self.fault(&site, &section.path_of(&name), "there is no such key", Some(hint));
            }
        }
    }

    fn key(section: &Section, key: &str) -> &'static Key {
        let pattern = section.pattern_of(key);
        keys::find(&pattern).unwrap_or_else(|| unreachable!("the table of keys has no {pattern}"))
    }

    /// Notes what is in effect at `key`.
    pub(super) fn record(&mut self, path: String, value: Json, origin: Origin) {
        self.effective.push(EffectiveKey { key: path, value, origin });
    }

    /// A value of the file, a variable or a flag; the default for null. Faults are told here; the answer is `None` only
    /// when there is no value and no default.
    pub(super) fn value<T>(&mut self, s: &Section, key: &str, parse: impl Fn(&str) -> Result<T, Problem>) -> Option<T> {
        let spec = Self::key(s, key);
        let path = s.path_of(key);
        let scalar = self.scalar(s, spec);
        let told = scalar.is_none() && s.written(key).is_some();
        if let Some(scalar) = scalar
            && let Some(text) = &scalar.text
        {
            match parse(text) {
                Ok(value) => {
                    self.record(path, shown_json(spec.kind, text), scalar.origin);
                    return Some(value);
                }
                Err(problem) => self.problem(&scalar, &path, problem),
            }
        } else if spec.required && !told {
            let site = self.site_of(s, key);
            self.fault(&site, &path, "is missing", Some(spec.doc.trim_end_matches('.').to_owned()));
        }
        self.record(path, shown_json(spec.kind, spec.default), Origin::Default);
        if spec.default == "null" { None } else { parse(spec.default).ok() }
    }

    /// As [`Reader::value`] for a key with a default.
    pub(super) fn defaulted<T>(&mut self, s: &Section, key: &str, parse: impl Fn(&str) -> Result<T, Problem>) -> T {
        self.value(s, key, parse).expect("the table's default is a value, which a test checks for every key")
    }

    /// Whether the user said anything about `key`, by file, variable or flag.
    pub(super) fn said(&self, s: &Section, key: &str) -> bool {
        let path = s.path_of(key);
        self.effective.iter().rev().find(|entry| entry.key == path).is_some_and(|entry| entry.origin != Origin::Default)
    }

    /// The text of `spec` by precedence. `None`: what is written is no text (told), or nothing is.
    fn scalar(&mut self, s: &Section, spec: &Key) -> Option<Scalar> {
        if let Some((text, flag)) = self.flags.get(spec.path) {
            let site = Site { file: "command line".into(), at: None, line: None };
            let origin = Origin::Flag((*flag).to_owned());
            return Some(Scalar { text: Some(text.clone()), origin, site, hidden: None });
        }
        for name in spec.env {
            if let Some(scalar) = self.variable(name) {
                return Some(scalar);
            }
        }
        let entry = s.written(spec.name())?.clone();
        self.expanded(&entry.value, &s.path_of(spec.name()), false)
    }

    /// A variable that is set to something.
    pub(super) fn variable(&self, name: &str) -> Option<Scalar> {
        let found = self.vars.get_filled(name)?;
        let (origin, site) = match found.source {
            VarSource::Environment => {
                (Origin::Environment(name.to_owned()), Site { file: "environment".into(), at: None, line: None })
            }
            VarSource::DotEnv(line) => {
                let file = self.vars.dotenv_file().to_owned();
                (Origin::DotEnv(name.to_owned()), Site { file, at: None, line: Some(line) })
            }
        };
        Some(Scalar { text: Some(found.value), origin, site, hidden: Some(format!("the value of {name}")) })
    }

    /// The text of a node with its variables put in; `None` (told) when it is no text or a variable is missing.
    pub(super) fn expanded(&mut self, node: &Node, path: &str, secret: bool) -> Option<Scalar> {
        let site = self.site(node.at);
        let Value::Scalar(text) = &node.value else {
            let hint = secret.then(|| "several secrets go into 'secrets'".to_owned());
            let hint = hint.filter(|_| matches!(node.value, Value::List(_)) && path.contains(".handlers."));
            self.fault(&site, path, format!("expected a single value, found {}", describe(node)), hint);
            return None;
        };
        match expand::expand(text, self.vars) {
            Ok(expanded) => {
                let through = expanded.used.iter().map(|(name, source)| match source {
                    VarSource::Environment => format!("env {name}"),
                    VarSource::DotEnv(_) => format!(".env {name}"),
                });
                let origin = Origin::File { file: self.file.clone(), line: node.at.line, through: through.collect() };
                let names: Vec<String> = expanded.used.iter().map(|(name, _)| format!("${{{name}}}")).collect();
                let hidden = match (secret, names.is_empty()) {
                    (true, _) => Some("something else".to_owned()),
                    (false, false) => Some(format!("the value of {}", names.join(" and "))),
                    (false, true) => None,
                };
                // Empty after expansion (`${PORT:-}`) says nothing; so does an empty text.
                let text = Some(expanded.text).filter(|text| !text.is_empty());
                Some(Scalar { text, origin, site, hidden })
            }
            Err(errors) => {
                for error in errors {
                    let (message, hint) = match error {
                        ExpandError::Unset(name) => {
                            let hint = format!("set it, or write ${{{name}:-}} to go without");
                            (format!("the variable {name} is not set"), hint)
                        }
                        ExpandError::Malformed => (
                            "after '${' comes a variable: ${NAME} or ${NAME:-default}".to_owned(),
                            "write $${ for the two characters themselves".to_owned(),
                        ),
                    };
                    self.fault(&site, path, message, Some(hint));
                }
                None
            }
        }
    }
}

/// A checked value as `config show` shows it.
pub(super) fn shown_json(kind: Kind, text: &str) -> Json {
    match kind {
        _ if text == "null" => Json::Null,
        Kind::Bool => super::values::boolean(text).map_or(Json::Null, Json::Bool),
        Kind::Integer { .. } | Kind::Number | Kind::ChatId => {
            serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.to_owned()))
        }
        Kind::Texts | Kind::Cidrs | Kind::Reachable | Kind::Users | Kind::Secrets => Json::Array(Vec::new()),
        Kind::Secret => Json::String("***".to_owned()),
        Kind::Text | Kind::Word(_) | Kind::Address | Kind::Path | Kind::Url | Kind::Chat => {
            Json::String(text.to_owned())
        }
        Kind::Section | Kind::Named => Json::Null,
    }
}
