//! Programs whose words say where a request goes, which file is sent, or what is installed.

use super::argv::ArgvWord;

/// Programs that request what their words name.
const REQUESTERS: [&str; 6] = ["curl", "wget", "http", "https", "xh", "aria2c"];
/// Their options whose value is data and nothing else: `--data` reads a file when its value begins with `@`.
const DATA: [&str; 10] = [
    "--data-raw",
    "--form-string",
    "-A",
    "--user-agent",
    "-e",
    "--referer",
    "--user",
    "-u",
    "--post-data",
    "--body-data",
];
/// Programs that install what their words name, and the words for it.
const INSTALLERS: [(&str, &[&str]); 22] = [
    ("npm", &["install", "i", "add", "ci", "update", "link"]),
    ("pnpm", &["install", "i", "add", "update"]),
    ("yarn", &["add", "install", "up", "upgrade"]),
    ("bun", &["add", "install", "i"]),
    ("pip", &["install", "download", "wheel"]),
    ("pipx", &["install", "inject", "run"]),
    ("uv", &["pip", "add", "tool"]),
    ("gem", &["install", "fetch"]),
    ("cargo", &["install", "add"]),
    ("go", &["install", "get"]),
    ("apt", &["install"]),
    ("apt-get", &["install"]),
    ("dnf", &["install"]),
    ("yum", &["install"]),
    ("microdnf", &["install"]),
    ("zypper", &["install", "in"]),
    ("apk", &["add"]),
    ("brew", &["install", "reinstall", "upgrade"]),
    ("snap", &["install", "refresh"]),
    ("flatpak", &["install", "run"]),
    ("composer", &["require", "create-project", "exec"]),
    ("deno", &["add", "install"]),
];

/// Which word of `words`, the first of which is the program `name`, must not be a payload's.
pub(super) fn refused(name: &str, words: &[ArgvWord<'_>]) -> Option<(usize, String)> {
    let tainted = || words.iter().enumerate().filter(|(_, word)| word.tainted.is_some());
    if let Some((_, verbs)) = INSTALLERS.iter().find(|(known, _)| *known == name) {
        let begin = words.iter().position(|word| verbs.contains(&word.literal))?;
        let (at, _) = tainted().find(|(at, _)| *at > begin)?;
        return Some((at, format!("it would choose what '{name}' installs")));
    }
    if !REQUESTERS.contains(&name) {
        return None;
    }
    tainted().find_map(|(at, word)| {
        let before = words[at - 1];
        let is_data = DATA.contains(&before.literal) || DATA.iter().any(|option| is_value_of(word.literal, option));
        if is_data || before.open && before.literal.is_empty() && before.tainted.is_none() {
            return (!is_data).then(|| (at, format!("'{name}' may take it for something else")));
        }
        request_part(name, word.literal, before.literal).map(|reason| (at, reason))
    })
}

/// `--data-raw=` and the like.
fn is_value_of(literal: &str, option: &str) -> bool {
    literal.strip_prefix(option).is_some_and(|rest| option.starts_with("--") && rest.starts_with('='))
}

/// Why a payload value behind `literal` is refused where a request is described.
fn request_part(name: &str, literal: &str, option: &str) -> Option<String> {
    if literal.is_empty() {
        let what = match option {
            "-d" | "--data" | "--data-ascii" | "--data-binary" | "--json" | "--data-urlencode" | "-H" | "--header"
            | "-F" | "--form" => "may name a file that is sent: write --data-raw, or hand it over on standard input",
            _ => "would decide which host is asked, or which file is used",
        };
        return Some(format!("to '{name}' it {what}"));
    }
    if literal.starts_with('-') {
        let data = ["-d", "-H", "--data=", "--header="]
            .iter()
            .any(|option| literal.strip_prefix(option).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('@')));
        return (!data).then(|| format!("to '{name}' it may decide which host is asked, or which file is used"));
    }
    let file = literal.starts_with('@') || literal.ends_with(['@', '<']);
    if file {
        return Some(format!("to '{name}' it names a file that is sent"));
    }
    match literal.split_once("://") {
        Some((_, rest)) if !rest.contains(['/', '?', '#']) => Some("it would decide which host is asked".to_owned()),
        // `-o downloads/{{ … }}` names a file.
        None if matches!(
            option,
            "-o" | "--output" | "-O" | "-K" | "--config" | "-x" | "--proxy" | "-T" | "--upload-file"
        ) =>
        {
            Some(format!("to '{name}' it would decide which file is used"))
        }
        Some(_) | None => None,
    }
}
