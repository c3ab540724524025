//! Arguments with several values: lists of words, names with texts, JSON. A template fills one value and never makes two.

use serde_json::Value as Json;

use super::{Arg, Site, compile, reason_of, refuse};
use crate::domain::tree::{Entry, Node, Value, describe};
use crate::tool::Role;
use crate::workflow::definition::reader::Reader;
use crate::workflow::taint::{self, ArgvWord};

/// A list of texts: it is written out, so that a template fills one word and never makes two.
pub(super) fn read_texts(reader: &mut Reader<'_>, site: &Site<'_>, node: &Node, path: &str) -> Option<Arg> {
    let Value::List(items) = &node.value else {
        let hint = match &node.value {
            Value::Scalar(text) if reader.has_tags(text) => {
                "a template fills one value, never a list of them".to_owned()
            }
            Value::Scalar(text) => format!(
                "write it in brackets: [{}]",
                text.split_whitespace().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
            ),
            Value::Null | Value::List(_) | Value::Map(_) => "write it in brackets: [a, b]".to_owned(),
        };
        reader.fault(node.at, path, format!("expected a list, found {}", describe(node)), Some(hint));
        return None;
    };
    let is_argv = site.spec.role == Role::Argv;
    if items.is_empty() && (is_argv || site.spec.required) {
        reader.fault(node.at, path, "is an empty list", None);
        return None;
    }
    let before = reader.faults.len();
    let mut list = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Some(text) = reader.text(item, &path) else { continue };
        if !reader.has_tags(text) {
            list.push(Arg::Literal(Json::String(text.to_owned())));
            continue;
        }
        let Some((template, tainted)) = compile(reader, site, text, item, &path) else { continue };
        if let Some(source) = tainted.as_ref().filter(|_| site.spec.role == Role::Control) {
            refuse(reader, site, item, &path, source, reason_of(site));
        }
        list.push(Arg::Template { template: Box::new(template), tainted });
    }
    if reader.faults.len() > before {
        return None;
    }
    if is_argv {
        check_command(reader, site, node, items, &list, path)?;
    }
    Some(Arg::List(list))
}

fn check_command(
    reader: &mut Reader<'_>,
    site: &Site<'_>,
    node: &Node,
    items: &[std::rc::Rc<Node>],
    list: &[Arg],
    path: &str,
) -> Option<()> {
    if matches!(list.first(), Some(Arg::Literal(Json::String(program))) if program.trim().is_empty()) {
        reader.fault(node.at, path, "the first word is the program, and it is empty", None);
        return None;
    }
    let words: Vec<ArgvWord<'_>> = list
        .iter()
        .map(|arg| match arg {
            Arg::Template { template, tainted } => {
                ArgvWord { literal: template.prefix(), open: true, tainted: tainted.as_deref() }
            }
            Arg::Literal(json) => ArgvWord { literal: json.as_str().unwrap_or_default(), open: false, tainted: None },
            Arg::List(_) | Arg::Map(_) => ArgvWord { literal: "", open: true, tainted: None },
        })
        .collect();
    let Some((at, source, reason)) = taint::check_argv(&words) else { return Some(()) };
    let item = items.get(at).map_or(node, |item| &**item);
    let hint = match at {
        0 => taint::safe_way(site.tool.name, "argv", &source),
        _ if reason == taint::CHOOSES_OPTION => format!("write the option out: --name={{{{ {source} }}}}"),
        _ => format!(
            "hand it over as data: env: {{ VALUE: \"{{{{ {source} }}}}\" }} and \"$VALUE\", or standard input, where the payload is JSON"
        ),
    };
    reader.fault(item.at, &format!("{path}[{at}]"), format!("{source} comes from outside, and {reason}"), Some(hint));
    None
}

/// Names with texts: the names are written out.
pub(super) fn read_names(reader: &mut Reader<'_>, site: &Site<'_>, node: &Node, path: &str) -> Option<Arg> {
    let Some(entries) = node.entries() else {
        let hint = Some("the names are written out; each value may be a template".to_owned());
        reader.fault(node.at, path, format!("expected names with values, found {}", describe(node)), hint);
        return None;
    };
    let before = reader.faults.len();
    let mut map = Vec::new();
    for entry in entries {
        let path = format!("{path}.{}", entry.key.chars().take(80).collect::<String>());
        if !check_key(reader, site, entry, &path) {
            continue;
        }
        let Some(text) = reader.text(&entry.value, &path) else { continue };
        if !reader.has_tags(text) {
            map.push((entry.key.clone(), Arg::Literal(Json::String(text.to_owned()))));
            continue;
        }
        let Some((template, tainted)) = compile(reader, site, text, &entry.value, &path) else { continue };
        if let Some(source) = &tainted
            && let Some(reason) = taint::check_name(site.spec.name, &entry.key)
        {
            let hint = Some("give it another name".to_owned());
            reader.fault(
                entry.value.at,
                &path,
                format!("{source} comes from outside, and {} {reason}", entry.key),
                hint,
            );
        }
        map.push((entry.key.clone(), Arg::Template { template: Box::new(template), tainted }));
    }
    (reader.faults.len() == before).then_some(Arg::Map(map))
}

