//! What came out of a run's steps and what went into it, within the bytes that its page has for both.

use maud::{Markup, html};
use serde_json::Value;

use super::parts::{self, Tone};
use super::tree::tree_within;
use crate::domain::run::StepState;
use crate::domain::text::clip_chars;
use crate::ledger::runs::{RunContext, RunRow, StepRow};

/// Bytes of markup for everything here, and how many of them outputs leave to what went in.
const BYTES_MAX: usize = 38 * 1024;
const INPUTS_BYTES: usize = 14 * 1024;
/// Bytes of markup that one of several outputs may take, about; fewer outputs have more.
const OUTPUT_BYTES: usize = 6 * 1024;
/// Longest text of an output or an error, in characters.
const TEXT_CHARS_MAX: usize = 4000;

/// Both sections.
pub(super) fn values(run: &RunRow, context: &RunContext) -> Markup {
    let outputs = outputs(run, has(&context.payload));
    let inputs = inputs(context, BYTES_MAX.saturating_sub(outputs.0.len()));
    html! { (outputs) (inputs) }
}

/// Whether a step is one that people look for first.
pub(super) fn matters(step: &StepRow) -> bool {
    match step.state {
        StepState::Error | StepState::InDoubt | StepState::Waiting | StepState::Started => true,
        StepState::Denied | StepState::Expired | StepState::Cancelled => true,
        StepState::Ready | StepState::Success | StepState::Skipped => false,
    }
}

fn outputs(run: &RunRow, has_payload: bool) -> Markup {
    let with: Vec<&StepRow> = run.steps.iter().filter(|step| step.output.is_some() || step.error.is_some()).collect();
    let bytes_max = BYTES_MAX - INPUTS_BYTES;
    let share = (bytes_max / (with.len() + 1)).max(OUTPUT_BYTES);
    let shown = parts::within(&with, bytes_max, |step| matters(step), |step| output(step, share, has_payload));
    html! {
        @if !with.is_empty() {
            section aria-labelledby="h-outputs" {
                div.title { h2 id="h-outputs" { "Outputs" } small { a href={ "/api/runs/" (run.id) "/artifacts" } { "as JSON" } } }
                @for output in &shown { (output) }
                @if with.len() > shown.len() { p.soft.gap { "and " (with.len() - shown.len()) " more; all are in the JSON" } }
            }
        }
    }
}

/// What a step gave, or why it gave nothing. Folded, unless it is what somebody looks for.
fn output(step: &StepRow, bytes_max: usize, has_payload: bool) -> Markup {
    let tone = parts::step_tone(step.state);
    html! {
        details.out id={ "out-" (step.key) } open[matters(step)] {
            summary { span { (parts::title(&step.name)) } (parts::state(tone, &parts::words_of(step.state.as_str()))) }
            div {
                @if let Some(error) = &step.error {
                    @let error = text_within(error, bytes_max / 3);
                    @if tone == Tone::Bad { p.note.bad { (error) } } @else { p.soft { (error) } }
                }
                @if let Some(output) = &step.output { div.gap { (output_of(output, &step.name, bytes_max / 3 * 2)) } }
                @if step.truncated { p { small { "It was longer and is kept up to here." } } }
                @if step.tainted && has_payload && !says_nothing(step) { p { small { "It derives from the payload." } } }
            }
        }
    }
}

/// Whether a step printed nothing.
fn says_nothing(step: &StepRow) -> bool {
    step.output.as_ref().and_then(Value::as_str).is_some_and(|text| text.trim().is_empty())
}

fn output_of(output: &Value, step: &str, bytes_max: usize) -> Markup {
    match output {
        Value::String(text) if text.trim().is_empty() => html! { p.soft { "It printed nothing." } },
        Value::String(text) => html! { pre.code.wrap tabindex="0" { (text_within(text, bytes_max)) } },
        // As expressions name a step, in which `-` would subtract.
        other => tree_within(other, &format!("steps.{}.output", step.replace(['-', '.'], "_")), bytes_max),
    }
}

/// The beginning of a text, with what hides in it spelled out.
fn text_within(text: &str, bytes_max: usize) -> String {
    let head: String = text.chars().take(TEXT_CHARS_MAX + 1).collect();
    let spelled = clip_chars(&parts::spelled_lines(&head), TEXT_CHARS_MAX);
    parts::clip_html(&spelled, bytes_max)
}

fn has(value: &Value) -> bool {
    !value.is_null() && value.as_object().is_none_or(|map| !map.is_empty())
}

fn inputs(context: &RunContext, mut bytes: usize) -> Markup {
    let parts = [("payload", &context.payload), ("inputs", &context.inputs), ("facts", &context.facts)];
    let shown: Vec<_> = parts
        .into_iter()
        .filter(|(name, value)| has(value) && (*name == "payload" || **value != context.payload))
        .collect();
    let mut trees = Vec::new();
    for (index, (name, value)) in shown.iter().enumerate() {
        // The first and largest leaves something to each of the others.
        let others = shown.len() - index - 1;
        let tree = tree_within(value, name, bytes.saturating_sub(others * bytes / 4));
        bytes = bytes.saturating_sub(tree.0.len());
        trees.push((name, tree));
    }
    html! {
        @if !trees.is_empty() {
            section aria-labelledby="h-inputs" {
                div.title { h2 id="h-inputs" { "What went in" } }
                @for (name, tree) in trees {
                    details.out id={ "in-" (name) } {
                        summary { span { (name) } }
                        div { (tree) }
                    }
                }
            }
        }
    }
}
