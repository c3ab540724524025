//! The ledger's part for conversations: what any engine behind [`ChatLedger`] must do.

use std::sync::Arc;

use hookhand::domain::ids::TurnId;
use hookhand::domain::notice::ChatKey;
use hookhand::ledger::chat::{
    CancelledTurn, ChatLedger, ChatMessage, MuteRule, NewTurn, TurnAnswer, TurnKind, TurnState,
};
use hookhand::ledger::sqlite::{SqliteLedger, SqliteOptions};
use hookhand::ledger::{Ledger, LedgerError};
use serde_json::json;
use tempfile::TempDir;
use ulid::Ulid;

use crate::ledger::{START_MS, StoppedClock, at};

fn fresh() -> (TempDir, Arc<SqliteLedger>) {
    let dir = TempDir::new().expect("a temporary folder");
    let ledger = SqliteLedger::open(SqliteOptions::new(dir.path().join("ledger.db"), Arc::new(StoppedClock)));
    (dir, ledger.expect("opened"))
}

fn turn_id(n: u64) -> TurnId {
    TurnId::new(Ulid::from_parts(START_MS.unsigned_abs() + n, 5))
}

/// Words that somebody said in chat `chat`, `n` ms after the beginning.
fn said(n: u64, chat: i64, text: &str) -> NewTurn {
    NewTurn {
        id: turn_id(n),
        key: format!("telegram:{n}"),
        chat: ChatKey::telegram(chat, None),
        kind: TurnKind::Said,
        person: "telegram:7001".into(),
        text: text.into(),
        about: Vec::new(),
        reply_to: Some(i64::try_from(n).expect("small")),
        at: at(i64::try_from(n).expect("small")),
    }
}

/// An answer that the conversation remembers as `messages`.
fn answer(turn: i64, ms: i64, messages: &[&str]) -> TurnAnswer {
    let message = |text: &&str| ChatMessage { seq: 0, body: json!(text), tainted: false };
    TurnAnswer {
        turn,
        text: "An answer.".into(),
        links: vec!["https://github.com/acme/shop/pull/42".into()],
        message_id: None,
        messages: messages.iter().map(message).collect(),
        at: at(ms),
    }
}

/// Says, works on and answers; the turn's order and its conversation.
async fn answered(ledger: &dyn ChatLedger, turn: NewTurn, messages: &[&str]) -> (i64, i64) {
    let (id, ms) = (turn.id, turn.at.duration_since(at(0)).as_millis());
    ledger.say(turn).await.expect("kept").expect("new");
    let row = ledger.turn(id).await.expect("read").expect("there");
    assert!(ledger.begin_turn(row.seq).await.expect("begun"));
    let ms = i64::try_from(ms).expect("small");
    assert!(ledger.answer_turn(answer(row.seq, ms, messages)).await.expect("kept"));
    ledger.turn_shown(row.seq, 1, Some(9), true, at(ms)).await.expect("shown");
    (row.seq, row.session)
}

async fn remembered(ledger: &dyn ChatLedger, session: i64, bytes_max: usize) -> (Option<String>, Vec<String>, bool) {
    let history = ledger.history(session, bytes_max).await.expect("read");
    let texts = history.messages.iter().map(|message| message.body.as_str().expect("text").to_owned());
    (history.summary, texts.collect(), history.cut)
}

#[tokio::test]
async fn words_are_kept_once_and_answered_in_their_order_in_each_conversation() {
    let (_dir, ledger) = fresh();
    for (n, chat) in [(1, 1), (2, 1), (3, 2)] {
        assert_eq!(ledger.say(said(n, chat, "hello")).await, Ok(Some(turn_id(n))));
    }
    let again = NewTurn { id: turn_id(9), ..said(1, 1, "hello") };
    assert_eq!(ledger.say(again).await, Ok(None), "the same words arrived twice");
    let open = ledger.turns_open(10).await.expect("read");
    let ids: Vec<TurnId> = open.iter().map(|row| row.turn.id).collect();
    assert_eq!(ids, [turn_id(1), turn_id(3)], "the oldest of each conversation");
    assert_eq!((&open[0].turn, open[0].state, open[0].attempts), (&said(1, 1, "hello"), TurnState::Waiting, 0));
    assert_eq!(ledger.turns_open(1).await.expect("read").len(), 1);

    let first = open[0].seq;
    assert!(ledger.begin_turn(first).await.expect("begun"));
    assert!(ledger.begin_turn(first).await.expect("begun again, after a restart"));
    ledger.turn_appears(first, 77).await.expect("kept");
    assert!(ledger.answer_turn(answer(first, 5, &["a"])).await.expect("kept"));
    assert!(!ledger.answer_turn(answer(first, 6, &["b"])).await.expect("once"), "an answer is kept once");
    let row = ledger.turn(turn_id(1)).await.expect("read").expect("there");
    assert_eq!((row.state, row.attempts, row.message_id), (TurnState::Answered, 2, Some(77)));
    assert_eq!((row.answer.as_deref(), row.links.len()), (Some("An answer."), 1));
    assert_eq!(remembered(&*ledger, row.session, 1000).await.1, ["a"]);

    // Until it is shown whole, nothing else of its conversation is worked on.
    assert_eq!(ledger.turns_open(10).await.expect("read")[0].seq, first);
    ledger.turn_shown(first, 1, None, false, at(7)).await.expect("shown");
    ledger.turn_shown(first, 2, None, true, at(8)).await.expect("shown");
    let row = ledger.turn(turn_id(1)).await.expect("read").expect("there");
    assert_eq!((row.state, row.shown, row.message_id), (TurnState::Done, 2, Some(77)));
    assert_eq!(ledger.turns_open(10).await.expect("read")[0].turn.id, turn_id(2));
    assert_eq!(ledger.turn(turn_id(99)).await, Ok(None));
}

