//! What the agent is built of: where it comes from, under which licences, and what must not be among it. cargo-deny does the
//! same and more (docs/SECURITY.md); this needs nothing but cargo.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Crates that are there in more than one version, on Linux; each one more is time to build and bytes to load.
const DUPLICATES_MAX: usize = 30;

/// The texts in quotes behind `key` of deny.toml, up to the closing bracket.
fn listed(key: &str) -> BTreeSet<String> {
    let text = include_str!("../../deny.toml");
    let start = text.find(&format!("\n{key} = [")).unwrap_or_else(|| panic!("deny.toml has no {key}"));
    let list = text[start..].split('[').nth(1).expect("a list").split(']').next().expect("its end");
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Every package that a build for Linux takes, tests included.
fn packages() -> Vec<Value> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--format-version", "1", "--filter-platform", &target])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
    let built: BTreeSet<&str> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
    let all = metadata["packages"].as_array().expect("packages");
    all.iter().filter(|package| package["id"].as_str().is_some_and(|id| built.contains(id))).cloned().collect()
}

/// Whether an SPDX expression can be met by `allowed` alone. `A AND (B OR C)`; the old `A/B` is `OR`.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.replace('/', " OR ");
    let (mut depth, mut or_at, mut and_at) = (0, None, None);
    for (at, c) in expression.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && expression[at..].starts_with(" OR ") => or_at = Some(at),
            _ if depth == 0 && expression[at..].starts_with(" AND ") => and_at = Some(at),
            _ => {}
        }
    }
    match (or_at, and_at) {
        (Some(at), _) => is_met(&expression[..at], allowed) || is_met(&expression[at + 4..], allowed),
        (None, Some(at)) => is_met(&expression[..at], allowed) && is_met(&expression[at + 5..], allowed),
        (None, None) => {
            let one = expression.trim();
            match one.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
                Some(inner) => is_met(inner, allowed),
                None => allowed.contains(one),
            }
        }
    }
}

#[test]
fn every_crate_has_an_allowed_licence_and_comes_from_the_registry() {
    let allowed = listed("allow");
    assert!(allowed.contains("MIT") && is_met("Apache-2.0/MIT", &allowed) && !is_met("MIT AND GPL-3.0-only", &allowed));
    let except = include_str!("../../deny.toml");
    let mut versions: BTreeMap<String, usize> = BTreeMap::new();
    for package in packages() {
        let name = package["name"].as_str().expect("a name");
        let licence = package["license"].as_str().unwrap_or("none");
        let excepted = except.contains(&format!("{{ name = \"{name}\", allow = [\"{licence}\"] }}"));
        assert!(excepted || is_met(licence, &allowed), "{name} is under {licence}");
        if name != env!("CARGO_PKG_NAME") {
            let source = package["source"].as_str().unwrap_or("a path");
            assert_eq!(source, "registry+https://github.com/rust-lang/crates.io-index", "{name}");
        }
        *versions.entry(name.to_owned()).or_default() += 1;
    }
    let twice: Vec<&String> = versions.iter().filter(|(_, count)| **count > 1).map(|(name, _)| name).collect();
    assert!(twice.len() <= DUPLICATES_MAX, "{} crates are there more than once: {twice:?}", twice.len());
}

#[test]
fn what_is_banned_is_in_neither_lock_file() {
    let banned = listed("deny");
    assert!(banned.contains("openssl"));
    for lock in [include_str!("../../Cargo.lock"), include_str!("../../fuzz/Cargo.lock")] {
        for name in &banned {
            assert!(!lock.contains(&format!("name = \"{name}\"\n")), "{name} is banned");
        }
    }
}
