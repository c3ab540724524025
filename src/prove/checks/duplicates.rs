//! One delivery, sent many times at once and again later: one event, one run, one effect.

use std::time::Duration;

use tokio::task::JoinSet;

use super::Verdict;
use crate::domain::run::RunState;
use crate::prove::Context;
use crate::prove::kills::{Books, Harm};
use crate::prove::stand::{APPROVER, Receiver, Sender, Setup, Wanted, github};

/// Deliveries.
const DELIVERIES: u64 = 8;
/// How often each is sent at once.
const AT_ONCE: usize = 12;
/// How long runs may take.
const RUNS_WAIT_MAX: Duration = Duration::from_secs(40);
/// How often they are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) async fn check(context: &Context) -> Result<Verdict, String> {
    let receiver = Receiver::start(context.options.sabotage).await?;
    let workflow = format!(
        "name: once\ntrigger: webhook\non: {{ handler: github, events: [pull_request.opened] }}\nsteps:\n  - name: first\n    \
         tool: http_request\n    args: {{ method: POST, url: \"http://{}/{{{{ payload.number }}}}\", json: {{ a: 1 }} }}\n",
        receiver.address
    );
    let wanted = Wanted { workflows: vec![("once".into(), workflow)], loopback: true, ..Wanted::default() };
    let setup = Setup::write(&context.folder.join("duplicates"), &wanted, &context.secrets).await?;
    let agent = setup.up(&context.options.program).await?;
    let sender = Sender::new(context.secrets.clone())?;
    let mut sending = JoinSet::new();
    for number in 1..=DELIVERIES {
        for _ in 0..AT_ONCE {
            let (sender, to) = (sender.clone(), agent.webhooks);
            sending.spawn(async move {
                let delivery = github("github", &format!("delivery-{number}"), number, &format!("Twin {number}"));
                (number, sender.deliver(to, &delivery).await)
            });
        }
    }
    let mut faults = Vec::new();
    let mut answers = std::collections::BTreeMap::<u64, Vec<(String, String)>>::new();
    while let Some(sent) = sending.join_next().await {
        let (number, answer) = sent.map_err(|error| error.to_string())?;
        let answer = answer?.ok_or("an idle agent did not answer")?;
        answers.entry(number).or_default().push((answer.status, answer.id));
    }
    for (number, answers) in &answers {
        let accepted = answers.iter().filter(|(status, _)| status == "accepted").count();
        let duplicate = answers.iter().filter(|(status, _)| status == "duplicate").count();
        let one_id = answers.iter().all(|(_, id)| *id == answers[0].1);
        if (accepted, duplicate, one_id) != (1, AT_ONCE - 1, true) {
            faults.push(format!("delivery {number}: {accepted} accepted, {duplicate} duplicate, one id: {one_id}"));
        }
    }
    let books = rested(&setup).await?;
    let mut harm = Harm::default();
    for number in 1..=DELIVERIES {
        let events = books.events.get(&format!("delivery-{number}")).map_or(0, Vec::len);
        if events != 1 {
            faults.push(format!("delivery {number} became {events} events"));
        }
        harm.effect(&format!("the step of delivery {number}"), true, receiver.count(&format!("/{number}")));
    }
    if books.runs.len() as u64 != DELIVERIES || books.runs.iter().any(|run| run.state != RunState::Success) {
        faults.push(format!("{} runs of {DELIVERIES} events", books.runs.len()));
    }
    faults.extend(harm.faults);
    setup.telegram.messages(APPROVER).iter().for_each(|seen| context.secrets.said("a chat", seen.raw.clone()));
    agent.kill().await;
    let sent = DELIVERIES * AT_ONCE as u64;
    Ok(Verdict::of(
        format!(
            "{sent} requests of {DELIVERIES} deliveries at once: {} runs, {} effects",
            books.runs.len(),
            receiver.total()
        ),
        faults,
    ))
}

/// The books once every event has a run that has ended.
async fn rested(setup: &Setup) -> Result<Books, String> {
    let mut waited = Duration::ZERO;
    loop {
        let books = Books::read(&setup.ledger()).await?;
        let done = books.runs.iter().filter(|run| run.ended_at.is_some()).count();
        if done as u64 >= DELIVERIES || waited > RUNS_WAIT_MAX {
            return Ok(books);
        }
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    }
}
