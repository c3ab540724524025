//! Names beside which a payload value is as good as control: variables that make programs load or run things, and headers
//! that say where a request goes and where it ends.

/// Variables that choose code, in upper case; those that end with `*` are prefixes.
const VARIABLES: [&str; 31] = [
    "PATH",
    "LD_*",
    "DYLD_*",
    "BASH_ENV",
    "ENV",
    "SHELL",
    "SHELLOPTS",
    "BASHOPTS",
    "BASH_FUNC_*",
    "PS4",
    "PROMPT_COMMAND",
    "IFS",
    "CDPATH",
    "HOME",
    "PYTHON*",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PERL5*",
    "PERLLIB",
    "RUBYOPT",
    "RUBYLIB",
    "GIT_*",
    "SSH_*",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "BROWSER",
    "JAVA_TOOL_OPTIONS",
    "GCONV_PATH",
    "PHP_INI_SCAN_DIR",
    "LESSOPEN",
];
/// Headers that a request's framing or destination hangs on, in lower case.
const HEADERS: [&str; 7] =
    ["host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "proxy-authorization"];

/// Why a payload value must not stand at the name `name` of the argument `arg`.
pub(crate) fn check_name(arg: &str, name: &str) -> Option<&'static str> {
    match arg {
        "env" => {
            let upper = name.to_ascii_uppercase();
            let known = |known: &&'static str| match known.strip_suffix('*') {
                Some(prefix) => upper.starts_with(prefix),
                None => upper == **known,
            };
            VARIABLES.iter().any(known).then_some("chooses what programs load or run")
        }
        "headers" => HEADERS
            .contains(&name.to_ascii_lowercase().as_str())
            .then_some("decides where the request goes or where it ends"),
        _ => None,
    }
}
