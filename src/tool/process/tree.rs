//! Who descends from a process, read from `/proc`. Where there is no `/proc`, nobody does, and the process group alone counts.

use std::collections::{HashMap, HashSet};
use std::fs;

/// What `/proc/<pid>/stat` says of a process.
struct Entry {
    pid: i32,
    parent: i32,
    threads: u64,
}

/// Processes beneath `root`, children before grandchildren, and how many tasks (threads) they are.
pub(super) fn descendants(root: i32) -> (Vec<i32>, u64) {
    let mut children: HashMap<i32, Vec<Entry>> = HashMap::new();
    for entry in pids().filter_map(entry) {
        children.entry(entry.parent).or_default().push(entry);
    }
    let (mut found, mut tasks, mut seen) = (Vec::new(), 0, HashSet::from([root]));
    let mut next = vec![root];
    while let Some(parent) = next.pop() {
        // A process may die and its id be taken again while this reads, so a loop is possible.
        for child in children.remove(&parent).unwrap_or_default() {
            if seen.insert(child.pid) {
                found.push(child.pid);
                tasks += child.threads;
                next.push(child.pid);
            }
        }
    }
    (found, tasks)
}

/// Tasks of the user `uid` on the whole machine.
pub(super) fn tasks_of(uid: u32) -> u64 {
    // The folder of a process that keeps its memory private belongs to root, so its owner says nothing.
    let owned = |pid: &i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()) == Some(uid)
    };
    pids().filter(owned).filter_map(entry).map(|entry| entry.threads).sum()
}

/// Tasks on the whole machine, at the cost of one small file.
pub(super) fn tasks_in_all() -> Option<u64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn entry(pid: i32) -> Option<Entry> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&stat);
    // The name stands in parentheses and may itself hold some.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    let threads = fields.nth(15)?.parse().ok()?;
    Some(Entry { pid, parent, threads })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_child_and_its_tasks_are_found_beneath_this_process() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().expect("cat");
        let own = i32::try_from(std::process::id()).expect("a pid");
        let (found, tasks) = descendants(own);
        let pid = i32::try_from(child.id()).expect("a pid");
        assert!(found.contains(&pid), "{found:?}");
        assert!(tasks >= 1);
        assert!(tasks_in_all().expect("a number") >= tasks);
        assert!(tasks_of(rustix::process::getuid().as_raw()) >= 2);
        drop(child.stdin.take());
        child.wait().expect("ends");
    }
}
