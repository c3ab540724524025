//! `shell_exec`: one program, or one line for `sh`, in the sandbox.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::process::{self, Job};
use super::{Call, Tool, ToolContext, ToolFailure, ToolOutput, ToolSpec, bytes_of, specs};

/// The tool.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShellExec;

#[async_trait]
impl Tool for ShellExec {
    fn spec(&self) -> &'static ToolSpec {
        &specs::SHELL_EXEC
    }

    async fn run(&self, call: &Call, context: &ToolContext) -> Result<ToolOutput, ToolFailure> {
        let argv = command_of(call)?;
        refuse_payload_options(call, &argv)?;
        let cwd = context.files.working_folder(call.text("cwd")?.as_deref()).map_err(ToolFailure::never_began)?;
        let env = call.text_map("env")?;
        let search = env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_str());
        let program = program_of(&argv[0], &cwd, search)?;
        let stdin = match call.arg("stdin") {
            Some(given) => bytes_of(given),
            None => call.payload.to_string().into_bytes(),
        };
        let scratch = context.files.scratch(call)?;
        Job { argv, cwd, env, stdin, program: Some(program), scratch }.run(call, context).await
    }

    fn folder(&self, call: &Call, context: &ToolContext) -> Option<PathBuf> {
        context.files.working_folder(call.text("cwd").ok()?.as_deref()).ok()
    }

    fn programs(&self, call: &Call, context: &ToolContext) -> Vec<PathBuf> {
        let Some(cwd) = self.folder(call, context) else { return Vec::new() };
        let words = match (call.texts("argv"), call.text("command")) {
            (Ok(Some(argv)), _) => argv,
            (_, Ok(Some(command))) => process::shell_words(&command),
            _ => Vec::new(),
        };
        let env = call.text_map("env").unwrap_or_default();
        let search = env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_str());
        process::programs_in(&words, &cwd, search, &context.files)
    }
}

/// The program and its arguments.
fn command_of(call: &Call) -> Result<Vec<String>, ToolFailure> {
    match (call.texts("argv")?, call.text("command")?) {
        (Some(argv), None) if argv.first().is_some_and(|program| !program.is_empty()) => Ok(argv),
        (Some(_), None) => Err(ToolFailure::never_began("'argv' names no program")),
        (None, Some(command)) => Ok(vec!["/bin/sh".into(), "-c".into(), command]),
        (Some(_), Some(_)) => Err(ToolFailure::never_began("give 'argv' or 'command', not both")),
        (None, None) => Err(ToolFailure::never_began("'argv' or 'command' is missing")),
    }
}

/// A payload must not choose options of a program.
fn refuse_payload_options(call: &Call, argv: &[String]) -> Result<(), ToolFailure> {
    let chosen =
        |(at, text): &(usize, &String)| text.starts_with('-') && call.begins_with_payload(&format!("/argv/{at}"));
    match argv.iter().enumerate().skip(1).find(chosen) {
        Some((at, _)) => Err(ToolFailure::never_began(format!(
            "argv[{at}] comes from the payload and begins with '-', so the program would take it for an option"
        ))),
        None => Ok(()),
    }
}

fn program_of(name: &str, cwd: &Path, search: Option<&str>) -> Result<PathBuf, ToolFailure> {
    process::resolve(name, cwd, search).ok_or_else(|| {
        let place = if name.contains('/') { format!("in {}", cwd.display()) } else { "on the search path".to_owned() };
        ToolFailure::never_began(format!("there is no program {name:?} {place}"))
    })
}
