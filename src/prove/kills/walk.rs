//! Before and after every commit of a life, one life each, several side by side; where lives have no more commits it ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::books::Harm;
use super::dice::Dice;
use super::life::{Kill, Lived, live};
use super::{Killed, areas};
use crate::ledger::sqlite::AbortPoint;
use crate::prove::Context;
use crate::prove::stand::Receiver;

/// Commits after which a life must be at its end.
const COMMITS_MAX: u64 = 120;
/// Sides of commits among which a second kill is, about as many as the end of a life has.
const AFTERLIFE_SIDES: u64 = 24;
/// Lives side by side, for each processor: most of a life is waiting for the pace of a chat.
const LIVES_PER_CORE: usize = 6;

/// Walks `passes` times over all commits; a quick walk looks at every `stride`-th side of a commit.
pub(in crate::prove) async fn walk(context: &Context, passes: u32, stride: usize) -> Result<Killed, String> {
    let receiver = Arc::new(Receiver::start(context.options.sabotage).await?);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let places = Arc::new(Semaphore::new(cores * LIVES_PER_CORE));
    let mut found: Vec<Lived> = Vec::new();
    let mut dice = Dice::new(context.seed);
    for pass in 1..=passes {
        let mut lives = JoinSet::new();
        let (mut next, mut over) = (0_usize, false);
        while !over || !lives.is_empty() {
            // Lives that began before one of them was too short go on.
            let place = if over { None } else { Arc::clone(&places).try_acquire_owned().ok() };
            if let Some(place) = place {
                let mut points = vec![point(next * stride)];
                if pass > 1 {
                    // The one that takes over is killed as well, somewhere in what it has to do.
                    points.push(point(usize::try_from(dice.roll(AFTERLIFE_SIDES)).unwrap_or(0)));
                }
                let (context, receiver) = (context.clone(), Arc::clone(&receiver));
                let name = format!("life-{pass}-{}", points[0].to_string().replace(':', "-"));
                lives.spawn(async move {
                    let lived = live(&context, &name, receiver, &points).await;
                    drop(place);
                    lived.map_err(|error| format!("{name}: {error}"))
                });
                next += 1;
                over = next * stride >= usize::try_from(COMMITS_MAX).unwrap_or(usize::MAX) * 2;
                continue;
            }
            let Some(ended) = lives.join_next().await else { continue };
            let lived = ended.map_err(|error| error.to_string())??;
            over |= lived.kills.is_empty();
            found.push(lived);
        }
        context.progress(format!("kills at every commit: pass {pass} of {passes} done"));
    }
    Ok(sum(found))
}

/// What lives came to, by the boundaries of their last kills, in the order of an event's life.
fn sum(lives: Vec<Lived>) -> Killed {
    let mut by_boundary: BTreeMap<(usize, String), Vec<(Kill, Harm)>> = BTreeMap::new();
    for Lived { mut kills, harm } in lives {
        let Some(last) = kills.pop() else { continue };
        // What the last kill led to is all of the life's; the kills before it led to a life that went on.
        for (kill, harm) in kills.into_iter().map(|kill| (kill, Harm::default())).chain([(last, harm)]) {
            let key = (areas::rank(kill.area), kill.boundary.clone());
            by_boundary.entry(key).or_default().push((kill, harm));
        }
    }
    let mut killed = Killed::default();
    for (kill, harm) in by_boundary.into_values().flatten() {
        killed.add(kill.area, &kill.boundary, 1, harm);
    }
    killed
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
