//! `agent prove`: it holds on this binary, and it fails where something is wrong.

use std::collections::BTreeSet;
use std::process::Output;

use serde_json::Value;

use crate::harness::process;

fn prove(args: &[&str]) -> (Output, Value) {
    let dir = tempfile::tempdir().expect("a folder");
    let output = process::run(dir.path(), &[&["prove", "--quick", "--json"], args].concat());
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output, report)
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

#[test]
fn tables_duplicates_and_kills_hold_on_this_binary() {
    let (output, report) = prove(&["--only", "forwarded,duplicates,kills,secrets"]);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(report["held"], true);
    for name in ["forwarded", "duplicates", "kills", "secrets"] {
        assert_eq!(check(&report, name)["outcome"], "held", "{report:#}");
    }
    let kills = &report["kills"];
    assert!(kills["total"].as_u64() >= Some(8), "{kills:#}");
    assert_eq!((&kills["lost"], &kills["doubled"]), (&Value::from(0), &Value::from(0)));
    // The table knows what was being committed: a name that the ledger gives, and the part of an event's life.
    let rows = kills["rows"].as_array().expect("rows");
    // Which commits the few kills of this sample meet is a matter of chance.
    let areas: BTreeSet<&str> = rows.iter().filter_map(|row| row["area"].as_str()).collect();
    assert!(areas.len() >= 2 && !areas.contains(""), "{kills:#}");
    assert!(
        // A process that ended before it could leave its note is called unnamed.
        rows.iter().all(|row| row["area"] != "other" || row["boundary"].to_string().contains("unnamed")),
        "a write that src/prove/kills/areas.rs does not know: {kills:#}"
    );
}

#[test]
fn a_wrong_row_in_any_table_fails_the_proof() {
    let (output, report) = prove(&["--only", "signatures,forwarded,definitions", "--sabotage", "tables"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report["held"], false);
    for name in ["signatures", "forwarded", "definitions"] {
        assert_eq!(check(&report, name)["outcome"], "failed", "{report:#}");
        assert!(!check(&report, name)["faults"].as_array().expect("a list").is_empty());
    }
}

#[test]
fn effects_that_are_lost_or_doubled_fail_the_proof() {
    for (sabotage, word) in [("drop-effects", "lost"), ("double-effects", "doubled")] {
        let (output, report) = prove(&["--only", "duplicates", "--sabotage", sabotage]);
        assert_eq!(output.status.code(), Some(1), "{report:#}");
        let faults = check(&report, "duplicates")["faults"].to_string();
        assert!(faults.contains(word), "{faults}");
    }
}

#[test]
fn a_secret_in_a_log_fails_the_proof() {
    let (output, report) = prove(&["--only", "duplicates,secrets", "--sabotage", "leak"]);
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert_eq!(check(&report, "duplicates")["outcome"], "held");
    assert_eq!(check(&report, "secrets")["outcome"], "failed");
}

#[test]
fn an_unknown_check_is_named_with_those_that_there_are() {
    let (output, _) = prove(&["--only", "kilns"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("there is no check 'kilns'") && said.contains("storm"), "{said}");
}
