//! Filling a step's arguments when its turn comes. What a payload gives stays one value; where it would be more than that
//! (an option, a line break in a header, a way out of a URL's folder) the step fails before anything happens.

use serde_json::{Map, Value as Json};

use super::args::{Arg, Args, check_kind};
use super::types::{Step, ToolStep, Verify};
use crate::domain::run::Effect;
use crate::tool::{ArgKind, ArgSpec, Role, ToolSpec};
use crate::workflow::expr::{ExprError, Scope, has_lost_digits};
use crate::workflow::taint;

/// Arguments whose absence means "the payload": a payload's key of their name does not fill them.
const MEAN_PAYLOAD: [(&str, &str); 4] =
    [("shell_exec", "stdin"), ("hook", "json"), ("hook", "body"), ("model_prompt", "data")];

/// A call's arguments as they will be used.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rendered {
    /// The arguments.
    pub args: Map<String, Json>,
    /// JSON pointers of values in which payload text stands (`/argv/2`), in the order of `args`.
    pub tainted: Vec<String>,
    /// Those of `tainted` whose first character is the payload's.
    pub tainted_first: Vec<String>,
}

/// Why a step's arguments cannot be filled. It shows no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}{}", place(.pointer), hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default())]
pub struct RenderError {
    /// The JSON pointer of the argument.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

fn place(pointer: &str) -> String {
    if pointer.is_empty() { String::new() } else { format!("args{}: ", pointer.replace('/', ".")) }
}

impl RenderError {
    fn at(pointer: &str, message: impl Into<String>) -> Self {
        Self { pointer: pointer.to_owned(), message: message.into(), hint: None }
    }

    fn of(pointer: &str, error: ExprError) -> Self {
        Self { pointer: pointer.to_owned(), message: error.message, hint: error.hint }
    }
}

impl ToolStep {
    /// The arguments, filled from `scope`. The same scope gives the same arguments.
    pub fn render(&self, scope: &Scope) -> Result<Rendered, RenderError> {
        let mut rendered = self.args.render(scope)?;
        match &self.verbatim {
            Some(verbatim) => rendered.tainted.extend(verbatim.tainted.iter().cloned()),
            None => fill(self.tool, scope, &mut rendered)?,
        }
        Ok(rendered)
    }

