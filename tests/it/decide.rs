//! Who decides, how often, and what late, double and foreign words are told (P6).

use std::sync::Arc;

use hookhand::domain::approval::{ApprovalState, Vote};
use hookhand::domain::run::RunState;
use hookhand::ledger::RunLedger;
use hookhand::ledger::runs::DecideOutcome;
use hookhand::workflow::engine::{Decider, Decision};

use crate::runs::world::{BOSS, ONCALL, STRANGER, World, assert_state, nothing, steps};

/// A run that waits at a gate `from: [oncall]` with so many votes.
async fn waiting(votes: u32) -> (World, hookhand::ledger::runs::RunRow, hookhand::ledger::runs::ApprovalRow) {
    let world = World::new();
    let text = steps(&format!(
        "  - {{ name: deploy, tool: probe, requires_approval: {{ from: [oncall], votes: {votes} }} }}\n"
    ));
    let row = world.run(&text, nothing()).await;
    assert_state(&row, RunState::Waiting);
    let approval = world.pending(row.id).await;
    (world, row, approval)
}

const ANN: Decider = Decider::Telegram(ONCALL[0]);
const BOB: Decider = Decider::Telegram(ONCALL[1]);

#[tokio::test]
async fn a_bystander_and_an_allowed_user_outside_of_the_group_change_nothing() {
    let (world, row, approval) = waiting(1).await;
    for foreigner in [STRANGER, BOSS] {
        for verdict in [Vote::Approve, Vote::Deny] {
            let outcome = world.decide(approval.id, Decider::Telegram(foreigner), verdict).await;
            assert_eq!(outcome, DecideOutcome::NotApprover { approvers: vec!["oncall".into()] });
        }
    }
    assert_eq!(world.pending(row.id).await, approval);
    assert!(world.probe.steps().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_approvers_in_the_same_instant_have_one_effect() {
    for _ in 0..20 {
        let (world, row, approval) = waiting(1).await;
        let world = Arc::new(world);
        let taps = [ANN, BOB].map(|who| {
            let world = world.clone();
            tokio::spawn(async move { world.decide(approval.id, who, Vote::Approve).await })
        });
        let mut decided = 0;
        for tap in taps {
            match tap.await.expect("no panic") {
                DecideOutcome::Decided { .. } => decided += 1,
                DecideOutcome::AlreadyDecided { state, by, channel, .. } => {
                    assert_eq!((state, channel.as_str()), (ApprovalState::Approved, "telegram"));
                    assert!(by.starts_with("telegram:700"), "{by}");
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(decided, 1);
        assert_state(&world.rest_ended(row.id).await, RunState::Success);
        assert_eq!(world.probe.count("deploy"), 1);
    }
}

#[tokio::test]
async fn two_votes_are_two_people_and_the_first_no_ends_it() {
    let (world, row, approval) = waiting(2).await;
    let first = world.decide(approval.id, ANN, Vote::Approve).await;
    assert_eq!(first, DecideOutcome::VoteCounted { votes: 1, needed: 2 });
    let again = world.decide(approval.id, ANN, Vote::Approve).await;
    assert!(matches!(again, DecideOutcome::AlreadyVoted { .. }), "{again:?}");
    assert!(world.probe.steps().is_empty());
    let second = world.decide(approval.id, Decider::LocalAdmin, Vote::Approve).await;
    assert!(matches!(second, DecideOutcome::Decided { .. }), "{second:?}");
    assert_state(&world.rest_ended(row.id).await, RunState::Success);
    let voters: Vec<String> =
        world.approvals(row.id).await[0].decisions.iter().map(|vote| format!("{} {}", vote.by, vote.channel)).collect();
    assert_eq!(voters, ["local admin cli", "telegram:7001 telegram"]);

    let (world, row, approval) = waiting(2).await;
    world.decide(approval.id, ANN, Vote::Approve).await;
    // Whoever said yes may still say no.
    let no = world.decide(approval.id, ANN, Vote::Deny).await;
    assert!(matches!(no, DecideOutcome::Decided { .. }), "{no:?}");
    assert_state(&world.rest_ended(row.id).await, RunState::Denied);
    let late = world.decide(approval.id, BOB, Vote::Approve).await;
    assert!(matches!(late, DecideOutcome::AlreadyDecided { state: ApprovalState::Denied, .. }), "{late:?}");
    assert!(world.probe.steps().is_empty());
}

#[tokio::test]
async fn a_gate_that_names_nobody_is_for_allowed_users() {
    let world = World::new();
    let row = world.run(&steps("  - { name: deploy, tool: probe, requires_approval: true }\n"), nothing()).await;
    let approval = world.pending(row.id).await;
    let foreign = world.decide(approval.id, Decider::Telegram(STRANGER), Vote::Approve).await;
    assert_eq!(foreign, DecideOutcome::NotApprover { approvers: Vec::new() });
    let boss = world.decide(approval.id, Decider::Telegram(BOSS), Vote::Approve).await;
    assert!(matches!(boss, DecideOutcome::Decided { .. }), "{boss:?}");
    assert_state(&world.rest_ended(row.id).await, RunState::Success);
}

#[tokio::test]
async fn a_button_works_for_its_own_question_until_that_is_decided() {
    let (world, row, approval) = waiting(1).await;
    let nonces = world.engine.nonces(approval.id, &["approve", "deny"]).await.expect("made");
    let tap = |nonce: &str, verdict| {
        world.engine.decide(Decision {
            approval: approval.id,
            by: ANN,
            channel: "telegram".into(),
            verdict,
            reason: None,
            nonce: Some(nonce.into()),
        })
    };
    assert_eq!(tap("made up", Vote::Approve).await, Ok(DecideOutcome::StaleButton));
    assert_eq!(tap(&nonces[1], Vote::Approve).await, Ok(DecideOutcome::StaleButton), "a button for something else");
    let known = world.engine.nonce(&nonces[0]).await.expect("read").expect("known");
    assert_eq!((known.approval, known.purpose.as_str(), known.used), (approval.id, "approve", false));
    assert!(matches!(tap(&nonces[0], Vote::Approve).await, Ok(DecideOutcome::Decided { .. })));
    assert!(matches!(tap(&nonces[0], Vote::Approve).await, Ok(DecideOutcome::AlreadyDecided { .. })));
    assert!(world.engine.nonce(&nonces[1]).await.expect("read").expect("known").used);
    assert_state(&world.rest_ended(row.id).await, RunState::Success);
    // Only hashes are kept.
    let kept = hookhand::ledger::Ledger::query(&*world.ledger, "SELECT hex(hash) FROM approval_nonces", 10).await;
    let kept = format!("{:?}", kept.expect("read").rows).to_lowercase();
    assert!(nonces.iter().all(|nonce| !kept.contains(nonce)), "{kept}");
}

#[tokio::test]
async fn cards_are_due_when_something_they_show_changed() {
    let (world, _, approval) = waiting(2).await;
    let due = world.ledger.cards_due(10).await.expect("read");
    assert_eq!((due.len(), due[0].approval.id, due[0].places.len()), (1, approval.id, 0));
    let chat = hookhand::domain::notice::ChatKey::telegram(5, None);
    let place = hookhand::ledger::runs::CardPlace { chat: chat.clone(), message_id: Some(77) };
    world.ledger.card_shown(approval.id, due[0].version, Some(place.clone()), world.now()).await.expect("kept");
    assert!(world.ledger.cards_due(10).await.expect("read").is_empty());
    assert_eq!(world.ledger.card_at(&chat, 77).await, Ok(Some(approval.id)));
    world.decide(approval.id, ANN, Vote::Approve).await;
    let due = world.ledger.cards_due(10).await.expect("read");
    assert_eq!((due[0].places.clone(), due[0].approval.decisions.len(), due[0].anew), (vec![place], 1, false));
    world.ledger.card_shown(approval.id, due[0].version, None, world.now()).await.expect("kept");
    // After a long outage it is sent anew.
    let later = world.now() + std::time::Duration::from_secs(1);
    assert_eq!(world.ledger.resend_cards(later).await, Ok(1));
    assert!(world.ledger.cards_due(10).await.expect("read")[0].anew);
}

#[tokio::test]
async fn a_decided_card_is_due_before_questions_that_were_put_earlier() {
    let (world, _, older) = waiting(2).await;
    let text = steps("  - { name: second, tool: probe, requires_approval: { from: [oncall] } }\n");
    let row = world.run(&text, nothing()).await;
    let newer = world.pending(row.id).await;
    let first = |due: Vec<hookhand::ledger::runs::CardDue>| due[0].approval.id;
    assert_eq!(first(world.ledger.cards_due(1).await.expect("read")), older.id);
    world.approve(newer.id).await;
    assert_eq!(first(world.ledger.cards_due(1).await.expect("read")), newer.id);
}
