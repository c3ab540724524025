//! Kills at random times while events come in and steps run: many on one folder, then everything must be there, once, and told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::Killed;
use super::books::{Books, Harm};
use super::dice::Dice;
use crate::app::data_dir::Presence;
use crate::domain::notice::NoticeState;
use crate::domain::run::{RunState, StepState};
use crate::ledger::EventRow;
use crate::prove::Context;
use crate::prove::stand::{Acknowledged, AgentProcess, Receiver, Sender, Setup, Wanted, github};

/// Folders that stay until the end, to be searched for secrets.
const FOLDERS_KEPT: u64 = 2;
/// Kills of one folder.
const KILLS_PER_FOLDER: u32 = 25;
/// Chats that the events of one folder are told in, so that their pace does not hold up the end.
const CHATS: u64 = 4;
/// Whoever sends side by side.
const SENDERS: u64 = 3;
/// Of so many events one starts a run.
const RUN_EVERY: u64 = 4;
/// Longest time from when a process listens to its kill.
const KILL_WITHIN_MS: u64 = 350;
/// One of so many is killed while it starts.
const EARLY_EVERY: u64 = 6;
/// From the start of a process until it must listen.
const LISTEN_WAIT_MAX: Duration = Duration::from_secs(60);
/// Longest pause of a sender.
const PAUSE_MS: u64 = 60;
/// From the last start until everything must be told and every run at rest.
const REST_WAIT_MAX: Duration = Duration::from_secs(120);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The first of the chats.
const FIRST_CHAT: i64 = 7100;

/// Kills at least `kills` times, on as many folders as that takes, as many side by side as there are processors.
pub(in crate::prove) async fn storms(context: &Context, kills: u32) -> Result<Killed, String> {
    let mut killed = Killed::default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let receiver = Arc::new(Receiver::start(context.options.sabotage).await?);
    let mut left = kills;
    let mut number = 0_u64;
    let mut running = JoinSet::new();
    while left > 0 || !running.is_empty() {
        if left > 0 && running.len() < cores {
            let here = left.min(KILLS_PER_FOLDER);
            left -= here;
            number += 1;
            let (context, receiver) = (context.clone(), Arc::clone(&receiver));
            running.spawn(async move {
                let storm = Storm::new(&context, number, receiver).await?;
                Ok::<_, String>((here, storm.rage(&context, here).await?))
            });
            continue;
        }
        let Some(ended) = running.join_next().await else { continue };
        let (here, harm) = ended.map_err(|error| error.to_string())??;
        killed.add("any", "at a random time under load", here, harm);
        context.progress(format!(
            "kills at random times: {} of {kills}",
            killed.rows.iter().map(|r| r.kills).sum::<u32>()
        ));
    }
    Ok(killed)
}

struct Storm {
    number: u64,
    name: String,
    setup: Setup,
    receiver: Arc<Receiver>,
    sender: Sender,
    dice: Dice,
    next: u64,
    acknowledged: Arc<Mutex<BTreeMap<u64, Acknowledged>>>,
    wrong: Arc<Mutex<Vec<String>>>,
}

/// The handler that event `number` goes to: those of `runs` start one.
fn handler(number: u64) -> String {
    if number.is_multiple_of(RUN_EVERY) { "runs".to_owned() } else { format!("h{}", number % CHATS) }
}

fn title(number: u64) -> String {
    format!("Case {number:06}")
}

impl Storm {
    async fn new(context: &Context, number: u64, receiver: Arc<Receiver>) -> Result<Self, String> {
        let name = format!("storm-{number}");
        let secret = crate::prove::stand::SECRET;
        let mut wanted = Wanted { loopback: true, ..Wanted::default() };
        for at in 0..CHATS {
            let chat = format!("c{at}");
            wanted.handlers.push((format!("h{at}"), format!("provider: github, secret: {secret}, notify: {chat}")));
            wanted.chats.push((chat, FIRST_CHAT + i64::try_from(at).unwrap_or(0)));
        }
        wanted.handlers.push(("runs".to_owned(), format!("provider: github, secret: {secret}")));
        let workflow = format!(
            "name: once\ntrigger: webhook\non: {{ handler: runs, events: [pull_request.opened] }}\nsteps:\n  - name: first\n    \
             tool: http_request\n    args: {{ method: POST, url: \"http://{}/{name}/{{{{ payload.number }}}}\", json: {{ a: 1 }} }}\n",
            receiver.address
        );
        wanted.workflows.push(("once".to_owned(), workflow));
        let setup = Setup::write(&context.folder.join(&name), &wanted, &context.secrets).await?;
        Ok(Self {
            number,
            name,
            setup,
            receiver,
            sender: Sender::new(context.secrets.clone())?,
            dice: Dice::new(context.seed ^ number),
            next: 1,
            acknowledged: Arc::default(),
            wrong: Arc::default(),
        })
    }