    /// What a call with these arguments does to the world, by the author's word or the tool's.
    pub fn effect(&self, args: &Map<String, Json>) -> Effect {
        self.effect.unwrap_or_else(|| (self.tool.default_effect)(args))
    }
}

impl Step {
    /// The items of `for_each`; `None` when it has none.
    pub fn items(&self, scope: &Scope) -> Option<Result<Vec<Json>, RenderError>> {
        let for_each = self.for_each.as_ref()?;
        Some(for_each.items(scope).map_err(|error| RenderError {
            pointer: String::new(),
            message: format!("for_each: {}", error.message),
            hint: error.hint,
        }))
    }
}

impl Verify {
    /// The arguments of the question about a step whose own ones are `step`.
    pub fn render(&self, scope: &Scope, step: &Map<String, Json>) -> Result<Rendered, RenderError> {
        let mut rendered = self.args.render(scope)?;
        if let (false, Some(cwd)) = (rendered.args.contains_key("cwd"), step.get("cwd")) {
            rendered.args.insert("cwd".to_owned(), cwd.clone());
        }
        Ok(rendered)
    }
}

impl Args {
    pub(super) fn render(&self, scope: &Scope) -> Result<Rendered, RenderError> {
        let mut rendered = Rendered::default();
        for (spec, arg) in &self.all {
            let pointer = format!("/{}", escaped(spec.name));
            let value = render_arg(spec, arg, scope, &pointer, &mut rendered)?;
            if spec.kind == ArgKind::JsonMap && !value.is_object() {
                return Err(RenderError::at(&pointer, "needs names with values"));
            }
            rendered.args.insert(spec.name.to_owned(), value);
        }
        Ok(rendered)
    }
}

fn render_arg(
    spec: &'static ArgSpec,
    arg: &Arg,
    scope: &Scope,
    pointer: &str,
    rendered: &mut Rendered,
) -> Result<Json, RenderError> {
    match arg {
        Arg::Literal(json) => Ok(json.clone()),
        Arg::List(items) => {
            let items = items.iter().enumerate();
            let items =
                items.map(|(index, item)| render_arg(spec, item, scope, &format!("{pointer}/{index}"), rendered));
            Ok(Json::Array(items.collect::<Result<_, _>>()?))
        }
        Arg::Map(entries) => {
            let mut map = Map::new();
            for (key, arg) in entries {
                let pointer = format!("{pointer}/{}", escaped(key));
                map.insert(key.clone(), render_arg(spec, arg, scope, &pointer, rendered)?);
            }
            Ok(Json::Object(map))
        }
        Arg::Template { template, tainted } => {
            let value = template.value(scope).map_err(|error| RenderError::of(pointer, error))?;
            let value = match (&value, spec.kind) {
                (Json::String(text), ArgKind::Word(_) | ArgKind::Integer { .. } | ArgKind::Duration) => {
                    check_kind(spec, text).map_err(|message| RenderError::at(pointer, message))?
                }
                _ => value,
            };
            if let Some(source) = tainted {
                let first = template.prefix().trim().is_empty();
                check_sink(spec, &value, source, first, pointer)?;
                rendered.tainted.push(pointer.to_owned());
                if first {
                    rendered.tainted_first.push(pointer.to_owned());
                }
            } else if spec.role == Role::Argv || spec.role == Role::Named {
                check_sink(spec, &value, template.source(), false, pointer)?;
            }
            Ok(value)
        }
    }
}

/// What a value must not be where it goes, whatever the template said.
fn check_sink(spec: &ArgSpec, value: &Json, source: &str, first: bool, pointer: &str) -> Result<(), RenderError> {
    let Json::String(text) = value else { return Ok(()) };
    let refuse = |message: String| Err(RenderError::at(pointer, message));
    match spec.role {
        Role::Argv if text.contains('\0') => refuse(format!("{source} has a NUL character, which no command can hold")),
        Role::Argv if first && text.starts_with('-') => Err(RenderError {
            hint: Some("put a word before it, such as --name={{ … }}".to_owned()),
            ..RenderError::at(pointer, format!("{source} begins with '-', and the program would take it for an option"))
        }),
        Role::Named if text.contains('\0') => refuse(format!("{source} has a NUL character")),
        Role::Named if spec.name == "headers" && text.chars().any(|c| c.is_control() && c != '\t') => {
            refuse(format!("{source} has a line break or another control character, which no header can hold"))
        }
        Role::Url => match taint::check_rendered_url(text) {
            Ok(()) => Ok(()),
            Err(reason) => refuse(format!("with {source} the URL {reason}")),
        },
        Role::Argv | Role::Named | Role::Data | Role::Control => Ok(()),
    }
}

/// Fills data arguments that the step leaves out: from the payload's keys, then from those of the inputs; never control ones.
fn fill(tool: &'static ToolSpec, scope: &Scope, rendered: &mut Rendered) -> Result<(), RenderError> {
    for spec in tool.args.iter().filter(|spec| spec.role.filled_by_payload()) {
        let excluded = tool.choices.iter().any(|choice| {
            choice.of.contains(&spec.name) && choice.of.iter().any(|name| rendered.args.contains_key(*name))
        });
        if rendered.args.contains_key(spec.name) || excluded || MEAN_PAYLOAD.contains(&(tool.name, spec.name)) {
            continue;
        }
        let found = ["payload", "inputs"].iter().find_map(|root| scope.root(root)?.get(spec.name));
        match found.map(|value| fitting(spec, value)) {
            Some(Some(value)) => {
                rendered.args.insert(spec.name.to_owned(), value);
                rendered.tainted.push(format!("/{}", escaped(spec.name)));
                rendered.tainted_first.push(format!("/{}", escaped(spec.name)));
            }
            Some(None) if spec.required => {
                let message = format!("is left out, and payload.{} is nothing that it can hold", spec.name);
                return Err(RenderError::at(&format!("/{}", spec.name), message));
            }
            None if spec.required => {
                let message = format!("is left out, and neither payload nor inputs have '{}'", spec.name);
                return Err(RenderError::at(&format!("/{}", spec.name), message));
            }
            Some(None) | None => {}
        }
    }
    whole_payload(tool, scope, rendered);
    Ok(())
}

/// A `hook` without a body sends the payload; it is an argument like any other, so that an approval shows and binds it.
fn whole_payload(tool: &ToolSpec, scope: &Scope, rendered: &mut Rendered) {
    let without_body = !rendered.args.contains_key("json") && !rendered.args.contains_key("body");
    if let (true, Some(payload)) = (tool.name == "hook" && without_body, scope.root("payload")) {
        rendered.args.insert("json".to_owned(), payload.clone());
        rendered.tainted.push("/json".to_owned());
        rendered.tainted_first.push("/json".to_owned());
    }
}

/// A payload's value as the argument's kind, when it can be.
fn fitting(spec: &ArgSpec, value: &Json) -> Option<Json> {
    match (spec.kind, value) {
        (_, Json::Null) => None,
        (ArgKind::Json | ArgKind::Answer, value) => Some(value.clone()),
        (ArgKind::JsonMap, Json::Object(_)) => Some(value.clone()),
        (ArgKind::Text, Json::String(_)) => Some(value.clone()),
        (ArgKind::Text, value) if has_lost_digits(value) => None,
        (ArgKind::Text, Json::Number(number)) => Some(Json::String(number.to_string())),
        (ArgKind::Text, Json::Bool(flag)) => Some(Json::String(flag.to_string())),
        (ArgKind::Integer { .. } | ArgKind::Word(_) | ArgKind::Duration, Json::String(text)) => {
            check_kind(spec, text).ok()
        }
        (ArgKind::Integer { .. }, Json::Number(number)) => check_kind(spec, &number.to_string()).ok(),
        _ => None,
    }
}

/// A key as a part of a JSON pointer (RFC 6901).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
