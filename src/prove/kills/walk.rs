//! Before and after every commit of a life, one life each, several side by side; where lives have no more commits it ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::life::{Lived, live};
use super::{Killed, areas};
use crate::ledger::sqlite::AbortPoint;
use crate::prove::Context;
use crate::prove::stand::Receiver;

/// Commits after which a life must be at its end.
const COMMITS_MAX: u64 = 120;
/// Lives side by side, for each processor: most of a life is waiting for the pace of a chat.
const LIVES_PER_CORE: usize = 6;

/// Walks `passes` times over all commits; a quick walk looks at every `stride`-th side of a commit.
pub(in crate::prove) async fn walk(context: &Context, passes: u32, stride: usize) -> Result<Killed, String> {
    let receiver = Arc::new(Receiver::start(context.options.sabotage).await?);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let places = Arc::new(Semaphore::new(cores * LIVES_PER_CORE));
    let mut found: BTreeMap<(usize, String), Vec<Lived>> = BTreeMap::new();
    for pass in 1..=passes {
        let mut lives = JoinSet::new();
        let (mut next, mut over) = (0_usize, false);
        while !over || !lives.is_empty() {
            // Lives that began before one of them was too short go on.
            let place = if over { None } else { Arc::clone(&places).try_acquire_owned().ok() };
            if let Some(place) = place {
                let point = point(next * stride);
                let (context, receiver) = (context.clone(), Arc::clone(&receiver));
                let name = format!("life-{pass}-{}", point.to_string().replace(':', "-"));
                lives.spawn(async move {
                    let lived = live(&context, &name, receiver, point).await;
                    drop(place);
                    lived.map(|lived| (point, lived)).map_err(|error| format!("{name}: {error}"))
                });
                next += 1;
                over = next * stride >= usize::try_from(COMMITS_MAX).unwrap_or(usize::MAX) * 2;
                continue;
            }
            let Some(ended) = lives.join_next().await else { continue };
            let (point, lived) = ended.map_err(|error| error.to_string())??;
            over |= !lived.killed;
            if lived.killed {
                let side = if matches!(point, AbortPoint::Before(_)) { "before" } else { "after" };
                found.entry((areas::rank(lived.area), format!("{side} {}", lived.boundary))).or_default().push(lived);
            }
        }
        context.progress(format!("kills at every commit: pass {pass} of {passes} done"));
    }
    let mut killed = Killed::default();
    for ((_, boundary), lives) in found {
        for lived in lives {
            killed.add(lived.area, &boundary, 1, lived.harm);
        }
    }
    Ok(killed)
}

/// The `at`-th side of a commit, counted from 0: before the first, after the first, before the second.
fn point(at: usize) -> AbortPoint {
    let commit = at as u64 / 2 + 1;
    if at.is_multiple_of(2) { AbortPoint::Before(commit) } else { AbortPoint::After(commit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_of_commits_are_counted_from_before_the_first() {
        let shown: Vec<String> = (0..4).map(|at| point(at).to_string()).collect();
        assert_eq!(shown, ["before:1", "after:1", "before:2", "after:2"]);
    }
}
