//! Changing a sample: `--set payload.ref=refs/heads/x` puts a value at a path of the payload.

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Most elements that a path may make an array grow to.
const ARRAY_LEN_MAX: usize = 1000;

/// Puts `assignment` (`payload.a.b.0=value`) into `payload`. The value is JSON where it is JSON, else text.
pub(super) fn set(payload: &mut Value, assignment: &str) -> anyhow::Result<()> {
    let (path, text) = assignment
        .split_once('=')
        .with_context(|| format!("--set {assignment}: write PATH=VALUE, such as payload.ref=refs/heads/main"))?;
    let path = path.strip_prefix("payload.").unwrap_or(path);
    if path.is_empty() || path.split('.').any(str::is_empty) {
        bail!("--set {assignment}: the path has an empty part");
    }
    let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    let mut place = payload;
    for part in path.split('.') {
        place = step(place, part).with_context(|| format!("--set {assignment}"))?;
    }
    *place = value;
    Ok(())
}

fn step<'a>(place: &'a mut Value, part: &str) -> anyhow::Result<&'a mut Value> {
    if let Value::Array(items) = place {
        let at: usize = part.parse().with_context(|| format!("'{part}' is no place in a list"))?;
        if at >= ARRAY_LEN_MAX {
            bail!("a list here holds at most {ARRAY_LEN_MAX}");
        }
        if items.len() <= at {
            items.resize(at + 1, Value::Null);
        }
        return Ok(&mut items[at]);
    }
    if !place.is_object() {
        *place = Value::Object(serde_json::Map::new());
    }
    match place {
        Value::Object(fields) => Ok(fields.entry(part).or_insert(Value::Null)),
        _ => bail!("'{part}' leads nowhere"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_reaches_fields_lists_and_things_that_were_not_there() {
        let mut payload = json!({"ref": "a", "commits": [{"id": 1}]});
        for assignment in ["payload.ref=refs/heads/x", "commits.0.id=2", "payload.new.deep=true", "text=no json"] {
            set(&mut payload, assignment).expect(assignment);
        }
        let expected = json!({"ref": "refs/heads/x", "commits": [{"id": 2}], "new": {"deep": true}, "text": "no json"});
        assert_eq!(payload, expected);
    }

    #[test]
    fn a_path_that_leads_nowhere_is_refused() {
        for bad in ["ref", "=x", "payload.=x", "a..b=1", "commits.x=1", "commits.1000000=1"] {
            assert!(set(&mut json!({"commits": []}), bad).is_err(), "{bad}");
        }
    }
}
