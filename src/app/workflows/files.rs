//! The workflow files of a configuration: where they are, what they may name, and what is wrong with them beside the rest.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::app::handlers;
use crate::config::Config;
use crate::domain::fault::Fault;
use crate::domain::reach::AllowList;
use crate::domain::tree::shown;
use crate::outbound::Target;
use crate::ports::Clock;
use crate::provider::Registry;
use crate::telemetry::Redactor;
use crate::tool::ToolRegistry;
use crate::tool::mcp::McpServers;
use crate::workflow::catalog::Catalog;
use crate::workflow::definition::{Known, Trigger, Workflow};
use crate::workflow::nearest::nearest;

/// Where workflow files are within the data folder.
pub fn workflows_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("workflows")
}

/// The workflow files of `config`, with nothing that could carry them out.
pub fn load_workflows(config: &Config) -> Catalog {
    let redactor = Arc::new(Redactor::new(handlers::all_secrets(config)));
    let clock: Arc<dyn Clock> = Arc::new(crate::ports::SystemClock);
    let tools = ToolRegistry::declared().with_mcp(Arc::new(McpServers::new(&config.mcp, &clock, redactor)));
    let known = known(config, tools, config.model.is_some());
    Catalog::load(&workflows_dir(&config.data_dir), Arc::new(known))
}

/// A fault for each workflow with a route that a handler has.
pub fn claimed_twice(config: &Config, catalog: &Catalog) -> Vec<Fault> {
    let taken = routes_taken(config);
    catalog.list().iter().filter_map(|workflow| without_route(workflow, &taken)).collect()
}

/// The names whose routes are handlers'.
pub(super) fn routes_taken(config: &Config) -> BTreeSet<String> {
    let own = config.webhooks.handlers.values().filter(|handler| handler.path.is_none());
    own.map(|handler| handler.name.to_string()).collect()
}

/// The fault of a workflow whose route is among those `taken`, or of the server itself.
pub(super) fn without_route(workflow: &Workflow, taken: &BTreeSet<String>) -> Option<Fault> {
    let name = &workflow.name;
    let is_taken = crate::intake::is_reserved(name) || taken.contains(name);
    (workflow.trigger == Trigger::Webhook && is_taken).then(|| Fault {
        file: workflow.file.clone(),
        line: None,
        column: None,
        key: Some("name".into()),
        message: format!("a handler is served at /webhooks/{name}, so the workflow '{name}' has no route"),
        hint: Some("rename the workflow, or start it by 'on:'".into()),
    })
}

/// A note for each step whose folder or file no tool may use, since it would fail after somebody has agreed to it.
pub fn outside_files(config: &Config, catalog: &Catalog) -> Vec<Fault> {
    let data_dir = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    let home = data_dir.join("files");
    let within = |path: &Path| path.starts_with(&home) || config.files.roots.iter().any(|root| path.starts_with(root));
    let mut notes = Vec::new();
    for workflow in &catalog.list() {
        for step in workflow.all_steps() {
            let Some(tool) = step.tool_step() else { continue };
            for name in ["cwd", "path"] {
                let Some(path) = tool.args.literal(name).and_then(Value::as_str).map(Path::new) else { continue };
                // A relative one may climb out too.
                let path = &climbed(&home, path);
                if !within(path) {
                    notes.push(Fault {
                        file: workflow.file.clone(),
                        line: Some(step.line),
                        column: None,
                        key: Some(format!("steps.{}.args.{name}", step.name)),
                        message: format!(
                            "{} lies outside {} and files.roots, so this step will fail",
                            path.display(),
                            home.display()
                        ),
                        hint: Some("add its folder to files.roots".into()),
                    });
                }
            }
        }
    }
    notes
}

/// `path` from `home`, without the `..` in it. Links are followed when it runs.
fn climbed(home: &Path, path: &Path) -> PathBuf {
    let mut climbed = PathBuf::new();
    for part in home.join(path).components() {
        match part {
            Component::ParentDir => drop(climbed.pop()),
            Component::CurDir => {}
            part => climbed.push(part),
        }
    }
    climbed
}

