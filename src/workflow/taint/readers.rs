//! Programs that read some of their words as code: which options and operands of theirs are.
//!
//! A table of the field's shells, languages and tools, and the way to read their words by it. What is not in the table is
//! taken for a program that reads its words as data.

use super::argv::ArgvWord;

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
pub(super) struct Reader {
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

/// The reader of this name.
pub(super) fn find(name: &str) -> Option<&'static Reader> {
    READERS.iter().find(|reader| reader.name == name)
}

/// Why `name`, followed by `rest`, must have no payload value in `rest`.
pub(super) fn refused(name: &str, rest: &[ArgvWord<'_>], starts: bool) -> Option<String> {
    if starts && ALWAYS.contains(&name) {
        return Some(format!("'{name}' runs what its words say"));
    }
    if let Some((_, options)) = SPLITTERS.iter().find(|(known, _)| starts && *known == name)
        && let Some(option) = rest.iter().find_map(|word| takes_code(word.literal, options, ""))
    {
        return Some(format!("'{name} {option}' runs the text that follows"));
    }
    let reader = find(name)?;
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
