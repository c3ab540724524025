//! Commands: which words a payload may fill. Programs that read one of their words as code are known by name, also behind
//! the programs that only start others.

use super::asks;
use super::starters::{self, Started};

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
/// Programs for which every word may be code, or becomes a shell's on another machine; `make` expands `$(shell …)` in the
/// value of a variable.
const ALWAYS: &[&str] = &[
    "eval",
    "source",
    "xargs",
    "ssh",
    "su",
    "watch",
    "parallel",
    "sshpass",
    "rsh",
    "at",
    "batch",
    "expect",
    "script",
    "socat",
    "ncat",
    "nc",
    "trap",
    "m4",
    "ed",
    "ex",
    "screen",
    "tmux",
    "start-stop-daemon",
    "make",
    "gmake",
];
/// A program that reads some of its words as code.
struct Reader {
    name: &'static str,
    /// Options that take code, or a file of it.
    options: &'static [&'static str],
    /// Whether its first operand is code or a file of it.
    operand: bool,
    /// Letters of short options that take a value.
    valued: &'static str,
    /// Whether what follows the first operand may still be an option (`sed s/a/b/ -e …`).
    permutes: bool,
}

const fn shell(name: &'static str) -> Reader {
    Reader { name, options: &["-c", "--rcfile", "--init-file"], operand: true, valued: "oO", permutes: false }
}