/// Whether a key is a name and no template.
fn check_key(reader: &mut Reader<'_>, site: &Site<'_>, entry: &Entry, path: &str) -> bool {
    if reader.has_tags(&entry.key) {
        let hint = Some("write the name out; the value may be a template".to_owned());
        reader.fault(entry.at, path, "a name is never a template", hint);
        return false;
    }
    let token = |extra: &[u8]| {
        !entry.key.is_empty() && entry.key.bytes().all(|b| b.is_ascii_alphanumeric() || extra.contains(&b))
    };
    let (fits, what) = match site.spec.name {
        "env" => (
            token(b"_") && !entry.key.starts_with(|c: char| c.is_ascii_digit()),
            "a variable's name has letters, digits and '_'",
        ),
        "headers" => (token(b"!#$%&'*+-.^_`|~"), "this cannot name a header"),
        _ => (true, ""),
    };
    if !fits {
        reader.fault(entry.at, path, what, None);
    }
    fits
}

/// A JSON value whose texts may be templates.
pub(super) fn read_json(reader: &mut Reader<'_>, site: &Site<'_>, node: &Node, path: &str) -> Option<Arg> {
    match &node.value {
        Value::Null => Some(Arg::Literal(Json::Null)),
        Value::Scalar(text) if reader.has_tags(text) => {
            let (template, tainted) = compile(reader, site, text, node, path)?;
            if let Some(source) = tainted.as_ref().filter(|_| site.spec.role != Role::Data) {
                refuse(reader, site, node, path, source, reason_of(site));
                return None;
            }
            Some(Arg::Template { template: Box::new(template), tainted })
        }
        Value::Scalar(text) => Some(Arg::Literal(plain_json(text, node.plain))),
        Value::List(items) => {
            let read = items
                .iter()
                .enumerate()
                .map(|(index, item)| read_json(reader, site, item, &format!("{path}[{index}]")));
            // Every fault is told before the answer is given up.
            let read: Vec<Option<Arg>> = read.collect();
            Some(Arg::List(read.into_iter().collect::<Option<_>>()?))
        }
        Value::Map(entries) => {
            let mut map = Vec::new();
            let mut whole = true;
            for entry in entries {
                let path = format!("{path}.{}", entry.key.chars().take(80).collect::<String>());
                if !check_key(reader, site, entry, &path) {
                    whole = false;
                    continue;
                }
                match read_json(reader, site, &entry.value, &path) {
                    Some(arg) => map.push((entry.key.clone(), arg)),
                    None => whole = false,
                }
            }
            whole.then_some(Arg::Map(map))
        }
    }
}

/// What a model's answer must be: checked here, where nothing in it waits to be filled, else when the step runs.
pub(super) fn read_answer(reader: &mut Reader<'_>, site: &Site<'_>, node: &Node, path: &str) -> Option<Arg> {
    let arg = read_json(reader, site, node, path)?;
    if let Some(written) = whole(&arg)
        && let Err(why) = crate::tool::check_returns(&written)
    {
        reader.fault(node.at, path, why, None);
        return None;
    }
    Some(arg)
}

/// The value as it is written, unless it has a template.
fn whole(arg: &Arg) -> Option<Json> {
    match arg {
        Arg::Literal(json) => Some(json.clone()),
        Arg::Template { .. } => None,
        Arg::List(items) => items.iter().map(whole).collect::<Option<Vec<_>>>().map(Json::Array),
        Arg::Map(entries) => {
            let entry = |(key, arg): &(String, Arg)| Some((key.clone(), whole(arg)?));
            entries.iter().map(entry).collect::<Option<_>>().map(Json::Object)
        }
    }
}

/// A scalar as JSON: without quotes it may be a truth value or a number.
fn plain_json(text: &str, plain: bool) -> Json {
    if plain {
        match text {
            "true" | "True" | "TRUE" => return Json::Bool(true),
            "false" | "False" | "FALSE" => return Json::Bool(false),
            _ => {}
        }
        let numeric = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
        if numeric && let Ok(Json::Number(number)) = serde_json::from_str(text) {
            return Json::Number(number);
        }
    }
    Json::String(text.to_owned())
}
