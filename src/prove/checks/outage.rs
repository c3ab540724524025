//! Telegram refuses connections for a while, answers with errors, loses an answer, and asks to slow down.

use std::time::Duration;

use super::Verdict;
use crate::domain::notice::NoticeState;
use crate::prove::Context;
use crate::prove::kills::Books;
use crate::prove::stand::{Sender, Setup, Wanted, github};
use crate::prove::telegram::Fault;

/// How long nothing is reachable; the pauses between tries double meanwhile.
const OUTAGE: Duration = Duration::from_secs(5);
/// The same in a quick run.
const OUTAGE_QUICK: Duration = Duration::from_secs(1);
/// Seconds that a 429 asks to wait.
const RETRY_AFTER_S: u64 = 2;
/// How long the notices may take afterwards.
const TELL_WAIT_MAX: Duration = Duration::from_secs(60);
/// How often they are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The first of the chats: a bystander of the outage, one with errors, one that is slowed down.
const CHATS: [i64; 3] = [7201, 7202, 7203];
/// Events of each chat; few enough to be told alone.
const EVENTS: u64 = 4;
/// The same in a quick run.
const EVENTS_QUICK: u64 = 2;

pub(super) async fn check(context: &Context) -> Result<Verdict, String> {
    let mut wanted = Wanted::default();
    for (at, chat) in CHATS.iter().enumerate() {
        let secret = crate::prove::stand::SECRET;
        wanted.handlers.push((format!("h{at}"), format!("provider: github, secret: {secret}, notify: c{at}")));
        wanted.chats.push((format!("c{at}"), *chat));
    }
    let setup = Setup::write(&context.folder.join("outage"), &wanted, &context.secrets).await?;
    let agent = setup.up(&context.options.program).await?;
    let sender = Sender::new(context.secrets.clone())?;
    let mut faults = Vec::new();
    let events = if context.options.quick { EVENTS_QUICK } else { EVENTS };
    setup.telegram.go_down().await;
    for event in 0..events {
        for (at, _) in CHATS.iter().enumerate() {
            let number = event * CHATS.len() as u64 + at as u64;
            let delivery = github(&format!("h{at}"), &format!("d-{number}"), number, &format!("Late {number:03}"));
            if sender.deliver(agent.webhooks, &delivery).await?.is_none() {
                faults.push(format!("event {number} is not taken while Telegram is away"));
            }
        }
    }
    tokio::time::sleep(if context.options.quick { OUTAGE_QUICK } else { OUTAGE }).await;
    // The first calls that get through fail: an error, an answer that is lost, and the wish to slow down.
    if !context.options.quick {
        // The library that speaks to Telegram rests ten seconds after one.
        setup.telegram.fault_on("sendmessage", Fault::ServerError(502));
    }
    setup.telegram.fault_on("sendmessage", Fault::DropAfterAccept);
    setup.telegram.fault_on("sendmessage", Fault::RetryAfter(RETRY_AFTER_S));
    // From now on Telegram refuses what comes faster than a message a second and chat.
    setup.telegram.enforce_rates();
    setup.telegram.come_back().await;
    let all = events * CHATS.len() as u64;
    let told = || (0..all).map(|number| (number, times(&setup, number))).collect::<Vec<_>>();
    let mut waited = Duration::ZERO;
    while told().iter().any(|(_, times)| *times == 0) && waited < TELL_WAIT_MAX {
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    }
    // What was told is recorded a moment later.
    tokio::time::sleep(LOOK_EVERY * 5).await;
    let books = Books::read(&setup.ledger()).await?;
    let mut maybe_sent = 0;
    for (number, times) in told() {
        let rows = books.events.get(&format!("d-{number}")).map_or(&[][..], Vec::as_slice);
        let maybe = rows.iter().flat_map(|row| &row.notices).any(|notice| notice.state == NoticeState::MaybeSent);
        maybe_sent += u32::from(maybe);
        match times {
            0 => faults.push(format!("event {number} was never told")),
            1 => {}
            _ if maybe => {}
            _ => faults.push(format!("event {number} was told {times} times and is not marked so")),
        }
    }
    faults.extend(out_of_order(&setup));
    faults.extend(setup.telegram.too_early());
    faults.extend(setup.telegram.left_over().into_iter().filter(|left| left.starts_with("a fault")));
    let bad_gateway = if context.options.quick { "" } else { ", a 502" };
    agent.kill().await;
    Ok(Verdict::of(
        format!(
            "{all} notices through an outage{bad_gateway}, a lost answer and a 429; {maybe_sent} marked maybe_sent"
        ),
        faults,
    ))
}

fn times(setup: &Setup, number: u64) -> usize {
    let words = format!("Late {number:03}");
    CHATS.iter().flat_map(|chat| setup.telegram.messages(*chat)).filter(|seen| seen.text.contains(&words)).count()
}

/// Notices of one chat that came in another order than their events.
fn out_of_order(setup: &Setup) -> Vec<String> {
    let mut faults = Vec::new();
    for chat in CHATS {
        let numbers = setup.telegram.messages(chat).into_iter().filter_map(|seen| {
            seen.text.split("Late ").nth(1).and_then(|rest| rest.get(..3)).and_then(|digits| digits.parse().ok())
        });
        let numbers: Vec<u64> = numbers.collect();
        if !numbers.is_sorted() {
            faults.push(format!("chat {chat} was told in the order {numbers:?}"));
        }
    }
    faults
}
