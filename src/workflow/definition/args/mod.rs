//! The arguments of a call: read against the tool's declaration, templates compiled, and refused where payload text would
//! become control.

mod trees;

use serde_json::{Map, Number, Value as Json};

use crate::domain::duration;
use crate::domain::tree::{Entry, Node, Value, describe, shown};
use crate::outbound::Target;
use crate::tool::{ArgKind, ArgSpec, Role, ToolSpec};
use crate::workflow::definition::reader::{Reader, Section};
use crate::workflow::definition::refs::Place;
use crate::workflow::expr::{Expr, Mode, Template};
use crate::workflow::nearest::nearest;
use crate::workflow::taint;
use trees::{read_answer, read_json, read_names, read_texts};

/// The arguments of a call, compiled.
#[derive(Debug, Clone, Default)]
pub struct Args {
    pub(in crate::workflow::definition) all: Vec<(&'static ArgSpec, Arg)>,
}

/// One value or a tree of them.
#[derive(Debug, Clone)]
pub(in crate::workflow::definition) enum Arg {
    /// As it is written.
    Literal(Json),
    /// Filled when the step begins; `tainted` is the payload's path in it.
    Template {
        template: Box<Template>,
        tainted: Option<String>,
    },
    List(Vec<Arg>),
    Map(Vec<(String, Arg)>),
}

impl Args {
    /// The argument `name` as it is written; `None` when it is left out or has a template.
    pub fn literal(&self, name: &str) -> Option<&Json> {
        self.all.iter().find(|(spec, _)| spec.name == name).and_then(|(_, arg)| match arg {
            Arg::Literal(json) => Some(json),
            Arg::Template { .. } | Arg::List(_) | Arg::Map(_) => None,
        })
    }

    /// Whether the argument `name` is given.
    pub fn has(&self, name: &str) -> bool {
        self.all.iter().any(|(spec, _)| spec.name == name)
    }

    /// What is written, with null where a template will fill something.
    pub(in crate::workflow::definition) fn sketch(&self) -> Map<String, Json> {
        let json = |arg: &Arg| match arg {
            Arg::Literal(json) => json.clone(),
            Arg::Template { .. } | Arg::List(_) | Arg::Map(_) => Json::Null,
        };
        self.all.iter().map(|(spec, arg)| (spec.name.to_owned(), json(arg))).collect()
    }

    /// Whether a template needs what earlier steps give.
    pub(in crate::workflow::definition) fn depends(&self) -> bool {
        fn any(arg: &Arg) -> bool {
            match arg {
                Arg::Literal(_) => false,
                Arg::Template { template, .. } => crate::workflow::definition::backtest::depends(template.reads()),
                Arg::List(items) => items.iter().any(any),
                Arg::Map(entries) => entries.iter().any(|(_, arg)| any(arg)),
            }
        }
        self.all.iter().any(|(_, arg)| any(arg))
    }
}

/// Where an argument is read.
struct Site<'a> {
    tool: &'static ToolSpec,
    spec: &'static ArgSpec,
    place: &'a Place,
}

/// Reads `args:` (or `verify:`) for `tool`. `filled`: a payload may fill data arguments that are left out.
pub(in crate::workflow::definition) fn read(
    reader: &mut Reader<'_>,
    tool: &'static ToolSpec,
    section: Option<Section<'_>>,
    at: &Node,
    path: &str,
    place: &Place,
    filled: bool,
) -> Args {
    let mut args = Args::default();
    let entries = section.as_ref().and_then(|section| section.node.entries()).unwrap_or_default();
    for entry in entries {
        let key_path = format!("{path}.{}", entry.key.chars().take(80).collect::<String>());
        let Some(spec) = tool.arg(&entry.key) else {
            unknown(reader, tool, entry, &key_path);
            continue;
        };
        if matches!(entry.value.value, Value::Null) && spec.kind != ArgKind::Json {
            reader.fault(entry.value.at, &key_path, "is empty", Some("write a value, or leave the key out".to_owned()));
            continue;
        }
        let site = Site { tool, spec, place };
        if let Some(arg) = read_arg(reader, &site, &entry.value, &key_path) {
            args.all.push((spec, arg));
        } else {
            // It is there and told; what follows must not say that it is missing.
            args.all.push((spec, Arg::Literal(Json::Null)));
        }
    }
    check_needed(reader, tool, &args, at, path, filled);
    args
}

