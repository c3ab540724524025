//! Programs that start the program that their words name (`env`, `sudo`, `timeout`, `docker run`): where that program
//! stands, and which words before it a payload may fill.
//!
//! What is not known of a program's options is taken so that more is refused: a payload value counts as harmless only behind
//! a word that is certainly the program's name.

use super::argv::ArgvWord;
use super::names::check_name;

/// A program that starts another one.
pub(super) struct Starter {
    pub(super) name: &'static str,
    /// A word that must be there for it to start anything (`docker run`); none where it always does.
    subcommands: &'static [&'static str],
    /// Letters of short options that take a value.
    valued: &'static str,
    /// Long options that take none. Of all others the next word is taken for their value.
    flags: &'static [&'static str],
    /// Words between the options and the program: a duration, an image.
    operands: usize,
    /// Whether `NAME=value` may stand before the program.
    assigns: bool,
}

const fn starter(name: &'static str, valued: &'static str, operands: usize) -> Starter {
    Starter { name, subcommands: &[], valued, flags: &[], operands, assigns: false }
}

const fn container(name: &'static str, subcommands: &'static [&'static str], operands: usize) -> Starter {
    Starter {
        name,
        subcommands,
        valued: "acehlmnpuvw",
        flags: &[
            "--rm",
            "--init",
            "--tty",
            "--interactive",
            "--detach",
            "--no-deps",
            "--read-only",
            "--stdin",
            "--quiet",
        ],
        operands,
        assigns: false,
    }
}

const fn assigning(name: &'static str, valued: &'static str, flags: &'static [&'static str]) -> Starter {
    Starter { name, subcommands: &[], valued, flags, operands: 0, assigns: true }
}