/// A note for each request of a step that is certain to fail: to an address that is not public and not allowed, or signed
/// with a secret that there is not.
pub fn vain_requests(config: &Config, catalog: &Catalog) -> Vec<Fault> {
    let allowed = AllowList::new(config.network.allow.clone());
    let signed = config.webhooks.handlers.values().filter(|handler| !handler.secrets.is_empty());
    let mut secrets: BTreeSet<String> = signed.map(|handler| handler.name.to_string()).collect();
    secrets.extend(config.webhooks.common_secret.as_ref().map(|_| "webhooks".to_owned()));
    let mut notes = Vec::new();
    for workflow in &catalog.list() {
        for step in workflow.all_steps() {
            let Some(tool) = step.tool_step().filter(|step| matches!(step.tool.name, "http_request" | "hook")) else {
                continue;
            };
            let literal = |name: &str| tool.args.literal(name).and_then(Value::as_str);
            let mut note = |arg: &str, message: String, hint: String| {
                notes.push(Fault {
                    file: workflow.file.clone(),
                    line: Some(step.line),
                    column: None,
                    key: Some(format!("steps.{}.args.{arg}", step.name)),
                    message,
                    hint: Some(hint),
                });
            };
            if let Some(secret) = literal("secret").filter(|secret| !secrets.contains(*secret)) {
                let hint = match nearest(secret, secrets.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean '{near}'?"),
                    None => "secrets are named like their handlers; 'webhooks' is the common one".to_owned(),
                };
                note("secret", format!("there is no secret {}, so this step will fail", shown(secret)), hint);
            }
            if let Some(host) =
                literal("url").and_then(|url| Target::parse(url).ok()).map(|target| target.host().to_owned())
                && let Ok(address) = host.parse()
                && allowed.admits(&host, address).is_err()
            {
                let message = format!("{host} is no public address, so this step will fail");
                note("url", message, format!("list it: network: {{ allow: [\"{host}\"] }}"));
            }
        }
    }
    notes
}

/// A note for each event type that a workflow waits for, that no manifest names, and that looks like a slip of one that is.
pub fn strange_workflow_events(config: &Config, registry: &Registry, catalog: &Catalog) -> Vec<Fault> {
    let slip = |handler: &str, wanted: &str| {
        let handler = config.webhooks.handlers.values().find(|known| known.name.as_str() == handler)?;
        let provider = handlers::provider_of(handler, registry)?;
        let names = || provider.events().iter().map(|event| event.name.as_str());
        let covers = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if names().any(|name| covers(name, wanted) || covers(wanted, name)) {
            return None;
        }
        let families = names().map(|name| name.split('.').next().unwrap_or(name));
        nearest(wanted, names().chain(families)).map(|near| (provider.name().to_owned(), near.to_owned()))
    };
    let mut notes = Vec::new();
    for workflow in &catalog.list() {
        let on = workflow.on.as_ref().and_then(|on| Some((on.handler.as_deref()?, &on.events)));
        for wanted in on.iter().flat_map(|(_, events)| events.iter()) {
            let Some((provider, near)) = on.and_then(|(handler, _)| slip(handler, wanted)) else { continue };
            notes.push(Fault {
                file: workflow.file.clone(),
                line: None,
                column: None,
                key: Some("on.events".to_owned()),
                message: format!("no event of {provider} is known as {}", shown(wanted)),
                hint: Some(format!("did you mean '{near}'?")),
            });
        }
    }
    notes
}

/// What workflows may name. Without Telegram nobody is listed, and the local admin decides.
pub(super) fn known(config: &Config, tools: ToolRegistry, model: bool) -> Known {
    let telegram = config.telegram.as_ref();
    let members = |users: &Vec<u64>| users.iter().copied().collect::<BTreeSet<u64>>();
    Known {
        tools,
        groups: telegram
            .map(|telegram| telegram.groups.iter().map(|(name, users)| (name.clone(), members(users))).collect()),
        users: telegram.map(|telegram| members(&telegram.allowed_users)).unwrap_or_default(),
        chats: telegram.map(|telegram| telegram.chats.keys().cloned().collect()),
        handlers: Some(config.webhooks.handlers.keys().map(ToString::to_string).collect()),
        model,
    }
}
