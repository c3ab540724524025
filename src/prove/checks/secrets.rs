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
        faults.extend(found(&String::from_utf8_lossy(&content), &secrets).map(|what| format!("{shown}: {what}")));
    }
    let said = context.secrets.all_said();
    for (to, text) in &said {
        faults.extend(found(text, &secrets).map(|what| format!("what was said to {to}: {what}")));
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

/// What of `secrets` stands in `text`, without saying it.
fn found(text: &str, secrets: &BTreeSet<String>) -> impl Iterator<Item = String> {
    let is_mac = |word: &str| word.len() == MAC_CHARS && word.bytes().all(|b| b.is_ascii_hexdigit());
    let mut all = Vec::new();
    for secret in secrets.iter().filter(|secret| !is_mac(secret) && text.contains(secret.as_str())) {
        all.push(format!("a secret that begins with {}…", secret.chars().take(4).collect::<String>()));
    }
    for word in text.split(|c: char| !c.is_ascii_hexdigit()).filter(|word| is_mac(word)) {
        if secrets.contains(word) {
            all.push("a signature".to_owned());
        }
    }
    all.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_signatures_are_found_and_not_repeated() {
        let mac = "ab".repeat(32);
        let secrets = BTreeSet::from(["a-long-secret".to_owned(), mac.clone()]);
        let look = |text: &str| found(text, &secrets).collect::<Vec<_>>();
        assert_eq!(look("nothing"), Vec::<String>::new());
        assert_eq!(look(&format!("x={mac};")), ["a signature"]);
        assert_eq!(look(&format!("x={mac}00;")), Vec::<String>::new(), "a longer word is another one");
        assert_eq!(look("it is a-long-secret!"), ["a secret that begins with a-lo…"]);
    }
}