const STARTERS: &[Starter] = &[
    assigning("env", "uCSa", &["--ignore-environment", "--null", "--debug", "--block-signal", "--default-signal"]),
    assigning("sudo", "ugpCDRTrtUhac", &["--non-interactive", "--preserve-env", "--set-home", "--login", "--stdin"]),
    assigning("doas", "uCa", &[]),
    starter("nice", "n", 0),
    starter("ionice", "cnpPu", 0),
    starter("nohup", "", 0),
    Starter { flags: &["--wait", "--fork", "--ctty"], ..starter("setsid", "", 0) },
    Starter { flags: &["--foreground", "--preserve-status", "--verbose"], ..starter("timeout", "sk", 1) },
    starter("stdbuf", "ioe", 0),
    Starter { flags: &["--portability", "--verbose", "--append", "--quiet"], ..starter("time", "fo", 0) },
    starter("command", "", 0),
    starter("exec", "a", 0),
    starter("chroot", "", 1),
    starter("unshare", "RwSGl", 0),
    starter("nsenter", "tSGrwWN", 0),
    starter("runuser", "ugGcsTw", 0),
    starter("setpriv", "", 0),
    starter("busybox", "", 0),
    starter("toybox", "", 0),
    Starter { flags: &["--exclusive", "--shared", "--nonblock", "--close", "--verbose"], ..starter("flock", "wEc", 1) },
    starter("taskset", "", 1),
    starter("chrt", "TPD", 1),
    Starter {
        flags: &["--wait", "--pipe", "--user", "--scope", "--collect", "--quiet"],
        ..starter("systemd-run", "puEtMH", 0)
    },
    starter("strace", "eoPpsuEaIOSXbU", 0),
    starter("ltrace", "eopsuanxlADF", 0),
    starter("catchsegv", "", 0),
    starter("firejail", "", 0),
    starter("bwrap", "", 0),
    starter("proot", "rbqwkRS", 0),
    starter("fakeroot", "lisb", 0),
    starter("dumb-init", "r", 0),
    starter("tini", "pe", 0),
    starter("xvfb-run", "neefpsw", 0),
    starter("npx", "pcw", 0),
    starter("pnpx", "pc", 0),
    starter("bunx", "p", 0),
    starter("uvx", "pw", 0),
    starter("pipx", "", 1),
    Starter { subcommands: &["run", "tool"], ..starter("uv", "pw", 0) },
    Starter { subcommands: &["run"], ..starter("poetry", "CP", 0) },
    Starter { subcommands: &["run"], ..starter("pipenv", "", 0) },
    Starter { subcommands: &["exec"], ..starter("bundle", "", 0) },
    Starter { subcommands: &["exec", "x", "dlx", "run", "run-script"], ..starter("npm", "wc", 0) },
    Starter { subcommands: &["exec", "dlx", "run"], ..starter("pnpm", "Cc", 0) },
    Starter { subcommands: &["exec", "dlx", "run"], ..starter("yarn", "p", 0) },
    Starter { subcommands: &["run"], ..starter("go", "C", 0) },
    container("docker", &["run", "exec", "create"], 1),
    container("podman", &["run", "exec", "create"], 1),
    container("nerdctl", &["run", "exec", "create"], 1),
    container("kubectl", &["exec", "run", "debug"], 1),
    container("oc", &["exec", "run", "debug", "rsh"], 1),
    container("crictl", &["exec"], 1),
    container("docker-compose", &["run", "exec"], 1),
    container("podman-compose", &["run", "exec"], 1),
    container("lxc", &["exec"], 1),
    container("incus", &["exec"], 1),
    starter("lxc-attach", "npRsegu", 0),
    Starter { subcommands: &["shell"], ..starter("machinectl", "uEMHps", 1) },
    Starter { subcommands: &["exec"], ..starter("ip", "nb", 1) },
    Starter {
        subcommands: &["run", "serve", "test", "bench", "install", "task", "x"],
        flags: DENO,
        ..starter("deno", "cL", 0)
    },
    Starter { subcommands: &["run", "x", "exec"], ..starter("bun", "", 0) },
    Starter { subcommands: &["run"], ..starter("doppler", "pc", 0) },
    Starter { subcommands: &["run"], ..starter("op", "", 0) },
    Starter { subcommands: &["exec"], ..starter("aws-vault", "dn", 1) },
    Starter { subcommands: &["exec"], ..starter("chamber", "", 1) },
    Starter { subcommands: &["exec"], ..starter("direnv", "", 1) },
    Starter { subcommands: &["exec"], ..starter("mise", "", 0) },
    Starter { subcommands: &["exec"], ..starter("asdf", "", 0) },
    Starter { subcommands: &["exec"], ..starter("rbenv", "", 0) },
    Starter { subcommands: &["exec"], ..starter("pyenv", "", 0) },
    Starter { subcommands: &["record", "stat", "trace"], ..starter("perf", "eopFCtgrI", 0) },
    starter("ld.so", "", 0),
    starter("gosu", "", 1),
    starter("su-exec", "", 1),
    starter("setuidgid", "", 1),
    starter("s6-setuidgid", "", 1),
    starter("chpst", "uUbemdfsoptcrn", 0),
    starter("envdir", "", 1),
    starter("setarch", "", 1),
    starter("linux32", "", 0),
    starter("linux64", "", 0),
    starter("prlimit", "", 0),
    starter("numactl", "ipPNCmM", 0),
    starter("cgexec", "g", 0),
    starter("chronic", "", 0),
    starter("unbuffer", "", 0),
    starter("pkexec", "", 0),
    starter("run0", "ugD", 0),
    starter("caffeinate", "tw", 0),
    starter("rlwrap", "", 0),
    starter("valgrind", "", 0),
    starter("gdbserver", "", 1),
    starter("dotenv", "ef", 0),
    starter("with-contenv", "", 0),
    assigning("cross-env", "", &[]),
];
const DENO: &[&str] = &[
    "--allow-all",
    "--allow-net",
    "--allow-read",
    "--allow-write",
    "--allow-env",
    "--allow-run",
    "--allow-sys",
    "--no-check",
    "--no-prompt",
    "--quiet",
];

/// The starter `name`.
pub(super) fn find(name: &str) -> Option<&'static Starter> {
    STARTERS.iter().find(|starter| starter.name == name)
}

/// What its words come to.
pub(super) enum Started {
    /// It starts nothing.
    Nothing,
    /// The program's place among the words.
    Program(usize),
    /// A payload value stands at this place, where it may decide what runs.
    Refused(usize, String),
}

