//! Commands: which words a payload may fill. Programs that read one of their words as code are known by name, also behind
//! the programs that only start others.

/// One word of a command as it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ArgvWord<'a> {
    /// What is known of it: all of it, or what stands before its first tag.
    pub(crate) literal: &'a str,
    /// Whether there is more to it than `literal`.
    pub(crate) open: bool,
    /// The path of the payload value in it.
    pub(crate) tainted: Option<&'a str>,
}

/// The reason when a payload would name an option.
pub(crate) const CHOOSES_OPTION: &str = "would choose an option";
/// Programs that start the program that their words name.
const STARTERS: &[&str] = &[
    "env",
    "sudo",
    "doas",
    "nice",
    "ionice",
    "nohup",
    "setsid",
    "timeout",
    "stdbuf",
    "time",
    "command",
    "exec",
    "chroot",
    "unshare",
    "nsenter",
    "runuser",
    "setpriv",
    "busybox",
    "toybox",
    "flock",
    "taskset",
    "chrt",
    "systemd-run",
    "docker",
    "podman",
    "kubectl",
    "strace",
    "ltrace",
    "catchsegv",
    "firejail",
    "bwrap",
    "proot",
    "fakeroot",
    "dumb-init",
    "tini",
    "xvfb-run",
    "uv",
    "npx",
    "poetry",
];
/// Programs for which every word may be code, or becomes a shell's on another machine.
const ALWAYS: &[&str] =
    &["eval", "xargs", "ssh", "su", "watch", "parallel", "sshpass", "rsh", "at", "batch", "expect", "script"];
/// Programs with the options that take code, and whether their first word without a dash is code or a file of it.
const READERS: &[(&str, &[&str], bool)] = &[
    ("sh", &["-c"], true),
    ("bash", &["-c"], true),
    ("dash", &["-c"], true),
    ("ash", &["-c"], true),
    ("zsh", &["-c"], true),
    ("ksh", &["-c"], true),
    ("mksh", &["-c"], true),
    ("fish", &["-c", "--command", "-C", "--init-command"], true),
    ("csh", &["-c"], true),
    ("tcsh", &["-c"], true),
    ("pwsh", &["-c", "-command", "-e", "-encodedcommand"], true),
    ("powershell", &["-c", "-command", "-e", "-encodedcommand"], true),
    ("cmd", &["/c", "/k"], true),
    ("python", &["-c"], true),
    ("pypy", &["-c"], true),
    ("node", &["-e", "--eval", "-p", "--print", "-r", "--require", "--import"], true),
    ("nodejs", &["-e", "--eval", "-p", "--print", "-r", "--require", "--import"], true),
    ("deno", &["eval"], false),
    ("bun", &["-e", "--eval", "-p", "--print"], true),
    ("perl", &["-e", "-E", "-M", "-m"], true),
    ("ruby", &["-e", "-r"], true),
    ("php", &["-r", "-B", "-R", "-E", "-d"], true),
    ("lua", &["-e", "-l"], true),
    ("luajit", &["-e", "-l"], true),
    ("tclsh", &[], true),
    ("osascript", &["-e"], true),
    ("rscript", &["-e"], true),
    ("awk", &["-e", "--source", "-f"], true),
    ("gawk", &["-e", "--source", "-f"], true),
    ("mawk", &["-f"], true),
    ("sed", &["-e", "--expression", "-f"], true),
    ("jq", &["-f", "--from-file"], true),
    ("find", &["-exec", "-execdir", "-ok", "-okdir"], false),
    ("psql", &["-c", "--command", "-f"], false),
    ("mysql", &["-e", "--execute"], false),
    ("mariadb", &["-e", "--execute"], false),
    ("sqlite3", &["-cmd"], false),
    ("mongosh", &["--eval"], false),
    ("make", &["--eval"], false),
    ("gdb", &["-ex", "--eval-command"], false),
    ("vim", &["-c", "--cmd"], false),
    ("vi", &["-c"], false),
    ("emacs", &["--eval"], false),
    ("tar", &["--to-command", "--checkpoint-action", "-I", "--use-compress-program"], false),
    ("git", &["-c", "--upload-pack", "--receive-pack", "--exec"], false),
    ("rsync", &["-e", "--rsh"], false),
];
/// Words after which all of them together are one text that is run: `env -S`, `docker exec … sh -c` is found by itself.
const SPLITTERS: &[(&str, &[&str])] = &[("env", &["-S", "--split-string"]), ("flock", &["-c"]), ("runuser", &["-c"])];

