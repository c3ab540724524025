//! At the end everything that agents wrote and said is searched for every secret that was used, the right signatures among them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Verdict;
use crate::prove::{Context, Sabotage};

/// Files that are there to hold a secret.
const HOLD_SECRETS: [&str; 2] = ["config.yaml", "admin_token"];
/// Characters of a MAC in hex, which are looked up instead of searched for: there are thousands.
const MAC_CHARS: usize = 64;

pub(super) async fn check(context: &Context) -> Result<Verdict, String> {
    let secrets = context.secrets.all();
    if secrets.is_empty() {
        return Ok(Verdict::not_tried("no other check of this run used a secret"));
    }
    if context.wrong(Sabotage::Leak) {
        let secret = crate::prove::stand::SECRET;
        std::fs::write(context.folder.join("said.log"), format!("the key is {secret}")).map_err(|e| e.to_string())?;
    }
    let mut files = Vec::new();
    collect(&context.folder, &mut files).map_err(|error| error.to_string())?;
    let (mut faults, mut bytes) = (Vec::new(), 0_usize);
    for file in &files {
        // A file may go while others are read; what is gone says nothing.
        let Ok(content) = std::fs::read(file) else { continue };
        bytes += content.len();
        let shown = file.strip_prefix(&context.folder).unwrap_or(file).display().to_string();
        faults.extend(found(&content, &secrets).into_iter().map(|what| format!("{shown}: {what}")));
    }
    let said = context.secrets.all_said();
    for (to, text) in &said {
        faults
            .extend(found(text.as_bytes(), &secrets).into_iter().map(|what| format!("what was said to {to}: {what}")));
    }
    let seen = format!(
        "{} secrets and signatures looked for in {} files ({} MiB) and {} answers and messages",
        secrets.len(),
        files.len(),
        bytes >> 20,
        said.len()
    );
    Ok(Verdict::of(seen, faults))
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            collect(&path, into)?;
        } else if !path.file_name().is_some_and(|name| HOLD_SECRETS.iter().any(|known| name == *known)) {
            into.push(path);
        }
    }
    Ok(())
}

/// What of `secrets` stands in `content`, without saying it.
fn found(content: &[u8], secrets: &BTreeSet<String>) -> Vec<String> {
    let text = String::from_utf8_lossy(content);
    let mut all = Vec::new();
    for secret in secrets.iter().filter(|secret| !is_mac(secret.as_bytes()) && text.contains(secret.as_str())) {
        all.push(format!("a secret that begins with {}…", secret.chars().take(4).collect::<String>()));
    }
    all.extend(macs(content).filter(|mac| secrets.contains(*mac)).map(|_| "a signature".to_owned()));
    all
}

fn is_mac(word: &[u8]) -> bool {
    word.len() == MAC_CHARS && word.iter().all(u8::is_ascii_hexdigit)
}

/// Every word of as many hexadecimal digits as a MAC has. Such a word covers a place that is a multiple of its length, so only
/// those places are looked at.
fn macs(content: &[u8]) -> impl Iterator<Item = &str> {
    let is_hex = |at: &usize| content[*at].is_ascii_hexdigit();
    let places = (0..content.len()).step_by(MAC_CHARS).filter(is_hex);
    places.filter_map(|at| {
        let first =
            (at.saturating_sub(MAC_CHARS)..=at).rev().take_while(|at| content[*at].is_ascii_hexdigit()).last()?;
        let behind = content[at..].iter().take(MAC_CHARS + 1).take_while(|byte| byte.is_ascii_hexdigit()).count();
        let word = &content[first..at + behind];
        std::str::from_utf8(word).ok().filter(|word| is_mac(word.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_signatures_are_found_and_not_repeated() {
        let mac = "ab".repeat(32);
        let secrets = BTreeSet::from(["a-long-secret".to_owned(), mac.clone()]);
        let look = |text: &str| found(text.as_bytes(), &secrets);
        assert_eq!(look("nothing"), Vec::<String>::new());
        assert_eq!(look(&format!("x={mac};")), ["a signature"]);
        assert_eq!(look(&format!("x={mac}00;")), Vec::<String>::new(), "a longer word is another one");
        for before in 0..130 {
            let text = format!("{}{mac}-", "-".repeat(before));
            assert_eq!(look(&text), ["a signature"], "{before} before it");
        }
        assert_eq!(look("it is a-long-secret!"), ["a secret that begins with a-lo…"]);
    }
}