fn unknown(reader: &mut Reader<'_>, tool: &ToolSpec, entry: &Entry, path: &str) {
    let known: Vec<&str> = tool.args.iter().map(|arg| arg.name).collect();
    let hint = match nearest(&entry.key, known.iter().copied()) {
        Some(near) => format!("did you mean '{near}'?"),
        None => format!("it takes {}", known.join(", ")),
    };
    reader.fault(entry.at, path, format!("{} has no such argument", tool.name), Some(hint));
}

fn check_needed(reader: &mut Reader<'_>, tool: &'static ToolSpec, args: &Args, at: &Node, path: &str, filled: bool) {
    for spec in tool.args.iter().filter(|spec| spec.required && !args.has(spec.name)) {
        let doc = Some(spec.doc.trim_end_matches('.').to_owned());
        if spec.role.filled_by_payload() && filled {
            let message =
                format!("{} is left out, so it is taken from payload.{0} or inputs.{0} when the step runs", spec.name);
            reader.note(at.at, path, message, doc);
        } else {
            reader.fault(at.at, path, format!("{} needs '{}'", tool.name, spec.name), doc);
        }
    }
    for choice in tool.choices {
        let given: Vec<&str> = choice.of.iter().copied().filter(|name| args.has(name)).collect();
        if given.len() > 1 {
            reader.fault(at.at, path, format!("only one of {} can be given", given.join(", ")), None);
        }
        if given.is_empty() && choice.required {
            reader.fault(
                at.at,
                path,
                format!("{} needs {}", tool.name, crate::workflow::definition::on::or_list(choice.of)),
                None,
            );
        }
    }
}

fn read_arg(reader: &mut Reader<'_>, site: &Site<'_>, node: &Node, path: &str) -> Option<Arg> {
    match site.spec.kind {
        ArgKind::Texts => read_texts(reader, site, node, path),
        ArgKind::TextMap => read_names(reader, site, node, path),
        ArgKind::Json => read_json(reader, site, node, path),
        ArgKind::Answer => read_answer(reader, site, node, path),
        ArgKind::JsonMap if matches!(node.value, Value::Map(_)) => read_json(reader, site, node, path),
        ArgKind::JsonMap => match &node.value {
            Value::Scalar(text) if reader.has_tags(text) => read_json(reader, site, node, path),
            Value::Scalar(_) | Value::Null | Value::List(_) | Value::Map(_) => {
                reader.fault(node.at, path, format!("expected names with values, found {}", describe(node)), None);
                None
            }
        },
        ArgKind::Expression => {
            let place = Place { waiting: true, ..site.place.clone() };
            let expr: Expr = reader.condition(node, path, &place)?;
            Some(Arg::Literal(Json::String(expr.source().to_owned())))
        }
        ArgKind::SecretName => {
            let text = reader.text(node, path)?;
            let is_name = !text.is_empty()
                && text.len() <= 64
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
            if !is_name {
                // Not shown: it may be the secret itself.
                reader.fault(
                    node.at,
                    path,
                    "expected the name of a secret",
                    Some("the secret itself stands in the configuration".to_owned()),
                );
                return None;
            }
            Some(Arg::Literal(Json::String(text.to_owned())))
        }
        ArgKind::Text | ArgKind::Word(_) | ArgKind::Integer { .. } | ArgKind::Duration => {
            read_scalar(reader, site, node, path)
        }
    }
}

/// How values are printed into an argument's texts.
fn mode_of(spec: &ArgSpec) -> Mode {
    match (spec.role, spec.kind) {
        (Role::Url, _) => Mode::Url,
        (Role::Data, ArgKind::Json | ArgKind::Answer | ArgKind::JsonMap) => Mode::Value,
        (Role::Data, ArgKind::Text) => Mode::Text,
        (Role::Control, ArgKind::Json | ArgKind::Answer | ArgKind::JsonMap) => Mode::Value,
        _ => Mode::Word,
    }
}

