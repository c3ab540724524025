//! Options that mean code nearly everywhere (`-c`, `-e`, `--eval`, `--command`), whatever the program: no table knows every
//! interpreter, so right behind one of them a payload value is refused unless this program is known to take data there.

use super::argv::ArgvWord;
use super::{readers, starters};

/// Words whose next word, or whose value behind `=`, is code.
const CODE: &[&str] = &[
    "-c",
    "-e",
    "-lc",
    "-ic",
    "-xc",
    "-ec",
    "-lic",
    "-ilc",
    "-euc",
    "-euxc",
    "-exc",
    "-ne",
    "-pe",
    "-le",
    "-eval",
    "-exec",
    "-execdir",
    "-ok",
    "-command",
    "-execute",
    "-encodedcommand",
    "-ex",
    "/c",
    "/k",
    "--eval",
    "--evaluate",
    "--eval-command",
    "--exec",
    "--execute",
    "--exec-command",
    "--command",
    "--commands",
    "--init-command",
    "--remote-command",
    "--shell-command",
    "--run",
    "--run-command",
    "--cmd",
    "--call",
    "--code",
    "--expr",
    "--expression",
    "--rsh",
    "--scripts",
    "--script-text",
    "--inline",
    "--pre-command",
    "--post-command",
    "--on-success",
    "--on-failure",
    "eval",
    "cmd.run",
    "cmd.exec_code",
    "cmd.script",
];
/// Programs for which an option of [`CODE`] is data, or has no value at all.
const DATA: &[(&str, &[&str])] = &[
    ("grep", &["-e", "-c", "-le", "-ne", "-ic"]),
    ("egrep", &["-e", "-c", "-le", "-ne", "-ic"]),
    ("fgrep", &["-e", "-c", "-le", "-ne", "-ic"]),
    ("zgrep", &["-e", "-c", "-le", "-ne", "-ic"]),
    ("ugrep", &["-e", "-c"]),
    ("rg", &["-e", "-c", "-le", "-ne"]),
    ("ag", &["-c"]),
    ("ack", &["-c"]),
    ("curl", &["-e"]),
    ("echo", &["-e", "-ne"]),
    ("cat", &["-e"]),
    ("head", &["-c"]),
    ("tail", &["-c"]),
    ("cut", &["-c"]),
    ("tr", &["-c"]),
    ("wc", &["-c"]),
    ("uniq", &["-c"]),
    ("sort", &["-c"]),
    ("stat", &["-c"]),
    ("ping", &["-c"]),
    ("arping", &["-c"]),
    ("gzip", &["-c"]),
    ("bzip", &["-c"]),
    ("xz", &["-c"]),
    ("zstd", &["-c"]),
    ("sha256sum", &["-c"]),
    ("sha512sum", &["-c"]),
    ("sha1sum", &["-c"]),
    ("md5sum", &["-c"]),
    ("mail", &["-c"]),
    ("mailx", &["-c"]),
    ("mutt", &["-c"]),
    ("notify-send", &["-c"]),
    ("useradd", &["-c", "-e"]),
    ("usermod", &["-c", "-e"]),
    ("logger", &["-e"]),
    ("docker", &["-e", "-c"]),
    ("podman", &["-e", "-c"]),
    ("nerdctl", &["-e"]),
    ("docker-compose", &["-e"]),
    ("podman-compose", &["-e"]),
    ("kubectl", &["-c"]),
    ("oc", &["-c", "-e"]),
];

/// The place of a payload value right behind such an option, and the reason.
pub(super) fn refused(words: &[ArgvWord<'_>], name_of: impl Fn(&str) -> String) -> Option<(usize, String)> {
    let mut begin = 0;
    let mut name = name_of(words.first()?.literal);
    // The program that all others only start is the one whose options these are.
    while let Some(starters::Started::Program(at)) = starters::find(&name).map(|starter| starter.look(&words[begin..]))
    {
        if let Some(found) = within(&name, &words[begin..begin + at]) {
            return Some((begin + found.0, found.1));
        }
        begin += at;
        name = name_of(words[begin].literal);
    }
    let end = readers::script_of(&name, &words[begin + 1..]).map_or(words.len(), |at| begin + 1 + at);
    within(&name, &words[begin..end]).map(|(at, reason)| (begin + at, reason))
}

fn within(name: &str, words: &[ArgvWord<'_>]) -> Option<(usize, String)> {
    let data = DATA.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, options)| *options);
    words.iter().enumerate().skip(1).filter(|(_, word)| word.tainted.is_some()).find_map(|(at, word)| {
        let before = words[at - 1];
        let behind = option(before.literal).filter(|_| at > 1 && !before.open);
        let found = behind.or_else(|| glued(word.literal))?;
        (!data.contains(&found)).then(|| (at, format!("behind '{found}' a program expects code")))
    })
}

/// The option of [`CODE`] that `word` is: letters as they are, long ones in any case.
fn option(word: &str) -> Option<&'static str> {
    CODE.iter().copied().find(|option| word == *option || (option.len() > 3 && word.eq_ignore_ascii_case(option)))
}

/// The option behind which a value begins within the same word: `--eval=…`, `-c…`, `-e "print …`.
fn glued(literal: &str) -> Option<&'static str> {
    if let Some(found) = literal.split_once('=').and_then(|(before, _)| option(before)) {
        return Some(found);
    }
    ["-c", "-e"].into_iter().find(|short| {
        let rest = literal.strip_prefix(short);
        // `-env=` and `-config=` are options of their own; code has signs and blanks.
        rest.is_some_and(|rest| {
            rest.is_empty() || rest.chars().any(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.' | '='))
        })
    })
}
