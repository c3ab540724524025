//! `script`: inline code in a file of its own, with the payload on standard input.

use async_trait::async_trait;

use super::process::{self, Job};
use super::{Call, Tool, ToolContext, ToolFailure, ToolOutput, ToolSpec, specs};

/// Longest code, in bytes.
pub const CODE_BYTES_MAX: usize = 256 * 1024;

/// The tool.
#[derive(Debug, Clone, Copy, Default)]
pub struct Script;

/// How a language is run: programs to try, what comes before the file, and the file's name.
fn interpreter(language: &str) -> Option<(&'static [&'static str], &'static [&'static str], &'static str)> {
    match language.to_ascii_lowercase().as_str() {
        "bash" => Some((&["bash"], &["--noprofile", "--norc"], "step.sh")),
        "python" => Some((&["python3", "python"], &["-B"], "step.py")),
        "node" => Some((&["node", "nodejs"], &[], "step.js")),
        _ => None,
    }
}

#[async_trait]
impl Tool for Script {
    fn spec(&self) -> &'static ToolSpec {
        &specs::SCRIPT
    }

    async fn run(&self, call: &Call, context: &ToolContext) -> Result<ToolOutput, ToolFailure> {
        let (language, code) = (call.needed_text("language")?, call.needed_text("code")?);
        if code.len() > CODE_BYTES_MAX {
            let message = format!("the code has {} bytes, more than {CODE_BYTES_MAX}", code.len());
            return Err(ToolFailure::NeverBegan { message });
        }
        let (programs, options, file) = interpreter(&language).ok_or_else(|| {
            let known = specs::LANGUAGES.join(", ");
            ToolFailure::never_began(format!("there is no language {language:?}; there are {known}"))
        })?;
        let cwd = context.files.working_folder(None).map_err(ToolFailure::never_began)?;
        let found = programs.iter().find_map(|program| process::resolve(program, &cwd, None));
        let program = found.ok_or_else(|| {
            ToolFailure::never_began(format!("{} is not installed (looked for {})", language, programs.join(", ")))
        })?;
        let scratch = context.files.scratch(call)?;
        let path = scratch.write(file, code.as_bytes())?;
        let mut argv = vec![program.to_string_lossy().into_owned()];
        argv.extend(options.iter().map(|option| (*option).to_owned()));
        argv.push(path.to_string_lossy().into_owned());
        let stdin = call.payload.to_string().into_bytes();
        Job { argv, cwd, env: Vec::new(), stdin, program: Some(program), scratch }.run(call, context).await
    }
}
