//! Events as people read them: the manifest's templates over the payload, cleaned and bounded by code.
//!
//! A template gets data and gives text; it reaches nothing else. Whatever goes wrong in one costs that summary only: the
//! provider's `default` is next, then a sentence that this module makes of the usual facts. It never shows raw JSON.

pub(super) mod changes;
mod clean;
mod filters;
mod needs;
mod values;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use serde_json::Value as Json;

use super::manifest::SummarySpec;
use crate::domain::notice::{Message, Severity, Summary};
use needs::Needs;
use values::Scope;

pub use clean::{LINE_CHARS_MAX, LINES_MAX, SUBJECT_CHARS_MAX, TITLE_CHARS_MAX, URL_BYTES_MAX};

/// Fuel for one template: about one unit an instruction, and one for every 64 bytes of text. Bounds time and memory.
const TEMPLATE_FUEL: u64 = 100_000;
/// Bytes of one template's output that are kept; the rest is thrown away as it comes.
const OUTPUT_BYTES_MAX: usize = 8 * 1024;
/// The variable in which a fact's template leaves its value.
const FACT_VARIABLE: &str = "__fact";
/// Names that facts cannot take, since templates have them already.
pub(super) const RESERVED: &[&str] = &["payload", "headers", "event", "provider", "facts", FACT_VARIABLE];
/// The pattern of the summary for everything else.
const DEFAULT: &str = "default";

/// The templates of one provider. Each is compiled when it is first used, since compiled it takes some 13 KiB: GitHub's alone
/// would take 10 MiB, of which most agents use a tenth.
pub(super) struct Summaries {
    env: Environment<'static>,
    /// What is compiled later, by its name; empty once it is finished.
    sources: HashMap<String, String>,
    title: String,
    facts: Vec<String>,
    headers: Vec<String>,
    patterns: HashMap<String, Parts>,
    needs: Needs,
}

/// Which parts a pattern has.
#[derive(Debug, Clone, Default)]
struct Parts {
    lines: usize,
    url: bool,
    severity: bool,
    subject: bool,
}

/// Why a summary could not be made.
#[derive(Debug)]
pub(super) struct RenderError {
    /// The part of the manifest: `facts.repo`, `summaries.push.title`.
    pub key: String,
    pub message: String,
    /// It names a filter, function or test that does not exist: wrong whatever the payload.
    pub unknown_name: bool,
}

/// A template or expression that does not compile.
#[derive(Debug)]
pub(super) struct TemplateError {
    pub message: String,
}

impl std::fmt::Debug for Summaries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Summaries").field("patterns", &self.patterns.keys()).finish_non_exhaustive()
    }
}