#[tokio::test]
async fn what_is_cancelled_is_not_answered_and_other_conversations_go_on() {
    let (_dir, ledger) = fresh();
    for (n, chat) in [(1, 1), (2, 1), (3, 2)] {
        ledger.say(said(n, chat, "hello")).await.expect("kept");
    }
    let first = ledger.turns_open(1).await.expect("read").remove(0);
    assert!(ledger.begin_turn(first.seq).await.expect("begun"));
    let chat = ChatKey::telegram(1, None);
    assert_eq!(ledger.cancel_turn(&chat, at(5)).await, Ok(Some(CancelledTurn { id: turn_id(1), behind: 1 })));
    assert!(!ledger.answer_turn(answer(first.seq, 7, &["a"])).await.expect("too late"));
    assert!(!ledger.begin_turn(first.seq).await.expect("too late"));
    assert_eq!(remembered(&*ledger, first.session, 1000).await, (None, Vec::new(), false));
    let open = async || {
        let open = ledger.turns_open(10).await.expect("read");
        open.iter().map(|row| row.turn.id).collect::<Vec<_>>()
    };
    assert_eq!(open().await, [turn_id(2), turn_id(3)]);
    assert_eq!(ledger.cancel_turn(&chat, at(6)).await, Ok(Some(CancelledTurn { id: turn_id(2), behind: 0 })));
    assert_eq!(ledger.cancel_turn(&chat, at(7)).await, Ok(None));
    assert_eq!(open().await, [turn_id(3)]);
}

#[tokio::test]
async fn a_history_is_bounded_and_what_is_older_becomes_a_summary() {
    let (_dir, ledger) = fresh();
    let mut session = 0;
    for n in 1..=4 {
        (_, session) = answered(&*ledger, said(n, 1, "hello"), &[&format!("said {n}")]).await;
    }
    answered(&*ledger, said(9, 2, "elsewhere"), &["secret of another chat"]).await;
    // Each is 8 bytes as JSON text.
    assert_eq!(remembered(&*ledger, session, 1000).await.1, ["said 1", "said 2", "said 3", "said 4"]);
    assert_eq!(remembered(&*ledger, session, 17).await, (None, vec!["said 3".into(), "said 4".into()], true));
    let old = ledger.history_old(session, 17, 1000).await.expect("read");
    assert_eq!(old.iter().map(|message| message.body.clone()).collect::<Vec<_>>(), [json!("said 1"), json!("said 2")]);
    assert_eq!(ledger.history_old(session, 17, 1).await.expect("read").len(), 1, "one at least");
    ledger.keep_summary(session, old[1].seq, "They greeted.", true).await.expect("kept");
    ledger.keep_summary(session, old[0].seq, "An older one.", false).await.expect("no step back");
    let history = ledger.history(session, 1000).await.expect("read");
    assert_eq!((history.summary.as_deref(), history.summary_tainted), (Some("They greeted."), true));
    assert_eq!(history.messages.len(), 2);
    assert_eq!(ledger.history_old(session, 0, 1000).await.expect("read").len(), 2);
}

#[tokio::test]
async fn a_conversation_that_retention_emptied_remembers_what_is_said_afterwards() {
    let (_dir, ledger) = fresh();
    let (_, session) = answered(&*ledger, said(1, 1, "hello"), &["one", "two"]).await;
    let seqs: Vec<i64> = ledger.history(session, 1000).await.expect("read").messages.iter().map(|m| m.seq).collect();
    ledger.keep_summary(session, seqs[0], "They greeted.", true).await.expect("kept");
    ledger.prune(at(100)).await.expect("pruned");
    assert_eq!(remembered(&*ledger, session, 1000).await, (None, Vec::new(), false), "the summary goes too");
    let (_, same) = answered(&*ledger, said(200, 1, "hello again"), &["three"]).await;
    assert_eq!(same, session);
    let history = ledger.history(session, 1000).await.expect("read");
    assert_eq!((history.messages.len(), history.summary_tainted), (1, false));
    let last = history.messages[0].seq;
    ledger.keep_summary(session, last, "They met again.", false).await.expect("kept");
    assert_eq!(remembered(&*ledger, session, 1000).await.0.as_deref(), Some("They met again."));
}

#[tokio::test]
async fn rules_of_quiet_are_numbered_counted_and_end() {
    let (_dir, ledger) = fresh();
    let rule = |event: &str, until| MuteRule { event: Some(event.into()), until, ..MuteRule::default() };
    let first = ledger.mute(rule("push", None), "telegram:7001", at(0)).await.expect("kept");
    let second = ledger.mute(rule("star", Some(at(10))), "local admin", at(0)).await.expect("kept");
    let ids = async |now| {
        let rules = ledger.mutes(now).await.expect("read");
        rules.into_iter().map(|row| (row.id, row.made_by, row.matched)).collect::<Vec<_>>()
    };
    assert_eq!(ids(at(9)).await, [(first, "telegram:7001".into(), 0), (second, "local admin".into(), 0)]);
    assert_eq!(ids(at(10)).await.len(), 1, "it has ended");
    assert_eq!(ledger.unmute(first).await, Ok(true));
    assert_eq!(ledger.unmute(first).await, Ok(false));
    for n in 0..200 {
        ledger.mute(rule(&format!("e{n}"), None), "x", at(20)).await.expect("kept");
    }
    let one_more = ledger.mute(rule("more", None), "x", at(20)).await;
    assert!(matches!(&one_more, Err(LedgerError::Invalid(why)) if why.contains("200 rules")), "{one_more:?}");
}
