//! The configuration: any file loads, or is refused with the lines that are wrong; no secret is told.
//!
//! Input: a YAML file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hookhand::config::{LoadOptions, Loaded, load};

use super::faults_have_lines;

const SECRET: &str = "env-secret-nobody-may-see-8842";

/// Checks one input.
pub fn check(data: &[u8]) {
    // Devices and pipes: whoever writes the file may name them, and reading them may wait for ever.
    if data.windows(5).any(|part| part == b"/dev/" || part == b"/proc") {
        return;
    }
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a folder");
    }
    FOLDER.with(|folder| {
        let path = folder.path().join("config.yaml");
        std::fs::write(&path, data).expect("written");
        let environment: BTreeMap<String, String> = [
            ("GITHUB_WEBHOOK_SECRET", SECRET),
            ("TELEGRAM_BOT_TOKEN", "123456:env-secret-nobody-may-see-8842"),
            ("X", SECRET),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let options = LoadOptions {
            config: Some(PathBuf::from("config.yaml")),
            cwd: folder.path().to_path_buf(),
            default_handlers: &["github", "stripe"],
            ..LoadOptions::default()
        };
        let loaded = load(&options, &environment);
        judge(&loaded, data);
        let again = load(&options, &environment);
        assert_eq!(again.faults, loaded.faults);
        assert_eq!(again.config.is_some(), loaded.config.is_some());
    });
}

fn judge(loaded: &Loaded, data: &[u8]) {
    assert_eq!(loaded.config.is_some(), loaded.faults.is_empty(), "{:?}", loaded.faults);
    let text = String::from_utf8_lossy(data);
    if std::str::from_utf8(data).is_ok() && !loaded.faults.is_empty() {
        // What is said of the defaults has no line; what is said of the file has.
        let in_file: Vec<_> = loaded.faults.iter().filter(|fault| fault.file == "config.yaml").cloned().collect();
        if !in_file.is_empty() {
            faults_have_lines(&in_file, &text);
        }
    }
    let written = text.contains(SECRET);
    for fault in loaded.faults.iter().chain(&loaded.notes) {
        let shown = fault.to_string();
        assert!(written || !shown.contains(SECRET), "{shown}");
        assert!(shown.len() < 16 * 1024, "{} bytes: {shown}", shown.len());
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }
    // A variable that stands in a key which is no secret is shown there, with its name.
    let mut shown_elsewhere = written;
    for entry in &loaded.effective.keys {
        let told = format!("{:?}", entry.value).contains(SECRET);
        let secret = ["secret", "secrets", "token", "api_key"].iter().any(|name| entry.key.ends_with(name));
        assert!(written || !(told && secret), "{} is shown", entry.key);
        shown_elsewhere |= told;
    }
    if let Some(config) = &loaded.config {
        let shown = format!("{config:?}");
        assert!(shown_elsewhere || !shown.contains(SECRET), "{shown}");
    }
}
