//! The workflow files of a configuration: where they are, what they may name, and what is wrong with them beside the rest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::app::handlers;
use crate::config::Config;
use crate::domain::fault::Fault;
use crate::ports::Clock;
use crate::telemetry::Redactor;
use crate::tool::ToolRegistry;
use crate::tool::mcp::McpServers;
use crate::workflow::catalog::Catalog;
use crate::workflow::definition::{Known, Trigger, Workflow};

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
                if path.is_absolute() && !within(path) {
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