    async fn rage(mut self, context: &Context, kills: u32) -> Result<Harm, String> {
        let program = context.options.program.as_path();
        for _ in 0..kills {
            let within = Duration::from_millis(self.dice.roll(KILL_WITHIN_MS));
            let mut child = AgentProcess::spawn(program, &self.setup.folder, None)?;
            if self.dice.roll(EARLY_EVERY) == 0 {
                tokio::time::sleep(within).await;
                child.kill().await.map_err(|error| error.to_string())?;
                continue;
            }
            let address = listening(&self.setup.folder).await?;
            let sending = self.send_to(address);
            tokio::time::sleep(within).await;
            child.kill().await.map_err(|error| error.to_string())?;
            self.next = sending.await.map_err(|error| error.to_string())?;
        }
        let agent = AgentProcess::up(program, &self.setup.folder).await?;
        let mut harm = Harm::default();
        let wrong = std::mem::take(&mut *self.wrong.lock().await);
        wrong.into_iter().for_each(|wrong| harm.lost(wrong));
        self.rest(&mut harm).await?;
        let books = Books::read(&self.setup.ledger()).await?;
        agent.kill().await;
        self.judge(&books, &mut harm).await;
        if self.acknowledged.lock().await.is_empty() {
            harm.lost(format!("{}: nothing was acknowledged, so nothing is proven", self.name));
        }
        for chat in 0..i64::try_from(CHATS).unwrap_or(0) {
            let messages = self.setup.telegram.messages(FIRST_CHAT + chat);
            messages.iter().for_each(|seen| context.secrets.said("a chat", seen.raw.clone()));
        }
        if harm.faults.is_empty() && self.number > FOLDERS_KEPT && !context.options.keep {
            let _left = std::fs::remove_dir_all(&self.setup.folder);
        }
        Ok(harm)
    }

    /// Sends what nobody sent before, by several at once, until nobody answers; gives the next free number.
    fn send_to(&mut self, address: SocketAddr) -> tokio::task::JoinHandle<u64> {
        let sender = self.sender.clone();
        let (acknowledged, wrong) = (Arc::clone(&self.acknowledged), Arc::clone(&self.wrong));
        let first = self.next;
        let seed = self.dice.roll(u64::MAX);
        tokio::spawn(async move {
            let mut senders = JoinSet::new();
            for at in 0..SENDERS {
                let (sender, acknowledged, wrong) = (sender.clone(), Arc::clone(&acknowledged), Arc::clone(&wrong));
                let mut dice = Dice::new(seed ^ at);
                senders.spawn(async move {
                    let mut number = first + at;
                    loop {
                        let delivery = github(&handler(number), &format!("delivery-{number}"), number, &title(number));
                        match sender.deliver(address, &delivery).await {
                            Ok(Some(answer)) => {
                                acknowledged.lock().await.insert(number, answer);
                            }
                            Ok(None) => return number + SENDERS,
                            Err(answer) => {
                                wrong.lock().await.push(answer);
                                return number + SENDERS;
                            }
                        }
                        number += SENDERS;
                        tokio::time::sleep(Duration::from_millis(dice.roll(PAUSE_MS))).await;
                    }
                });
            }
            let mut next = first;
            while let Some(Ok(reached)) = senders.join_next().await {
                next = next.max(reached);
            }
            // All of them begin behind the one that came farthest.
            next.next_multiple_of(SENDERS)
        })
    }