const fn language(name: &'static str, options: &'static [&'static str], valued: &'static str) -> Reader {
    Reader { name, options, operand: true, valued, permutes: false }
}

const fn command(name: &'static str, options: &'static [&'static str]) -> Reader {
    Reader { name, options, operand: false, valued: "", permutes: true }
}

const NODE: &[&str] =
    &["-e", "--eval", "-p", "--print", "-r", "--require", "--import", "--loader", "--experimental-loader"];
const AWK: &[&str] = &["-e", "--source", "-f", "--file", "-i", "--include", "-l", "--load", "-E", "--exec"];
const POWERSHELL: &[&str] = &["-c", "-command", "-e", "-encodedcommand", "-f", "-file"];

/// Modules of Python that run what follows them.
const MODULES_THAT_RUN: [&str; 7] = ["timeit", "pdb", "trace", "cProfile", "profile", "runpy", "pip"];

/// Programs that read one of their words as code.
const READERS: &[Reader] = &[
    shell("sh"),
    shell("bash"),
    shell("dash"),
    shell("ash"),
    shell("zsh"),
    shell("ksh"),
    shell("mksh"),
    shell("rbash"),
    language("fish", &["-c", "--command", "-C", "--init-command"], "dDf"),
    language("csh", &["-c"], ""),
    language("tcsh", &["-c"], ""),
    language("pwsh", POWERSHELL, ""),
    language("powershell", POWERSHELL, ""),
    language("cmd", &["/c", "/k"], ""),
    language("python", &["-c"], "WXQm"),
    language("pypy", &["-c"], "WXQm"),
    language("node", NODE, "C"),
    language("nodejs", NODE, "C"),
    language("deno", &["eval"], ""),
    language("bun", &["-e", "--eval", "-p", "--print", "-r", "--preload"], ""),
    language("perl", &["-e", "-E", "-M", "-m"], "I"),
    language("ruby", &["-e", "-r"], "IEK"),
    language("php", &["-r", "-B", "-R", "-E", "-d", "-F", "-z"], "ctS"),
    language("lua", &["-e", "-l"], ""),
    language("luajit", &["-e", "-l", "-j"], ""),
    language("tclsh", &[], ""),
    language("osascript", &["-e"], "ls"),
    language("rscript", &["-e"], ""),
    language("awk", AWK, "Fv"),
    language("gawk", AWK, "Fv"),
    language("mawk", &["-f"], "Fv"),
    language("nawk", &["-f"], "Fv"),
    Reader { permutes: true, ..language("sed", &["-e", "--expression", "-f", "--file"], "l") },
    Reader { permutes: true, ..language("jq", &["-f", "--from-file", "-L"], "") },
    command("find", &["-exec", "-execdir", "-ok", "-okdir", "-files0-from"]),
    command("psql", &["-c", "--command", "-f", "--file"]),
    command("mysql", &["-e", "--execute", "--init-command"]),
    command("mariadb", &["-e", "--execute", "--init-command"]),
    command("sqlite3", &["-cmd", "-init"]),
    command("mongosh", &["--eval"]),
    command("gdb", &["-ex", "--eval-command", "-x", "--command"]),
    command("vim", &["-c", "--cmd", "-S", "-s"]),
    command("vi", &["-c"]),
    command("emacs", &["--eval", "-l", "--load"]),
    command(
        "tar",
        &[
            "--to-command",
            "--checkpoint-action",
            "-I",
            "--use-compress-program",
            "--rsh-command",
            "-F",
            "--info-script",
        ],
    ),
    command("zip", &["-TT", "--unzip-command"]),
    command(
        "git",
        &[
            "-c",
            "--config-env",
            "--upload-pack",
            "--receive-pack",
            "--exec",
            "--extcmd",
            "foreach",
            "bisect",
            "config",
            "filter-branch",
            "difftool",
            "mergetool",
        ],
    ),
    command("rsync", &["-e", "--rsh", "--rsync-path"]),
    command("scp", &["-S", "-o", "-F"]),
    command("sftp", &["-S", "-o", "-F", "-b"]),
    command("openssl", &["-engine", "-provider", "-config"]),
    command("sort", &["--compress-program"]),
    command("split", &["--filter"]),
    command("ansible", &["-a", "--args", "-e", "--extra-vars"]),
    command("ansible-playbook", &["-e", "--extra-vars"]),
    command("helm", &["--post-renderer"]),
    command("npm", &["-c", "--call"]),
    command("npx", &["-c", "--call"]),
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
    if let Some((at, reason)) = chosen(words) {
        return words[at].tainted.map(|path| (at, path.to_owned(), reason));
    }
    let last = tainted().next_back()?.0;
    // Any word may be the program behind a starter; beside the first, only those before the last payload value matter.
    let behind_starter = starters::find(&program(words[0].literal)).is_some();
    for (at, word) in words.iter().enumerate().take(last) {
        let name = program(word.literal);
        let starts = at == 0 || behind_starter;
        if !starts && reader(&name).is_none() {
            continue;
        }
        if let Some(reason) = refused(&name, &words[at + 1..], starts) {
            let (place, path) = tainted().find(|(place, _)| *place > at)?;
            return Some((place, path.to_owned(), reason));
        }
    }
    None
}

/// Where a payload value would choose what is started, installed or asked.
fn chosen(words: &[ArgvWord<'_>]) -> Option<(usize, String)> {
    let mut begin = 0;
    while let Some(first) = words.get(begin) {
        let (name, rest) = (program(first.literal), &words[begin..]);
        if let Some((at, reason)) = asks::refused(&name, rest) {
            return Some((begin + at, reason));
        }
        match starters::find(&name).map(|starter| starter.look(rest)) {
            Some(Started::Program(at)) => begin += at,
            Some(Started::Refused(at, reason)) => return Some((begin + at, reason)),
            Some(Started::Nothing) | None => return None,
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
    let known = reader(name).is_some() || starters::find(name).is_some();
    if known || bare.is_empty() { name.to_owned() } else { bare.to_owned() }
}

fn reader(name: &str) -> Option<&'static Reader> {
    READERS.iter().find(|reader| reader.name == name)
}

/// Why `name`, followed by `rest`, must have no payload value in `rest`.
fn refused(name: &str, rest: &[ArgvWord<'_>], starts: bool) -> Option<String> {
    if starts && ALWAYS.contains(&name) {
        return Some(format!("'{name}' runs what its words say"));
    }
    if let Some((_, options)) = SPLITTERS.iter().find(|(known, _)| starts && *known == name)
        && let Some(option) = rest.iter().find_map(|word| takes_code(word.literal, options, ""))
    {
        return Some(format!("'{name} {option}' runs the text that follows"));
    }
    let reader = reader(name)?;
    let operand = if starts { reader.operand_of(rest) } else { rest.iter().position(is_file).map(Operand::Settled) };
    // What follows a script's file is the script's own.
    let own = match &operand {
        Some(Operand::Settled(at)) if !reader.permutes => &rest[..*at],
        _ => rest,
    };
    if let Some(option) = own.iter().find_map(|word| takes_code(word.literal, reader.options, reader.valued)) {
        return Some(format!("'{name} {option}' runs text"));
    }
    // A word that another template fills may be such an option.
    let unclear = |word: &ArgvWord<'_>| {
        word.open && word.tainted.is_none() && (word.literal.is_empty() || word.literal.starts_with('-'))
    };
    if starts && own.iter().any(unclear) {
        return Some(format!("'{name}' may run it as text"));
    }
    match operand {
        Some(Operand::Payload) => Some(format!("it would choose what '{name}' runs")),
        _ => sql(name, rest),
    }
}

fn is_file(word: &ArgvWord<'_>) -> bool {
    word.tainted.is_none() && !word.literal.starts_with('-') && word.literal.contains(['.', '/'])
}

/// What a reader of code takes for its code, or the file of it.
enum Operand {
    /// This word.
    Settled(usize),
    /// A payload value, or perhaps one.
    Payload,
}

impl Reader {
    /// The first operand among `rest`. Of an option that is not known, the next word is taken for its value.
    fn operand_of(&self, rest: &[ArgvWord<'_>]) -> Option<Operand> {
        if !self.operand {
            return None;
        }
        let mut at = 0;
        while let Some(word) = rest.get(at) {
            let text = word.literal;
            let ends_options = text == "--" && !word.open;
            if !text.starts_with('-') || text == "-" || ends_options {
                let at = if ends_options { at + 1 } else { at };
                return match rest.get(at)? {
                    word if word.tainted.is_some() => Some(Operand::Payload),
                    word if word.open && rest[at..].iter().any(|word| word.tainted.is_some()) => Some(Operand::Payload),
                    _ => Some(Operand::Settled(at)),
                };
            }
            if self.name == "jq" && ["--arg", "--argjson"].contains(&text) {
                at += 3;
                continue;
            }
            let value = match self.value_of(text) {
                Takes::Next if text.ends_with('m') => {
                    // `python -m module`: the module is the program, unless it runs what follows it.
                    match rest.get(at + 1) {
                        Some(module) if module.tainted.is_some() || module.open => return Some(Operand::Payload),
                        Some(module) if MODULES_THAT_RUN.contains(&module.literal) => Some(module),
                        Some(_) => return Some(Operand::Settled(at + 1)),
                        None => None,
                    }
                }
                Takes::Nothing => None,
                Takes::Next | Takes::Perhaps => rest.get(at + 1),
            };
            // A field separator or variable of awk is data; nothing else is known to be.
            let data = AWK == self.options && (text.ends_with('v') || text.ends_with('F'));
            if value.is_some_and(|value| value.tainted.is_some()) && !data {
                return Some(Operand::Payload);
            }
            if let (Takes::Perhaps, Some(value), false) =
                (self.value_of(text), value, self.permutes || AWK == self.options)
                && is_file(value)
            {
                return Some(Operand::Settled(at + 1));
            }
            at += if value.is_some() { 2 } else { 1 };
        }
        None
    }

    fn value_of(&self, option: &str) -> Takes {
        const FLAGS: [&str; 12] = [
            "--norc",
            "--noprofile",
            "--login",
            "--posix",
            "--quiet",
            "--silent",
            "--in-place",
            "--regexp-extended",
            "--null-data",
            "--raw-output",
            "--compact-output",
            "--verbose",
        ];
        if option.starts_with("--") {
            let alone = option.contains('=') || FLAGS.contains(&option);
            return if alone { Takes::Nothing } else { Takes::Perhaps };
        }
        let letters = &option[1..];
        let place = letters.find(|c: char| self.valued.contains(c));
        if place.is_some_and(|place| place + 1 == letters.len()) { Takes::Next } else { Takes::Nothing }
    }
}

/// Whether the word behind an option is its value.
#[derive(Clone, Copy)]
enum Takes {
    Nothing,
    Next,
    Perhaps,
}

/// `sqlite3 file "select …"`: the second word without a dash is code.
fn sql(name: &str, rest: &[ArgvWord<'_>]) -> Option<String> {
    let second = rest.iter().filter(|word| !word.literal.starts_with('-')).nth(1);
    (name == "sqlite3" && second.is_some_and(|word| word.tainted.is_some())).then(|| "'sqlite3' runs text".to_owned())
}

/// The option of `options` that `word` is (letters in `valued` take a value), also within a bundle (`-lc`, `-euxc`) or with a value (`--eval=…`).
fn takes_code(word: &str, options: &[&'static str], valued: &str) -> Option<String> {
    let found = options.iter().find(|option| {
        if option.starts_with("--") {
            return word == **option || word.strip_prefix(**option).is_some_and(|rest| rest.starts_with('='));
        }
        if option.len() == 2 && option.starts_with('-') {
            let letter = &option[1..];
            let bundle = word.strip_prefix('-').filter(|rest| !rest.starts_with('-'));
            // After the letters of a bundle, code may follow at once: `-ecode`, `-lc`.
            return bundle.is_some_and(|rest| {
                // What follows the letter of an option with a value is that value: `-Fexec`.
                let is_letter = |c: &char| c.is_ascii_alphanumeric() && !valued.contains(*c);
                let letters: String = rest.chars().take_while(is_letter).collect();
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

    /// Words divided by spaces; `@` is a payload value, `x=@` one behind a literal, `?` and `x?` templates without one.
    fn check(command: &str) -> Option<String> {
        let words: Vec<ArgvWord<'_>> = command
            .split(' ')
            .map(|word| match word.strip_suffix('@') {
                Some(literal) => ArgvWord { literal, open: true, tainted: Some("payload.x") },
                None if word.ends_with('?') => {
                    ArgvWord { literal: word.trim_end_matches('?'), open: true, tainted: None }
                }
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
            // Programs behind others.
            "env @",
            "env A=1 @ x",
            "env LD_PRELOAD=@ ./deploy.sh",
            "env BASH_ENV=@ bash deploy.sh",
            "env -u X @",
            "env PATH=@ deploy",
            "/usr/bin/env -i @",
            "sudo @",
            "sudo -u www @",
            "sudo -u @ ./deploy.sh",
            "nice @",
            "nice -n 5 @",
            "nohup @",
            "setsid -w @",
            "timeout 5 @",
            "timeout -s KILL 5 @",
            "timeout 5 env @",
            "timeout 5 nice env A=1 @",
            "busybox @",
            "npx @",
            "npm exec @",
            "npm run @",
            "npm install @",
            "npm install pkg@@",
            "pip install @",
            "docker run @",
            "docker run --rm alpine @",
            "docker exec -it app @",
            "docker run -v @ alpine ls",
            "docker run --privileged=@ alpine ls",
            "docker run -e @ alpine ls",
            "docker run -e LD_PRELOAD=@ alpine ls",
            "kubectl exec pod -- @",
            "kubectl run x --image=@",
            "env s? @",
            "sudo ? @",
            // Code behind options with values.
            "awk -F : @",
            "awk -F . @",
            "awk -F: @",
            "awk -v a=b @",
            "sed -n @",
            "sed s/a/b/ -e @",
            "sed s/VERSION/@ file",
            "sed -E -l 5 @",
            "bash -o pipefail @",
            "bash -O extglob @",
            "bash -- @",
            "bash --rcfile @ -i",
            "python -W ignore @",
            "python -m @",
            "python -m timeit @",
            "python -X dev @",
            "perl -I lib @",
            "node --unknown x @",
            "node -C dev @",
            "bash -? @",
            "php -f @",
            // Others that run text.
            "make TAG=@",
            "make deploy @",
            "git config core.pager @",
            "git submodule foreach @",
            "git bisect run @",
            "ansible-playbook site.yml -e version=@",
            "split --filter=@ f",
            "rsync -avze @ a b",
            // Where a request goes, and files that a word reads.
            "curl @",
            "curl -s @",
            "curl https://@",
            "curl https://api.example@",
            "curl -d @ https://example.com",
            "curl -o @ https://example.com",
            "curl -K @",
            "wget @",
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
            "curl --data-raw @ https://example.com",
            "curl -d x=@ https://example.com",
            "curl -s https://example.com/@",
            "curl -sS -X POST https://example.com/items/@ -d a=b",
            "env TAG=@ ./deploy.sh",
            "env -i TAG=@ ./deploy.sh @",
            "timeout 5 ./deploy.sh @",
            "nice -n 5 ./deploy.sh --tag @",
            "sudo -u www ./deploy.sh @",
            "nohup bash deploy.sh @",
            "npm run deploy -- --tag @",
            "docker run --rm -e TAG=@ alpine ./x.sh",
            "docker run --rm registry/app:@ ./x.sh",
            "docker exec app ./x.sh @",
            "docker run --rm --name=x@ alpine ls",
            "kubectl exec -n prod pod -- ./x.sh @",
            "awk -F : {print} @",
            "awk -v x=@ {print}",
            "sed -n s/a/b/ @",
            "bash -x deploy.sh @",
            "bash -o pipefail deploy.sh @",
            "python -W ignore deploy.py @",
            "python -m deploy @",
            "node --enable-source-maps app.js @",
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
