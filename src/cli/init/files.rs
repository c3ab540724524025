//! The two files that `agent init` writes: `config.yaml` and, for its owner alone, `.env`.
//!
//! A file appears whole or not at all. Secrets that are in `.env` already stay: senders know them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Largest `.env` that is added to, in bytes.
const DOTENV_BYTES_MAX: u64 = 1024 * 1024;

/// `.env` as it is, and what is to be added.
#[derive(Debug)]
pub(super) struct DotEnv {
    path: PathBuf,
    text: String,
    changed: bool,
}

impl DotEnv {
    /// Reads the file; none there is an empty one.
    pub(super) fn read(path: PathBuf) -> anyhow::Result<Self> {
        let text = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Ok(metadata) if metadata.len() > DOTENV_BYTES_MAX => bail!("{} is too large", path.display()),
            _ => fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?,
        };
        Ok(Self { path, text, changed: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the variable is there and holds something.
    pub(super) fn has(&self, name: &str) -> bool {
        self.text.lines().any(|line| assigned(line, name).is_some_and(|value| !value.is_empty()))
    }

    /// Whether a variable is there at all, empty or not.
    pub(super) fn mentions(&self, name: &str) -> bool {
        self.text.lines().any(|line| assigned(line, name).is_some())
    }

    /// Sets a variable that is missing or empty; gives `false` and changes nothing when it holds something.
    pub(super) fn add(&mut self, name: &str, value: &str) -> bool {
        if self.has(name) {
            return false;
        }
        self.set(name, value);
        true
    }

    /// Sets a variable, whatever it held.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        let mut lines: Vec<&str> = self.text.lines().filter(|line| assigned(line, name).is_none()).collect();
        let added = format!("{name}={value}");
        lines.push(&added);
        self.text = lines.join("\n") + "\n";
        self.changed = true;
    }

    /// Writes the file (0600) when something was added.
    pub(super) fn write(&self) -> anyhow::Result<()> {
        if self.changed { write_whole(&self.path, &self.text, 0o600) } else { Ok(()) }
    }
}

/// The value that a line of `.env` gives to `name`.
fn assigned<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (found, value) = line.split_once('=')?;
    (found.trim() == name).then(|| value.trim().trim_matches(['\'', '"']))
}

/// Writes a file beside its place and moves it there.
pub(super) fn write_whole(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let name = path.file_name().context("a file has a name")?.to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.new"));
    let written = (|| {
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().create_new(true).write(true).mode(mode).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    })();
    written.with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_there_stays_what_is_empty_is_filled_and_nobody_else_can_read_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(".env");
        fs::write(&path, "# mine\nexport A='1'\nB=\nOTHER_A=2").expect("written");
        let mut env = DotEnv::read(path.clone()).expect("read");
        assert!(!env.add("A", "new") && env.add("B", "two") && env.add("C", "three"));
        env.write().expect("written");
        let text = fs::read_to_string(&path).expect("read");
        assert_eq!(text, "# mine\nexport A='1'\nOTHER_A=2\nB=two\nC=three\n");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    }
}