    /// How often each number was told.
    fn told(&self) -> BTreeMap<u64, usize> {
        let mut told = BTreeMap::new();
        for chat in 0..i64::try_from(CHATS).unwrap_or(0) {
            for message in self.setup.telegram.messages(FIRST_CHAT + chat) {
                for rest in message.text.split("Case ").skip(1) {
                    if let Some(number) = rest.get(..6).and_then(|digits| digits.parse().ok()) {
                        *told.entry(number).or_default() += 1;
                    }
                }
            }
        }
        told
    }

    /// Waits until what was acknowledged is told and no run is on its way.
    async fn rest(&self, harm: &mut Harm) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let told = self.told();
            let acknowledged = self.acknowledged.lock().await;
            let untold: Vec<u64> = acknowledged
                .keys()
                .filter(|number| handler(**number) != "runs" && !told.contains_key(number))
                .copied()
                .collect();
            drop(acknowledged);
            let resting = if untold.is_empty() {
                let books = Books::read(&self.setup.ledger()).await?;
                at_rest(&books)
            } else {
                false
            };
            if resting {
                return Ok(());
            }
            if begun.elapsed() > REST_WAIT_MAX {
                for number in untold {
                    harm.lost(format!("{}: event {number} was never told", self.name));
                }
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn judge(&self, books: &Books, harm: &mut Harm) {
        let told = self.told();
        for (number, answer) in self.acknowledged.lock().await.iter() {
            match books.events.get(&format!("delivery-{number}")).map(Vec::as_slice) {
                None | Some([]) => harm.lost(format!("{}: event {number} was acknowledged and is gone", self.name)),
                Some([row]) if row.id.to_string() == answer.id => {
                    let maybe = row.notices.iter().any(|notice| notice.state == NoticeState::MaybeSent);
                    harm.maybe_sent += u32::from(maybe);
                    let times = told.get(number).copied().unwrap_or_default();
                    if times > 1 && !maybe {
                        harm.doubled(format!("{}: event {number} was told {times} times", self.name));
                    }
                }
                Some([row]) => harm.lost(format!("{}: event {number} is {} and was {}", self.name, row.id, answer.id)),
                Some(many) => harm.doubled(format!("{}: event {number} is there {} times", self.name, many.len())),
            }
        }
        for (delivery, rows) in &books.events {
            if rows.len() > 1 {
                harm.doubled(format!("{}: {delivery} became {} events", self.name, rows.len()));
            }
            let runs = books.runs.iter().filter(|run| rows.iter().any(|row| run.event_id == Some(row.id)));
            let runs: Vec<_> = runs.collect();
            if runs.len() > 1 {
                harm.doubled(format!("{}: {delivery} has {} runs", self.name, runs.len()));
            }
            let Some(number) = delivery.strip_prefix("delivery-") else { continue };
            let step = runs.first().and_then(|run| run.steps.first());
            let seen = self.receiver.count(&format!("/{}/{number}", self.name));
            let state = step.map(|step| step.state);
            harm.effect(&format!("{}: the step of {delivery}", self.name), state == Some(StepState::Success), seen);
            harm.in_doubt += u32::from(state == Some(StepState::InDoubt));
            let wants_run = number.parse::<u64>().is_ok_and(|number| handler(number) == "runs");
            if wants_run && !matches!(state, Some(StepState::Success | StepState::InDoubt)) {
                harm.lost(format!("{}: the step of {delivery} is {state:?}", self.name));
            }
        }
    }
}

/// Whether every event that wants a run has one, and no run is on its way.
fn at_rest(books: &Books) -> bool {
    let has_run = |row: &EventRow| books.runs.iter().any(|run| run.event_id == Some(row.id));
    let wants_run = |row: &&EventRow| row.handler.as_deref() == Some("runs");
    books.events.values().flatten().filter(wants_run).all(has_run)
        && books.runs.iter().all(|run| run.ended_at.is_some() || run.state == RunState::InDoubt)
}

/// Where the agent of `folder` says that it listens, once it does.
async fn listening(folder: &Path) -> Result<SocketAddr, String> {
    let begun = Instant::now();
    while begun.elapsed() < LISTEN_WAIT_MAX {
        let noted = std::fs::read(folder.join("data/agent.json")).ok();
        let presence: Option<Presence> = noted.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let url = presence.and_then(|presence| presence.webhooks);
        if let Some(address) = url.and_then(|url| url.strip_prefix("http://")?.parse().ok()) {
            return Ok(address);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Err("the agent does not start".into())
}
