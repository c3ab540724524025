//! What a person approves: an action in full, and the digest that binds the approval to it (P5).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::event::words;

words! {
    /// Where an approval is.
    ApprovalState {
        /// Nobody decided yet, or not enough.
        Pending = "pending",
        /// Enough approvers said yes.
        Approved = "approved",
        /// An approver said no.
        Denied = "denied",
        /// Nobody decided in time.
        Expired = "expired",
        /// The run ended or the action changed before it was used.
        Cancelled = "cancelled",
    }
}

words! {
    /// What an approver says.
    Vote {
        /// Yes.
        Approve = "approve",
        /// No.
        Deny = "deny",
    }
}

words! {
    /// What is asked.
    ApprovalKind {
        /// Whether a step may run.
        Gate = "gate",
        /// Whether the effect of a step in doubt happened.
        Settle = "settle",
    }
}

words! {
    /// What a person says about a step in doubt.
    Settle {
        /// The effect happened: the step is `success`.
        Happened = "happened",
        /// It did not: the step may run again.
        NotHappened = "not-happened",
        /// It stays in doubt and the run is left.
        Leave = "leave",
    }
}

/// A person as the ledger names them (`telegram:7001`, `local admin`), in words.
pub fn person(by: &str) -> String {
    match by.strip_prefix("telegram:") {
        Some(user) => format!("user {user}"),
        None => by.to_owned(),
    }
}

/// A file whose bytes belong to the action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct FileDigest {
    /// Its path.
    pub path: String,
    /// SHA-256 of its bytes in hex; `missing` when it cannot be read.
    pub sha256: String,
}

/// What will be done, in full: everything that a change of makes it another action.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct Action {
    /// The tool.
    pub tool: String,
    /// Every argument, rendered.
    pub args: Map<String, Value>,
    /// Working directory: with links resolved, where the tool works in one and it is there.
    pub cwd: Option<String>,
    /// Environment variables that the step sets.
    pub env: BTreeMap<String, String>,
    /// SHA-256 (hex) of the JSON that the tool gets on stdin, where it gets any.
    pub stdin_sha256: Option<String>,
    /// Script and program files that it runs.
    pub files: Vec<FileDigest>,
    /// The workflow.
    pub workflow: String,
    /// The content hash of its definition.
    pub workflow_hash: String,
    /// The run, `run_…`.
    pub run: String,
    /// The step's key within the run.
    pub step: String,
    /// 1 for the first question about this step, then 2, …
    pub revision: u32,
    /// JSON pointers into `args` of what came from a payload.
    pub tainted: Vec<String>,
}

impl Action {
    /// `sha256:` and the SHA-256 of the action as JSON with sorted keys and without spaces.
    pub fn digest(&self) -> String {
        let value = serde_json::to_value(self).expect("an action is plain data");
        let mut text = String::new();
        canonical(&value, &mut text);
        format!("sha256:{}", hex::encode(Sha256::digest(text.as_bytes())))
    }
}

/// Writes `value` as JSON with sorted keys and without spaces.
fn canonical(value: &Value, into: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            into.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    into.push(',');
                }
                into.push_str(&Value::String(key.clone()).to_string());
                into.push(':');
                canonical(value, into);
            }
            into.push('}');
        }
        Value::Array(items) => {
            into.push('[');
            for (index, value) in items.iter().enumerate() {
                if index > 0 {
                    into.push(',');
                }
                canonical(value, into);
            }
            into.push(']');
        }
        plain => into.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn action() -> Action {
        let args = json!({ "argv": ["./deploy.sh", "--tag", "v1"], "cwd": "/srv" });
        Action {
            tool: "shell_exec".into(),
            args: args.as_object().expect("an object").clone(),
            cwd: Some("/srv".into()),
            env: BTreeMap::from([("A".into(), "1".into())]),
            stdin_sha256: None,
            files: vec![FileDigest { path: "/srv/deploy.sh".into(), sha256: "00".into() }],
            workflow: "release".into(),
            workflow_hash: "sha256:1".into(),
            run: "run_1".into(),
            step: "deploy".into(),
            revision: 1,
            tainted: vec!["/argv/2".into()],
        }
    }

    /// Where a change is made: everywhere that a leaf, a key or an element of the action can be.
    fn leaves(value: &Value, at: String, into: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| leaves(value, format!("{at}/{key}"), into)),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, value)| leaves(value, format!("{at}/{index}"), into));
            }
            _ => into.push(at),
        }
    }

    #[test]
    fn the_order_of_keys_does_not_matter() {
        let mut other = action();
        other.args = json!({ "cwd": "/srv", "argv": ["./deploy.sh", "--tag", "v1"] }).as_object().expect("map").clone();
        assert_eq!(action().digest(), other.digest());
        assert!(action().digest().starts_with("sha256:"));
        assert_eq!(action().digest().len(), "sha256:".len() + 64);
    }

    #[test]
    fn text_cannot_move_between_arguments() {
        let mut joined = action();
        joined.args =
            json!({ "argv": ["./deploy.sh", "--tag\",\"v1"], "cwd": "/srv" }).as_object().expect("map").clone();
        assert_ne!(action().digest(), joined.digest());
    }

    proptest! {
        #[test]
        fn any_change_of_any_part_changes_the_digest(pick in any::<prop::sample::Index>(), text in "\\PC{0,20}") {
            let mut value = serde_json::to_value(action()).expect("plain data");
            let mut paths = Vec::new();
            leaves(&value, String::new(), &mut paths);
            let path = &paths[pick.index(paths.len())];
            let leaf = value.pointer_mut(path).expect("a leaf");
            let changed = if path == "/revision" { json!(text.len() + 2) } else { json!(format!("{text}\u{1}")) };
            prop_assume!(*leaf != changed);
            *leaf = changed;
            let other: Action = serde_json::from_value(value).expect("an action still");
            prop_assert_ne!(action().digest(), other.digest());
        }

        #[test]
        fn a_further_argument_variable_or_file_changes_the_digest(name in "[a-z]{5,9}", text in "\\PC{0,20}") {
            let mut argument = action();
            argument.args.insert(name.clone(), json!(text.clone()));
            let mut variable = action();
            variable.env.insert(name.clone(), text.clone());
            let mut file = action();
            file.files.push(FileDigest { path: name, sha256: text });
            for other in [argument, variable, file] {
                prop_assert_ne!(action().digest(), other.digest());
            }
        }
    }
}
