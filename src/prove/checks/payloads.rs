//! Hostile strings as arguments, variables and input of programs: each comes out as it went in, and nothing of it was run.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Verdict, table};
use crate::prove::Context;
use crate::prove::stand::{AgentProcess, Delivery, Sender, Setup, Wanted};

/// Strings that are tried side by side.
const AT_ONCE: usize = 6;
/// Begins every output, so that none is JSON.
const MARK: &str = "T:";
/// Each step gets the text in another way.
const WORKFLOW: &str = r#"name: echo
trigger: webhook
steps:
  - { name: argv, tool: shell_exec, on_error: continue, args: { argv: [printf, "T:%s", "{{ payload.text }}"] } }
  - { name: env, tool: shell_exec, on_error: continue, args: { argv: [sh, -c, 'printf "T:%s" "$TEXT"'], env: { TEXT: "{{ payload.text }}" } } }
  - { name: stdin, tool: shell_exec, on_error: continue, args: { argv: [cat], stdin: "T:{{ payload.text }}" } }
"#;

pub(super) async fn check(context: &Context) -> Result<Verdict, String> {
    let strings: Vec<String> = table::read("strings", include_str!("../tables/strings.yaml"))?;
    let wanted = Wanted { workflows: vec![("echo".into(), WORKFLOW.into())], ..Wanted::default() };
    let setup = Setup::write(&context.folder.join("payloads"), &wanted, &context.secrets).await?;
    let canary = setup.folder.join("canary");
    let agent = setup.up(&context.options.program).await?;
    let sender = Sender::new(context.secrets.clone())?;
    let (mut faults, mut came_out, mut refused) = (Vec::new(), 0, 0);
    let every = if context.options.quick { 4 } else { 1 };
    let strings: Vec<&String> = strings.iter().step_by(every).collect();
    let (agent, places) = (Arc::new(agent), Arc::new(Semaphore::new(AT_ONCE)));
    let mut asked = JoinSet::new();
    for text in &strings {
        let text = text.replace("CANARY", &canary.display().to_string());
        let (agent, sender, places) = (Arc::clone(&agent), sender.clone(), Arc::clone(&places));
        asked.spawn(async move {
            let _place = places.acquire().await.map_err(|error| error.to_string())?;
            let outputs = outputs(&agent, &sender, &text).await?;
            Ok::<_, String>((text, outputs))
        });
    }
    while let Some(answered) = asked.join_next().await {
        let (text, results) = answered.map_err(|error| error.to_string())??;
        for (step, result) in results {
            match result {
                Ok(output) if same(&output, &text) => came_out += 1,
                Ok(output) => faults.push(format!("{step} of {text:?} came out as {output:?}")),
                // A program cannot be given a NUL, nor what it would take for an option.
                Err(_) if text.contains('\0') || (step == "argv" && text.starts_with('-')) => refused += 1,
                Err(error) => faults.push(format!("{step} of {text:?} failed: {error}")),
            }
        }
        if Path::new(&canary).exists() {
            faults.push(format!("{text:?} was run"));
            let _next = std::fs::remove_file(&canary);
        }
    }
    Arc::into_inner(agent).ok_or("a question is open")?.kill().await;
    let seen = format!(
        "{} strings in 3 places: {came_out} came out as they went in, {refused} refused, none run",
        strings.len()
    );
    Ok(Verdict::of(seen, faults))
}

/// What each step gave, or why it failed.
async fn outputs(
    agent: &AgentProcess,
    sender: &Sender,
    text: &str,
) -> Result<Vec<(String, Result<String, String>)>, String> {
    let delivery = Delivery::plain("echo", &json!({ "text": text })).with("prefer", "wait=8");
    let answer = sender.send(agent.webhooks, &delivery).await.ok_or("the agent does not answer")?;
    let answer: Value = serde_json::from_str(&answer.body).map_err(|error| format!("{error}: {}", answer.body))?;
    let results = answer["results"].as_array().filter(|results| results.len() == 3);
    let results = results.ok_or_else(|| format!("the run of {text:?} was answered: {answer}"))?;
    let read = |result: &Value| {
        let step = result["step"].as_str().unwrap_or_default().to_owned();
        let outcome = match result["output"].as_str() {
            Some(output) if result["status"] == "success" => Ok(output.to_owned()),
            _ => Err(result["error"].to_string()),
        };
        (step, outcome)
    };
    Ok(results.iter().map(read).collect())
}

/// A program's last line end is not part of what it says.
fn same(output: &str, text: &str) -> bool {
    output.strip_prefix(MARK).is_some_and(|output| output.trim_end_matches('\n') == text.trim_end_matches('\n'))
}