impl Starter {
    /// Looks at `words`, the first of which is the starter itself.
    pub(super) fn look(&self, words: &[ArgvWord<'_>]) -> Started {
        let chooses = |at: usize| Started::Refused(at, format!("it may choose what '{}' runs", self.name));
        let (mut at, mut operands) = (1, self.operands);
        if !self.subcommands.is_empty() {
            match words.iter().position(|word| !word.open && self.subcommands.contains(&word.literal)) {
                Some(place) => match words[..place].iter().position(|word| word.tainted.is_some()) {
                    Some(tainted) => return chooses(tainted),
                    None => at = place + 1,
                },
                None => return Started::Nothing,
            }
        }
        while let Some(word) = words.get(at) {
            let text = word.literal;
            if text == "--" && !word.open {
                // What stands behind it is the program, whatever came before.
                return match words.get(at + 1) {
                    Some(next) if next.tainted.is_some() => chooses(at + 1),
                    Some(_) => Started::Program(at + 1),
                    None => Started::Nothing,
                };
            }
            if let Some(reason) = word.tainted.and_then(|_| self.refuses(text, operands)) {
                return Started::Refused(at, reason);
            }
            if text.starts_with('-') {
                let value = words.get(at + 1).filter(|_| self.takes_next(word));
                if let Some(value) = value.filter(|value| value.tainted.is_some())
                    && let Some(reason) = self.refuses_value(text, value.literal)
                {
                    return Started::Refused(at + 1, reason);
                }
                at += if value.is_some() { 2 } else { 1 };
            } else if self.assigns && is_assignment(text) {
                at += 1;
            } else if operands > 0 {
                (at, operands) = (at + 1, operands - 1);
            } else if word.open {
                // Its beginning is written out, the rest is not: nobody knows what runs.
                return match words.iter().enumerate().skip(at).find(|(_, word)| word.tainted.is_some()) {
                    Some((place, _)) => chooses(place),
                    None => Started::Nothing,
                };
            } else {
                return Started::Program(at);
            }
        }
        Started::Nothing
    }

    /// Why a payload value behind `literal` is refused before the program's name.
    fn refuses(&self, literal: &str, operands: usize) -> Option<String> {
        let chooses = || Some(format!("it may choose what '{}' runs", self.name));
        let assigned =
            literal.strip_prefix("--env=").or_else(|| (self.assigns && !literal.starts_with('-')).then_some(literal));
        if let Some(assigned) = assigned {
            return match assigned.split_once('=') {
                Some((name, _)) => check_name("env", name).map(|reason| format!("{name} {reason}")),
                None => chooses(),
            };
        }
        let labelled = literal.starts_with("--label=") || literal.starts_with("--name=");
        // An image whose name is written out; the payload chooses a version of it.
        let image =
            !self.subcommands.is_empty() && operands > 0 && literal.contains([':', '@']) && !literal.starts_with('-');
        if labelled || image { None } else { chooses() }
    }

    /// Why a payload value behind `literal`, the value of `option`, is refused.
    fn refuses_value(&self, option: &str, literal: &str) -> Option<String> {
        match option {
            "-e" | "--env" => self.refuses(&format!("--env={literal}"), 0),
            "-l" | "--label" | "--name" => None,
            _ => Some(format!("it may choose what '{}' runs", self.name)),
        }
    }

    /// Whether the word behind the option `word` is its value.
    fn takes_next(&self, word: &ArgvWord<'_>) -> bool {
        let text = word.literal;
        if word.open {
            return false;
        }
        if text.starts_with("--") {
            return !text.contains('=') && !self.flags.contains(&text);
        }
        // In a bundle the first letter with a value ends it; nothing behind it means that the value is the next word.
        let letters = &text[1..];
        letters.find(|c: char| self.valued.contains(c)).is_some_and(|place| place + 1 == letters.len())
    }
}

fn is_assignment(text: &str) -> bool {
    text.split_once('=')
        .is_some_and(|(name, _)| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}
