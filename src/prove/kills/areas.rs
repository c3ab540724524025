//! Which part of an event's life a commit belongs to, by the names that the ledger gives to what it writes.

/// The parts in the order of an event's life, with what is written in each.
const AREAS: &[(&str, &[&str])] = &[
    ("ingest", &["ingest"]),
    ("approval", &["decide", "settle_step", "add_nonces", "card_shown", "expire", "resend_cards"]),
    (
        "run",
        &[
            "start_run",
            "start_scheduled",
            "start_proposed",
            "advance",
            "cancel_run",
            "retry_run",
            "event_matched",
            "claim_runs",
            "renew_runs",
            "recover_runs",
        ],
    ),
    ("outbox", &["add_notices", "begin_send", "settle_send", "recover_sends"]),
    ("inbox", &["keep_inbound", "inbound_done"]),
    ("queue", &["settle", "replay", "claim", "recover_claims"]),
    ("upkeep", &["prune", "sync_schedules", "keep_traces", "traces_told", "traces_waiting", "tell_digest"]),
    (
        "assistant",
        &[
            "say",
            "begin_turn",
            "answer_turn",
            "turn_appears",
            "turn_shown",
            "cancel_turn",
            "tell_outcome",
            "keep_summary",
        ],
    ),
    ("assistant", &["remember", "forget", "mute", "unmute"]),
    ("model", &["begin_model_call", "end_model_call", "begin_summaries", "settle_summaries", "settle_edit"]),
    // Rows of refused requests and of duplicates, which leave with whatever is written next, or alone.
    ("ingest", &["refusals"]),
];

/// The area and the name of a commit of these writes: of several, the one that matters most.
pub(super) fn of(writes: &[String]) -> (&'static str, String) {
    for (area, names) in AREAS {
        for name in *names {
            if writes.iter().any(|write| write == name) {
                return (area, (*name).to_owned());
            }
        }
    }
    ("other", writes.first().cloned().unwrap_or_else(|| "unnamed".to_owned()))
}

/// Where an area stands in reports.
pub(super) fn rank(area: &str) -> usize {
    const ORDER: [&str; 9] = ["ingest", "queue", "outbox", "run", "approval", "inbox", "assistant", "model", "upkeep"];
    ORDER.iter().position(|known| *known == area).unwrap_or(ORDER.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_called_by_what_matters_most_in_it() {
        let named = |writes: &[&str]| of(&writes.iter().map(|write| (*write).to_owned()).collect::<Vec<_>>());
        assert_eq!(named(&["settle", "ingest"]), ("ingest", "ingest".to_owned()));
        assert_eq!(named(&["begin_send", "decide"]), ("approval", "decide".to_owned()));
        assert_eq!(named(&["refusals", "prune"]), ("upkeep", "prune".to_owned()));
        assert_eq!(named(&["refusals"]), ("ingest", "refusals".to_owned()));
        assert_eq!(named(&["new_write"]), ("other", "new_write".to_owned()));
        assert_eq!(named(&[]), ("other", "unnamed".to_owned()));
        assert!(AREAS.iter().all(|(area, _)| rank(area) < 9));
    }
}