fn read_scalar(reader: &mut Reader<'_>, site: &Site<'_>, node: &Node, path: &str) -> Option<Arg> {
    let text = reader.text(node, path)?;
    if reader.has_tags(text) {
        let (template, tainted) = compile(reader, site, text, node, path)?;
        if let Some(tainted) = &tainted {
            match site.spec.role {
                Role::Data => {}
                Role::Url => {
                    if let Err(reason) = taint::check_url(&template) {
                        refuse(reader, site, node, path, tainted, reason);
                        return None;
                    }
                }
                Role::Control | Role::Argv | Role::Named => {
                    refuse(reader, site, node, path, tainted, reason_of(site));
                    return None;
                }
            }
        }
        if let Some((scheme, _)) = template.prefix().split_once("://").filter(|_| is_url(site))
            && !matches!(scheme, "http" | "https")
        {
            reader.fault(node.at, path, format!("{} is neither http nor https", shown(scheme)), None);
        }
        return Some(Arg::Template { template: Box::new(template), tainted });
    }
    if is_url(site)
        && !reader.verbatim
        && let Err(error) = Target::parse(text)
    {
        reader.fault(node.at, path, error.to_string(), Some("such as https://api.example.com/items".to_owned()));
        return None;
    }
    match check_kind(site.spec, text) {
        Ok(json) => Some(Arg::Literal(json)),
        Err(message) => {
            let hint = match site.spec.kind {
                ArgKind::Word(words) => {
                    nearest(text, words.iter().copied()).map(|near| format!("did you mean '{near}'?"))
                }
                _ => None,
            };
            reader.fault(node.at, path, message, hint);
            None
        }
    }
}

/// Whether the argument says where a request goes; tools of MCP servers may mean anything by their `url`.
fn is_url(site: &Site<'_>) -> bool {
    site.spec.name == "url" && matches!(site.tool.name, "http_request" | "hook")
}

/// What a payload value would be where it was refused.
fn reason_of(site: &Site<'_>) -> &'static str {
    match (site.tool.name, site.spec.name) {
        ("shell_exec", "command") => "would become part of a command line",
        ("script", "code") => "would become part of a program",
        (_, "cwd" | "path") => "would choose a folder or file",
        (_, "url") => "would decide which host is asked",
        ("notify", "chat") => "would choose who reads this",
        ("run_workflow", "workflow") => "would choose what runs",
        ("model_prompt", "task") => "would become part of the model's orders",
        _ => "would decide what this step does",
    }
}

fn refuse(reader: &mut Reader<'_>, site: &Site<'_>, node: &Node, path: &str, tainted: &str, reason: &str) {
    let hint = taint::safe_way(site.tool.name, site.spec.name, tainted);
    reader.fault(node.at, path, format!("{tainted} comes from outside and {reason}"), Some(hint));
}

fn compile(
    reader: &mut Reader<'_>,
    site: &Site<'_>,
    text: &str,
    node: &Node,
    path: &str,
) -> Option<(Template, Option<String>)> {
    match Template::compile(text, mode_of(site.spec)) {
        Ok(template) => {
            reader.check_reads(node.at, path, template.reads(), site.place);
            let tainted = taint::source_of(template.reads());
            Some((template, tainted))
        }
        Err(error) => {
            reader.expr_fault(node.at, path, error);
            None
        }
    }
}

/// A written or rendered text as the argument's kind.
pub(in crate::workflow::definition) fn check_kind(spec: &ArgSpec, text: &str) -> Result<Json, String> {
    match spec.kind {
        ArgKind::Word(words) => {
            let found = words.iter().find(|word| word.eq_ignore_ascii_case(text));
            found.map(|word| Json::String((*word).to_owned())).ok_or_else(|| {
                format!("expected {}, found {}", crate::workflow::definition::on::or_list(words), shown(text))
            })
        }
        ArgKind::Integer { min, max } => {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let number = text.parse::<u64>().ok().filter(|number| digits && (min..=max).contains(number));
            number
                .map(|number| Json::Number(Number::from(number)))
                .ok_or_else(|| format!("expected a whole number from {min} to {max}, found {}", shown(text)))
        }
        ArgKind::Duration => match duration::parse(text) {
            Ok(duration) if duration.is_zero() => Err("must be longer than nothing".to_owned()),
            Ok(_) => Ok(Json::String(text.to_owned())),
            Err(error) => Err(error.to_string()),
        },
        ArgKind::Text
        | ArgKind::Texts
        | ArgKind::TextMap
        | ArgKind::Json
        | ArgKind::Answer
        | ArgKind::JsonMap
        | ArgKind::Expression
        | ArgKind::SecretName => Ok(Json::String(text.to_owned())),
    }
}