/// Why a command is refused: the word's place, the payload's path, and what is wrong.
pub(crate) fn check_argv(words: &[ArgvWord<'_>]) -> Option<(usize, String, String)> {
    let tainted = || words.iter().enumerate().filter_map(|(at, word)| Some((at, word.tainted?)));
    if let Some(path) = words.first().and_then(|word| word.tainted) {
        return Some((0, path.to_owned(), "would choose the program that runs".to_owned()));
    }
    if let (true, Some((at, path))) = (words.first().is_some_and(|word| word.open), tainted().next()) {
        return Some((at, path.to_owned(), "what program it is given to is not written out".to_owned()));
    }
    if let Some((at, path)) = tainted().find(|(at, _)| {
        let literal = words[*at].literal;
        !literal.is_empty() && literal.bytes().all(|b| b == b'-')
    }) {
        return Some((at, path.to_owned(), CHOOSES_OPTION.to_owned()));
    }
    let last = tainted().next_back()?.0;
    // Any word may be the program behind a starter; beside the first, only those before the last payload value matter.
    let mut behind_starter = true;
    for (at, word) in words.iter().enumerate().take(last) {
        let name = program(word.literal);
        if !behind_starter && !is_code_reader(&name) {
            continue;
        }
        let starts = at == 0 || behind_starter;
        if let Some(reason) = refused(&name, &words[at + 1..], starts) {
            let (place, path) = tainted().find(|(place, _)| *place > at)?;
            return Some((place, path.to_owned(), reason));
        }
        if at == 0 {
            behind_starter = STARTERS.contains(&name.as_str());
        }
    }
    None
}

/// The name of a program: without folders, version and extension.
fn program(word: &str) -> String {
    let name =
        word.trim_matches(|c: char| c.is_whitespace()).rsplit(['/', '\\']).next().unwrap_or(word).to_ascii_lowercase();
    let name = name.strip_suffix(".exe").unwrap_or(&name);
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    // `sqlite3` is a name; `python3.12` is python.
    if is_code_reader(name) || bare.is_empty() { name.to_owned() } else { bare.to_owned() }
}

fn is_code_reader(name: &str) -> bool {
    READERS.iter().any(|(known, ..)| *known == name)
}

/// Why `name`, followed by `rest`, must have no payload value in `rest`.
fn refused(name: &str, rest: &[ArgvWord<'_>], starts: bool) -> Option<String> {
    if starts && ALWAYS.contains(&name) {
        return Some(format!("'{name}' runs what its words say"));
    }
    if let Some((_, options)) = SPLITTERS.iter().find(|(known, _)| starts && *known == name)
        && let Some(option) = rest.iter().find_map(|word| takes_code(word.literal, options))
    {
        return Some(format!("'{name} {option}' runs the text that follows"));
    }
    let (_, options, file) = READERS.iter().find(|(known, ..)| *known == name)?;
    // What follows a script's file is the script's own.
    let is_file = |word: &ArgvWord<'_>| {
        *file && word.tainted.is_none() && !word.literal.starts_with('-') && word.literal.contains(['.', '/'])
    };
    let own = rest.iter().position(is_file).map_or(rest, |end| &rest[..end]);
    if let Some(option) = own.iter().find_map(|word| takes_code(word.literal, options)) {
        return Some(format!("'{name} {option}' runs text"));
    }
    // A word that another template fills may be such an option.
    if starts && own.iter().any(|word| word.open && word.tainted.is_none() && word.literal.is_empty()) {
        return Some(format!("'{name}' may run it as text"));
    }
    match rest.iter().find(|word| !word.literal.starts_with('-')) {
        Some(word) if word.tainted.is_some() && *file && starts => Some(format!("it would choose what '{name}' runs")),
        _ => sql(name, rest),
    }
}

/// `sqlite3 file "select …"`: the second word without a dash is code.
fn sql(name: &str, rest: &[ArgvWord<'_>]) -> Option<String> {
    let second = rest.iter().filter(|word| !word.literal.starts_with('-')).nth(1);
    (name == "sqlite3" && second.is_some_and(|word| word.tainted.is_some())).then(|| "'sqlite3' runs text".to_owned())
}

/// The option of `options` that `word` is, also within a bundle (`-lc`, `-euxc`) or with a value (`--eval=…`).
fn takes_code(word: &str, options: &[&'static str]) -> Option<String> {
    let found = options.iter().find(|option| {
        if option.starts_with("--") {
            return word == **option || word.strip_prefix(**option).is_some_and(|rest| rest.starts_with('='));
        }
        if option.len() == 2 && option.starts_with('-') {
            let letter = &option[1..];
            let bundle = word.strip_prefix('-').filter(|rest| !rest.starts_with('-'));
            // After the letters of a bundle, code may follow at once: `-ecode`, `-lc`.
            return bundle.is_some_and(|rest| {
                let letters: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
                letters.contains(letter)
            });
        }
        word.eq_ignore_ascii_case(option)
    })?;
    let shown = if word.starts_with("--") || !option_is_bundle(word) { (*found).to_owned() } else { word.to_owned() };
    Some(shown)
}

fn option_is_bundle(word: &str) -> bool {
    word.len() <= 8 && word.bytes().skip(1).all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words divided by spaces; `@` is a payload value, `x=@` one behind a literal, `?` a template without one.
    fn check(command: &str) -> Option<String> {
        let words: Vec<ArgvWord<'_>> = command
            .split(' ')
            .map(|word| match word.strip_suffix('@') {
                Some(literal) => ArgvWord { literal, open: true, tainted: Some("payload.x") },
                None if word == "?" => ArgvWord { literal: "", open: true, tainted: None },
                None => ArgvWord { literal: word, open: false, tainted: None },
            })
            .collect();
        check_argv(&words).map(|(_, _, reason)| reason)
    }

    #[test]
    fn programs_that_run_text_get_no_payload() {
        for command in [
            "@",
            "@ x",
            "sh -c @",
            "sh -c echo @",
            "sh -c 'echo' _ @",
            "bash -lc @",
            "bash -euxo pipefail -c @",
            "/bin/bash -c @",
            "/usr/bin/env bash -c @",
            "env -S @",
            "env --split-string=@",
            "env FOO=1 sh -c @",
            "sudo sh -c @",
            "sudo -u www sh -c @",
            "busybox sh -c @",
            "timeout 5 bash -c @",
            "python -c @",
            "python3 -c @",
            "python3.12 -c @",
            "python -uc @",
            "node -e @",
            "node --eval=@",
            "node -p @",
            "perl -e @",
            "perl -ne @",
            "ruby -e @",
            "php -r @",
            "xargs @",
            "xargs -I{} echo @",
            "ssh host @",
            "ssh @",
            "su -c @",
            "eval @",
            "find . -name @ -exec rm {} ;",
            "find . -exec sh -c @",
            "bash @",
            "python @",
            "awk @",
            "sed @ file",
            "psql -c @",
            "mysql -e @",
            "sqlite3 db @",
            "docker exec app sh -c @",
            "kubectl exec pod -- sh -c @",
            "nice -n 5 perl -e @",
            "-@",
            "git checkout --@",
            "git -c @",
            "? @",
            "sh ? @",
            "env python ? @",
            "tar --checkpoint-action=@",
        ] {
            assert!(check(command).is_some(), "{command}");
        }
    }

    #[test]
    fn other_commands_get_it() {
        for command in [
            "./deploy.sh --tag @",
            "./deploy.sh --tag=@",
            "bash deploy.sh @",
            "python deploy.py @",
            "node app.js -p @",
            "python deploy.py -c @",
            "./run.sh --lang python @",
            "git checkout @",
            "git log --author=@",
            "gh issue comment @ --body @",
            "find . -name @",
            "echo sh -c",
            "curl -d @ https://example.com",
            "env TAG=@ ./deploy.sh",
            "make deploy TAG=@",
            "./deploy.sh ? @",
            "bash deploy.sh ? @",
            "sh -c echo",
            "docker pull registry/app:@",
            "jq --arg x @ .",
        ] {
            assert_eq!(check(command), None, "{command}");
        }
    }
}
