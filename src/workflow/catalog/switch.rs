//! Switching a workflow on and off where its author does: the key `enabled` in its file. Nothing else of the file changes,
//! comments and layout included.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use super::Catalog;
use crate::workflow::definition::{FILE_BYTES_MAX, Workflow};

impl Catalog {
    /// The file of the workflow `name` as it is on disk now; `None` when it is gone, too large or no text.
    pub fn file_text(&self, name: &str) -> Option<String> {
        text_of(&self.path_of(name)?)
    }

    /// Writes `enabled: …` into the file of the workflow `name` and reads the folder again.
    ///
    /// # Errors
    /// In words, when there is no such workflow, its file has faults, or it cannot be written.
    pub fn set_enabled(&self, name: &str, enabled: bool) -> Result<(), String> {
        let path = self.path_of(name).ok_or_else(|| format!("there is no workflow '{name}'"))?;
        let text = self.file_text(name).ok_or_else(|| format!("{} cannot be read", path.display()))?;
        let shown = path.display().to_string();
        if Workflow::parse(&shown, &text, self.known()).is_err() {
            return Err(format!("{shown} has faults: mend them first"));
        }
        let switched = with_enabled(&text, enabled);
        let is_right =
            Workflow::parse(&shown, &switched, self.known()).is_ok_and(|workflow| workflow.enabled == enabled);
        if !is_right {
            return Err(format!(
                "write 'enabled: {enabled}' into {shown} yourself: the key stands where it cannot be found"
            ));
        }
        replace(&path, &switched).map_err(|error| format!("{shown} cannot be written: {error}"))?;
        self.reload();
        Ok(())
    }

    fn path_of(&self, name: &str) -> Option<PathBuf> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let is_it = |state: &super::files::FileState| {
            !state.is_double() && state.good.as_ref().is_some_and(|workflow| workflow.name == name)
        };
        files.iter().find(|(_, state)| is_it(state)).map(|(path, _)| path.clone())
    }
}

/// The text of a workflow's file; `None` when it is gone, too large or no text.
pub(super) fn text_of(path: &Path) -> Option<String> {
    let size = fs::metadata(path).ok()?.len();
    (size <= FILE_BYTES_MAX as u64).then(|| fs::read_to_string(path).ok()).flatten()
}

/// The text with its top-level key `enabled` set; where it has none, beneath `name`.
fn with_enabled(text: &str, enabled: bool) -> String {
    let is_key = |line: &str, key: &str| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':'));
    let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let has = text.lines().any(|line| is_key(line, "enabled"));
    let mut switched = String::with_capacity(text.len() + 16);
    for line in text.split_inclusive('\n') {
        if has && is_key(line, "enabled") {
            let comment = line.find(" #").map_or("", |at| line[at..].trim_end());
            switched.push_str(&format!("enabled: {enabled}{comment}{line_end}"));
            continue;
        }
        switched.push_str(line);
        if !has && is_key(line, "name") {
            if !line.ends_with('\n') {
                switched.push_str(line_end);
            }
            switched.push_str(&format!("enabled: {enabled}{line_end}"));
        }
    }
    switched
}

/// Replaces a file so that whoever reads it sees the old one or the new one.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    // A link stays one; what it leads to is replaced.
    let path = fs::canonicalize(path)?;
    let draft = path.with_extension("yaml.new");
    let mut file = fs::File::create(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    if let Ok(meta) = fs::metadata(&path) {
        fs::set_permissions(&draft, meta.permissions())?;
    }
    fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_changed_or_added_and_nothing_else() {
        let text = "# mine\nname: a # x\nsteps:\n  - name: b\n    enabled: true\n";
        assert_eq!(
            with_enabled(text, false),
            "# mine\nname: a # x\nenabled: false\nsteps:\n  - name: b\n    enabled: true\n"
        );
        let text = "name: a\nenabled: true  # for now\ntrigger: manual";
        assert_eq!(with_enabled(text, false), "name: a\nenabled: false # for now\ntrigger: manual");
        assert_eq!(with_enabled("steps: []\nname: a", true), "steps: []\nname: a\nenabled: true\n");
    }
}
