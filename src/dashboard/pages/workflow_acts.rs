//! What a person does to a workflow: run it by hand, switch it on and off.

use serde_json::{Map, Value};

use super::query::Query;
use super::workflow::{self, Refused};
use super::{Answer, View};
use crate::dashboard::ADMIN;
use crate::dashboard::problem::Problem;
use crate::domain::run::RunSource;
use crate::ledger::runs::RunContext;
use crate::workflow::engine::{StartError, StartRequest};

/// Starts a run with typed inputs; what cannot start is told above the form, which keeps what was typed.
pub(super) async fn run(view: View<'_>, name: &str, form: &Query) -> Result<Answer, Problem> {
    let typed = form.get("inputs").unwrap_or("{}");
    let refused = |why: String| async move {
        let page = workflow::show(view, name, Some(Refused { inputs: typed, why })).await?;
        Ok(Answer::Page(page.refused()))
    };
    let inputs: Map<String, Value> = match serde_json::from_str(typed) {
        Ok(inputs) => inputs,
        Err(error) => return refused(format!("The inputs are no JSON object: {error}")).await,
    };
    let inputs = Value::Object(inputs);
    let nothing = || Value::Object(Map::new());
    let request = StartRequest {
        workflow: name.to_owned(),
        event: None,
        context: RunContext { payload: inputs.clone(), event: nothing(), facts: nothing(), inputs },
        source: RunSource::Manual,
        started_by: ADMIN.to_owned(),
        chat: view.api.triggers.desks.fallback.chat.clone(),
    };
    match view.api.triggers.engine.start(request).await {
        Ok(started) => Ok(Answer::See(format!("/runs/{}?done=started", started.run))),
        Err(error @ StartError::Unknown(_)) => Err(Problem::not_found(error.to_string())),
        Err(StartError::Ledger(error)) => Err(error.into()),
        Err(error @ (StartError::Disabled(_) | StartError::Refused(_))) => refused(error.to_string()).await,
    }
}

/// Writes `enabled:` into the workflow's file and reads it again.
pub(super) fn enable(view: View<'_>, name: &str, form: &Query) -> Result<Answer, Problem> {
    let enabled = match form.get("enabled") {
        Some("true") => true,
        Some("false") => false,
        _ => return Err(Problem::bad_request("Say enabled=true or enabled=false.")),
    };
    view.api.triggers.catalog.set_enabled(name, enabled).map_err(Problem::conflict)?;
    tracing::info!(workflow.name = name, enabled, "a workflow was switched from the dashboard");
    let done = if enabled { "enabled" } else { "disabled" };
    Ok(Answer::See(format!("/workflows/{name}?done={done}")))
}
