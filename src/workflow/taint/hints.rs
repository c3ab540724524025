//! The safe way to write what was refused.

/// How to hand `path` to the argument's tool safely, where it was written into `arg`.
pub(crate) fn safe_way(tool: &str, arg: &str, path: &str) -> String {
    let value = format!("{{{{ {path} }}}}");
    match (tool, arg) {
        ("shell_exec", "command") => format!(
            "hand it over as data: argv: [program, \"{value}\"], or env: {{ VALUE: \"{value}\" }} and \"$VALUE\" in the command; \
             the payload is JSON on standard input as well"
        ),
        ("shell_exec", "argv") => {
            format!("write the program out; a payload may fill what follows: argv: [program, \"{value}\"]")
        }
        ("shell_exec", "cwd") => {
            format!("write the folder out and hand the value over as data: argv: [program, \"{value}\"]")
        }
        ("script", "code") => "read it from standard input, where the payload is JSON".to_owned(),
        ("http_request", "url") => format!(
            "write scheme, host and port out; a payload may fill the path and the query: https://api.example.com/items/{value}"
        ),
        ("hook", "url") => format!("write the URL out and send the value in json, body or headers: \"{value}\""),
        ("read_file" | "write_file", "path") => {
            "write the path out; a payload may be the content, never the name".to_owned()
        }
        ("notify", "chat") => format!("write the chat's name out; the text may hold it: text: \"{value}\""),
        ("run_workflow", "workflow") => {
            format!("write the workflow's name out and hand the value over: inputs: {{ value: \"{value}\" }}")
        }
        ("model_prompt", "task") => format!("write the task out and give the value as data: \"{value}\""),
        _ => "write it out; to choose between a few, use one step for each with 'when'".to_owned(),
    }
}
