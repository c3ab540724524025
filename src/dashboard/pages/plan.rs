//! Which values of a JSON are shown where not all of them can be: what lies near the top before what lies deep, so that the
//! last keys of a payload are there although the first one is large.
//!
//! It decides and draws nothing. Of every object and list the first so many entries are shown, in their order.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use super::tree::Key;

/// Entries of a list, and of an object beneath the top, that are taken before others have their turn.
const ITEMS_A_TURN: usize = 20;
const KEYS_A_TURN: usize = 100;

/// A value that asks to be shown.
pub(super) struct Asks<'a> {
    /// The value.
    pub(super) value: &'a Value,
    /// Where it is in what it is part of.
    pub(super) key: Key<'a>,
    /// How deep it lies; the top is 0.
    pub(super) depth: usize,
    /// Bytes of the path that leads to it from the top; `None` where no path does.
    pub(super) path_bytes: Option<usize>,
}

/// How many entries of each object and list are shown.
pub(super) struct Plan(HashMap<*const Value, usize>);

/// An object or list whose entries are being taken.
struct Open<'a> {
    value: &'a Value,
    depth: usize,
    path_bytes: Option<usize>,
    taken: usize,
}

impl Plan {
    /// Asks `take` of values beneath `top`, level by level, whether there is room for them; within an object or list its first
    /// no ends the asking, and entries of what is deeper than `depth_max` are not asked about.
    pub(super) fn new(top: &Value, depth_max: usize, mut take: impl FnMut(&Asks<'_>) -> bool) -> Self {
        let mut shown = HashMap::new();
        let mut turn = VecDeque::from([Open { value: top, depth: 0, path_bytes: Some(0), taken: 0 }]);
        let mut later = VecDeque::new();
        while let Some(mut open) = turn.pop_front().or_else(|| later.pop_front()) {
            let share = match open.value {
                Value::Object(_) if open.depth == 0 => usize::MAX,
                Value::Object(_) => KEYS_A_TURN,
                _ => ITEMS_A_TURN,
            };
            let mut full = false;
            for (key, value) in entries(open.value).skip(open.taken).take(share) {
                let path_bytes = open.path_bytes.and_then(|bytes| Some(bytes + key.step()?.len()));
                let asks = Asks { value, key, depth: open.depth + 1, path_bytes };
                if !take(&asks) {
                    full = true;
                    break;
                }
                open.taken += 1;
                if asks.depth < depth_max && entry_count(value) > 0 {
                    turn.push_back(Open { value, depth: asks.depth, path_bytes, taken: 0 });
                }
            }
            shown.insert(std::ptr::from_ref(open.value), open.taken);
            if !full && open.taken < entry_count(open.value) {
                later.push_back(open);
            }
        }
        Self(shown)
    }

    /// How many of the first entries of `value` are shown.
    pub(super) fn shown(&self, value: &Value) -> usize {
        self.0.get(&std::ptr::from_ref(value)).copied().unwrap_or_default()
    }
}

/// The entries of an object or a list, in order.
pub(super) fn entries(value: &Value) -> Box<dyn Iterator<Item = (Key<'_>, &Value)> + '_> {
    match value {
        Value::Object(map) => Box::new(map.iter().map(|(name, value)| (Key::Name(name), value))),
        Value::Array(items) => Box::new(items.iter().enumerate().map(|(index, value)| (Key::Index(index), value))),
        _ => Box::new(std::iter::empty()),
    }
}

/// How many there are.
pub(super) fn entry_count(value: &Value) -> usize {
    match value {
        Value::Object(map) => map.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// How many entries of each path are shown when `room` values have room.
    fn planned(value: &Value, mut room: usize, of: &[&str]) -> Vec<usize> {
        let plan = Plan::new(value, 10, |_| {
            let has = room > 0;
            room = room.saturating_sub(1);
            has
        });
        of.iter().map(|path| plan.shown(value.pointer(path).expect("there"))).collect()
    }

    #[test]
    fn what_is_near_the_top_comes_first() {
        let large: Vec<Value> = (0..1000).map(|n| json!({ "id": n, "more": { "deep": n } })).collect();
        let value = json!({ "first": large, "repository": { "name": "x", "owner": { "login": "y" } }, "sender": 1 });
        let paths = ["", "/first", "/first/0", "/first/0/more", "/repository", "/repository/owner"];
        assert_eq!(planned(&value, 3, &paths), [3, 0, 0, 0, 0, 0]);
        // 3 and 20 of the list, the repository's two, the two of each of the 20, the owner's one and the 20 deepest.
        assert_eq!(planned(&value, 86, &paths), [3, 20, 2, 1, 2, 1]);
        assert_eq!(planned(&value, 86 + 63, &paths), [3, 40, 2, 1, 2, 1]);
    }

    #[test]
    fn what_lies_too_deep_is_not_asked_about() {
        let value = json!({ "a": { "b": { "c": 1 } } });
        let mut asked = Vec::new();
        Plan::new(&value, 2, |asks| {
            asked.push((asks.depth, asks.path_bytes));
            true
        });
        assert_eq!(asked, [(1, Some(2)), (2, Some(4))]);
    }
}
