//! Agents are killed; nothing may be lost or done twice. The work is in [`crate::prove::kills`].

use super::Verdict;
use crate::prove::Context;
use crate::prove::kills::{Killed, storms, walk};

/// A whole run walks once more over all commits for so many kills.
const KILLS_PER_PASS: u32 = 100;
/// Kills of one pass, about.
const KILLS_OF_A_PASS: u32 = 45;
/// A quick run looks at every so manyth side of a commit: an odd number, so that both sides have their turn.
const QUICK_STRIDE: usize = 3;

/// At every commit.
pub(super) async fn at_commits(context: &Context) -> Result<Verdict, String> {
    let (passes, stride) =
        if context.options.quick { (1, QUICK_STRIDE) } else { ((context.options.kills / KILLS_PER_PASS).max(1), 1) };
    Ok(verdict(walk(context, passes, stride).await?))
}

/// At random times: what the walk leaves of the kills that were asked for.
pub(super) async fn at_random(context: &Context) -> Result<Verdict, String> {
    let walked =
        if context.options.quick { 16 } else { (context.options.kills / KILLS_PER_PASS).max(1) * KILLS_OF_A_PASS };
    Ok(verdict(storms(context, context.options.kills.saturating_sub(walked).max(8)).await?))
}

fn verdict(killed: Killed) -> Verdict {
    let sum = |of: fn(&crate::prove::KillRow) -> u32| killed.rows.iter().map(of).sum::<u32>();
    let seen = format!(
        "{} kills: {} lost, {} doubled, {} in doubt (each was asked or kept as such), {} notices marked maybe_sent",
        sum(|row| row.kills),
        sum(|row| row.lost),
        sum(|row| row.doubled),
        sum(|row| row.in_doubt),
        sum(|row| row.maybe_sent)
    );
    let mut faults = killed.faults.clone();
    if killed.rows.is_empty() {
        faults.push("nothing was killed, so nothing is proven".into());
    }
    Verdict { kills: Some(killed), ..Verdict::of(seen, faults) }
}