impl Summaries {
    /// No templates yet. `headers` are those that templates may see.
    pub(super) fn new(title: &str, headers: Vec<String>) -> Self {
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Chainable);
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_formatter(|out, _, value| out.write_str(&values::text(value)).map_err(minijinja::Error::from));
        env.set_fuel(Some(TEMPLATE_FUEL));
        filters::add_to(&mut env);
        // These print values as JSON or as the engine sees them, which is never for people.
        for filter in ["tojson", "pprint", "xmlattr"] {
            env.remove_filter(filter);
        }
        env.remove_global("debug");
        Self {
            env,
            sources: HashMap::new(),
            title: title.to_owned(),
            facts: Vec::new(),
            headers,
            patterns: HashMap::new(),
            needs: Needs::default(),
        }
    }

    /// Adds a fact: an expression that later facts and every summary can use by its name.
    pub(super) fn add_fact(&mut self, name: &str, expression: &str) -> Result<(), TemplateError> {
        self.env.compile_expression(expression).map(drop).map_err(template_error)?;
        let source = format!("{{% set {FACT_VARIABLE} = ({expression}) %}}");
        let template = format!("facts/{name}");
        self.env.add_template_owned(template.clone(), source.clone()).map_err(template_error)?;
        self.needs.add_fact(name, &self.env, &template);
        self.facts.push(name.to_owned());
        self.env.remove_template(&template);
        self.sources.insert(template, source);
        Ok(())
    }

    /// Adds one template of a pattern; `part` is `title`, `url`, `severity`, `subject`, or `lines.0` and so on.
    pub(super) fn add_template(&mut self, pattern: &str, part: &str, source: &str) -> Result<(), TemplateError> {
        let template = format!("summaries/{pattern}/{part}");
        self.env.add_template_owned(template.clone(), source.to_owned()).map_err(template_error)?;
        self.sources.insert(template, source.to_owned());
        Ok(())
    }

    /// Adds a pattern whose templates have all been added.
    pub(super) fn add_pattern(&mut self, pattern: &str, spec: &SummarySpec) {
        let parts = Parts {
            lines: spec.lines.len(),
            url: spec.url.is_some(),
            severity: spec.severity.is_some(),
            subject: spec.subject.is_some(),
        };
        let templates = [("url", parts.url), ("severity", parts.severity), ("subject", parts.subject)];
        let lines = (0..parts.lines).map(|index| format!("lines.{index}"));
        let named = templates.iter().filter(|(_, own)| *own).map(|(part, _)| (*part).to_owned());
        for part in lines.chain(named).chain(["title".to_owned()]) {
            let template = format!("summaries/{pattern}/{part}");
            self.needs.add_template(pattern, &part, &self.env, &template);
            self.env.remove_template(&template);
        }
        self.patterns.insert(pattern.to_owned(), parts);
    }

    /// To be called once everything has been added; nothing can be rendered before.
    pub(super) fn finish(mut self) -> Self {
        let sources = std::mem::take(&mut self.sources);
        self.env.set_loader(move |template| Ok(sources.get(template).cloned()));
        self
    }

    /// The message for an event. Always gives one.
    pub(super) fn summarize(&self, event: &str, payload: &Json, headers: &[(String, String)]) -> Summary {
        let pattern = self.pattern(event);
        for pattern in [pattern, DEFAULT] {
            let Some(parts) = self.patterns.get(pattern) else { continue };
            let borrowed = [("url", parts.url), ("subject", parts.subject)];
            let borrowed = borrowed.iter().filter(|(_, own)| !own).map(|(part, _)| (DEFAULT, *part));
            let facts = self.needs.facts_of(pattern, borrowed);
            let context = self.context(event, payload, headers, &facts, &mut |_| ());
            if let Ok(summary) = self.render(pattern, &context) {
                return summary;
            }
        }
        self.plain(event, &self.context(event, payload, headers, &self.needs.all(), &mut |_| ()))
    }

    /// Every fact that an event has, as JSON.
    pub(super) fn facts(
        &self,
        event: &str,
        payload: &Json,
        headers: &[(String, String)],
    ) -> serde_json::Map<String, Json> {
        let context = self.context(event, payload, headers, &self.needs.all(), &mut |_| ());
        let fact = |name: &String| {
            let value = context.facts.get(name).filter(|value| !value.is_undefined())?;
            Some((name.clone(), values::to_json(&value)))
        };
        self.facts.iter().filter_map(fact).collect()
    }

    /// Like [`Summaries::summarize`], with every error on the way; for checking a manifest against its own examples.
    pub(super) fn try_summarize(&self, event: &str, payload: &Json, headers: &[(String, String)]) -> Vec<RenderError> {
        let mut errors = Vec::new();
        let context = self.context(event, payload, headers, &self.needs.all(), &mut |error| errors.push(error));
        let pattern = self.pattern(event);
        if self.patterns.contains_key(pattern)
            && let Err(error) = self.render(pattern, &context)
        {
            errors.push(error);
        }
        errors
    }

    /// The most specific pattern that covers an event: itself, then its longest prefix of whole segments.
    fn pattern<'e>(&self, event: &'e str) -> &'e str
    where
        Self: 'e,
    {
        let mut prefix = event;
        loop {
            if prefix != DEFAULT && self.patterns.contains_key(prefix) {
                return prefix;
            }
            match prefix.rsplit_once(super::reading::SEPARATORS) {
                Some((shorter, _)) => prefix = shorter,
                None => return DEFAULT,
            }
        }
    }

    /// What templates see, with the facts at the places `facts` of the manifest's list. A GitHub event needs a handful of
    /// a hundred; evaluating all would take most of the time that an event takes.
    fn context(
        &self,
        event: &str,
        payload: &Json,
        headers: &[(String, String)],
        facts: &[usize],
        on_error: &mut dyn FnMut(RenderError),
    ) -> Context {
        let visible = Scope::default();
        for (name, value) in headers.iter().filter(|(name, _)| self.headers.contains(name)) {
            visible.set(name, Value::from(value.as_str()));
        }
        let context = Context::default();
        let fixed = [
            ("payload", values::from_json(payload)),
            ("headers", Value::from_object(visible)),
            ("event", Value::from(event)),
            ("provider", Value::from(self.title.as_str())),
            ("facts", Value::from_dyn_object(Arc::clone(&context.facts))),
        ];
        for (name, value) in fixed {
            context.all.set(name, value);
        }
        for name in facts.iter().filter_map(|place| self.facts.get(*place)) {
            let value = self.fact(name, &context).unwrap_or_else(|error| {
                on_error(RenderError::new(format!("facts.{name}"), &error));
                Value::UNDEFINED
            });
            context.facts.set(name, value.clone());
            context.all.set(name, value);
        }
        context
    }

    fn fact(&self, name: &str, context: &Context) -> Result<Value, minijinja::Error> {
        let template = self.env.get_template(&format!("facts/{name}"))?;
        let captured = template.render_captured_to(context.value(), io::sink())?;
        let value = captured.state().lookup(FACT_VARIABLE).unwrap_or(Value::UNDEFINED);
        Ok(if value.is_none() { Value::UNDEFINED } else { value })
    }

    fn render(&self, pattern: &str, context: &Context) -> Result<Summary, RenderError> {
        let parts = self.patterns.get(pattern).cloned().unwrap_or_default();
        let base = self.patterns.get(DEFAULT).cloned().unwrap_or_default();
        let context = context.value();
        let title = clean::line(&self.part(pattern, "title", &context)?, TITLE_CHARS_MAX);
        if title.is_empty() {
            let key = format!("summaries.{pattern}.title");
            let message = "the title comes out empty".into();
            return Err(RenderError { key, message, unknown_name: false });
        }
        let mut lines = Vec::new();
        for index in 0..parts.lines {
            let line = clean::line(&self.part(pattern, &format!("lines.{index}"), &context)?, LINE_CHARS_MAX);
            if !line.is_empty() && lines.len() < LINES_MAX {
                lines.push(line);
            }
        }
        let own_or_default = |own: bool, default: bool, part: &str| match (own, default) {
            (true, _) => self.part(pattern, part, &context),
            (false, true) => Ok(self.part(DEFAULT, part, &context).unwrap_or_default()),
            (false, false) => Ok(String::new()),
        };
        let url = own_or_default(parts.url, base.url, "url")?;
        let subject = clean::line(&own_or_default(parts.subject, base.subject, "subject")?, SUBJECT_CHARS_MAX);
        let severity = if parts.severity { self.part(pattern, "severity", &context)? } else { String::new() };
        Ok(Summary {
            message: Message {
                title,
                lines,
                url: clean::url(&url),
                severity: severity.trim().parse().unwrap_or(Severity::Info),
            },
            subject: (!subject.is_empty()).then_some(subject),
        })
    }

    fn part(&self, pattern: &str, part: &str, context: &Value) -> Result<String, RenderError> {
        let failed = |error: minijinja::Error| RenderError::new(format!("summaries.{pattern}.{part}"), &error);
        let template = self.env.get_template(&format!("summaries/{pattern}/{part}")).map_err(failed)?;
        let mut output = Bounded(Vec::with_capacity(256));
        template.render_captured_to(context.clone(), &mut output).map_err(failed)?;
        Ok(String::from_utf8_lossy(&output.0).into_owned())
    }

    /// `acme/shop: deployment created by alice`, of whatever facts there are.
    fn plain(&self, event: &str, context: &Context) -> Summary {
        let fact = |names: &[&str]| {
            let mut found = names.iter().filter_map(|name| context.facts.get(name)).map(|value| values::text(&value));
            found.find(|text| !text.trim().is_empty())
        };
        let place = fact(&["repo", "repository", "project", "account", "shop", "team"]);
        let what = filters::words(event);
        let what = if what == super::reading::UNKNOWN_EVENT || what.is_empty() { "an event".to_owned() } else { what };
        let by = fact(&["actor", "user", "sender"]).map(|actor| format!(" by {actor}")).unwrap_or_default();
        let title = format!("{}: {what}{by}", place.as_deref().unwrap_or(&self.title));
        Summary { message: Message::title(clean::line(&title, TITLE_CHARS_MAX)), subject: None }
    }
}

/// What templates see.
#[derive(Debug, Default)]
struct Context {
    all: Arc<Scope>,
    facts: Arc<Scope>,
}

impl Context {
    fn value(&self) -> Value {
        Value::from_dyn_object(Arc::clone(&self.all))
    }
}

impl RenderError {
    fn new(key: String, error: &minijinja::Error) -> Self {
        let unknown = [ErrorKind::UnknownFilter, ErrorKind::UnknownFunction, ErrorKind::UnknownTest];
        Self { key, message: told(error), unknown_name: unknown.contains(&error.kind()) }
    }
}

/// Keeps the first bytes and swallows the rest.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = OUTPUT_BYTES_MAX.saturating_sub(self.0.len());
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn template_error(error: minijinja::Error) -> TemplateError {
    TemplateError { message: told(&error) }
}

/// The error in one line, without the name that the template has inside the engine.
fn told(error: &minijinja::Error) -> String {
    let kind = error.kind();
    match error.detail() {
        Some(detail) => format!("{kind}: {detail}"),
        None => kind.to_string(),
    }
}
