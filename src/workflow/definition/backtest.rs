//! What a workflow would have done with an event: the trigger and the conditions, asked without doing anything.

use super::types::{Step, StepBody, Trigger, Workflow};
use crate::workflow::expr::Scope;

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Backtest {
    /// Whether the event starts it.
    pub starts: bool,
    /// Why not.
    pub reason: Option<String>,
    /// What is known of each step; empty when it does not start.
    pub steps: Vec<StepForecast>,
}

/// What is known of one step before a run.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct StepForecast {
    /// Its name.
    pub step: String,
    /// `runs`, `asks` (runs once approved), `skipped`, `depends` (on what earlier steps give) or `error`.
    pub outcome: &'static str,
    /// Why it is skipped or fails.
    pub reason: Option<String>,
}

impl Workflow {
    /// Whether the stored event of `scope` starts this workflow; else why not, in words.
    pub fn starts_for(&self, scope: &Scope) -> Result<(), String> {
        if !self.enabled {
            return Err("the workflow is disabled".to_owned());
        }
        match (&self.on, self.trigger) {
            (Some(on), Trigger::Webhook) => on.matches(scope),
            (None, Trigger::Webhook) => Err("it has no 'on:', so only its own route starts it".to_owned()),
            (_, Trigger::Manual | Trigger::Schedule) => Err(format!("its trigger is {}", self.trigger.as_str())),
        }
    }

    /// What it would have done with the event of `scope`.
    pub fn backtest(&self, scope: &Scope) -> Backtest {
        if let Err(reason) = self.starts_for(scope) {
            return Backtest { starts: false, reason: Some(reason), steps: Vec::new() };
        }
        self.forecast(scope)
    }

    /// What it would do once it has started, whatever starts it.
    pub fn forecast(&self, scope: &Scope) -> Backtest {
        let mut steps = Vec::new();
        for step in &self.steps {
            forecast(step, scope, &mut steps);
        }
        Backtest { starts: true, reason: None, steps }
    }
}

fn forecast(step: &Step, scope: &Scope, into: &mut Vec<StepForecast>) {
    let mut add = |outcome, reason| into.push(StepForecast { step: step.name.clone(), outcome, reason });
    if let Some(when) = &step.when {
        if depends(when.reads()) {
            add("depends", None);
            return;
        }
        match when.is_true(scope) {
            Ok(true) => {}
            Ok(false) => {
                add("skipped", when.holds(scope).err());
                return;
            }
            Err(error) => {
                add("error", Some(error.message));
                return;
            }
        }
    }
    match &step.body {
        StepBody::Parallel(steps) => {
            add("runs", None);
            for step in steps {
                forecast(step, scope, into);
            }
        }
        StepBody::Tool(tool) => {
            let later = step.for_each.is_some() || tool.args.depends();
            match tool.render(scope) {
                Err(_) if later => add("depends", None),
                Err(error) => add("error", Some(error.to_string())),
                Ok(_) if later => add("depends", None),
                Ok(_) if tool.gate.is_some() => add("asks", None),
                Ok(_) => add("runs", None),
            }
        }
    }
}

/// Whether an expression needs what earlier steps give.
pub(super) fn depends(reads: &crate::workflow::expr::Reads) -> bool {
    ["steps", "previous_output", "item", "error"].iter().any(|name| reads.reads(name))
}
