//! One event's whole life: sent until acknowledged, told, a step outside, a step behind a gate, a step that can be verified, a
//! hook, told again. Its agent is killed once on the way, or twice; another one takes over on the same folder.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::areas;
use super::books::{Books, Harm};
use crate::domain::notice::NoticeState;
use crate::domain::run::{RunState, StepState};
use crate::ledger::sqlite::AbortPoint;
use crate::prove::Context;
use crate::prove::stand::{
    APPROVER, Acknowledged, AgentProcess, Delivery, Person, Receiver, Sender, Setup, Started, Truth, Wanted,
    aborted_at, github,
};

/// From a start until the life must be at its end.
const LIFE_WAIT_MAX: Duration = Duration::from_secs(60);
/// How often everybody looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The steps of the workflow.
const STEPS: [&str; 4] = ["first", "gated", "verified", "hooked"];

/// What one life came to.
#[derive(Debug)]
pub(super) struct Lived {
    /// The kills that came before the life was at its end.
    pub(super) kills: Vec<Kill>,
    pub(super) harm: Harm,
}

/// One kill: the area, and the commit's name with its side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kill {
    pub(super) area: &'static str,
    pub(super) boundary: String,
}

struct Life {
    name: String,
    setup: Setup,
    receiver: Arc<Receiver>,
    sender: Sender,
    delivery: Delivery,
    acknowledged: Option<Acknowledged>,
    person: Person,
    /// Answers that no sender should get.
    wrong: Vec<String>,
}

impl Truth for Life {
    fn happened(&self, step: &str) -> bool {
        self.effects(step) > 0
    }
}

/// Lives it, with a kill at each of `points`, one process after the other; the last one is left alone.
pub(super) async fn live(
    context: &Context,
    name: &str,
    receiver: Arc<Receiver>,
    points: &[AbortPoint],
) -> Result<Lived, String> {
    let program = context.options.program.as_path();
    let mut life = Life::new(context, name, receiver).await?;
    let mut kills = Vec::new();
    for point in points {
        if !life.until_killed(program, *point).await? {
            break;
        }
        let (area, write) = areas::of(&aborted_at(&life.setup.folder));
        let side = if matches!(point, AbortPoint::Before(_)) { "before" } else { "after" };
        kills.push(Kill { area, boundary: format!("{side} {write}") });
    }
    let harm = life.take_over(program).await?;
    life.setup.telegram.messages(APPROVER).iter().for_each(|seen| context.secrets.said("a chat", seen.raw.clone()));
    // Many lives would fill the disk; what was wrong stays to be looked at, and those of one kill to be searched for secrets.
    if harm.faults.is_empty() && (points.len() > 1 || context.options.quick) && !context.options.keep {
        let _left = std::fs::remove_dir_all(&life.setup.folder);
    }
    Ok(Lived { kills, harm })
}

impl Life {
    async fn new(context: &Context, name: &str, receiver: Arc<Receiver>) -> Result<Self, String> {
        let url = format!("http://{}/{name}", receiver.address);
        let workflow = format!(
            "name: life\ntrigger: webhook\non: {{ handler: github, events: [pull_request.opened] }}\nsteps:\n  \
             - {{ name: first, tool: http_request, args: {{ method: POST, url: \"{url}/first\", json: {{ a: 1 }} }} }}\n  \
             - {{ name: gated, tool: shell_exec, requires_approval: true, args: {{ command: \"echo gated >> gated.log\" }} }}\n  \
             - {{ name: verified, tool: shell_exec, args: {{ command: \"echo verified >> verified.log\" }}, verify: {{ argv: [test, -e, verified.log] }} }}\n  \
             - {{ name: hooked, tool: hook, args: {{ url: \"{url}/hooked\", json: {{ a: 1 }} }} }}\n"
        );
        let wanted = Wanted { workflows: vec![("life".to_owned(), workflow)], loopback: true, ..Wanted::default() };
        let setup = Setup::write(&context.folder.join(name), &wanted, &context.secrets).await?;
        Ok(Self {
            name: name.to_owned(),
            setup,
            receiver,
            sender: Sender::new(context.secrets.clone())?,
            delivery: github("github", "delivery-1", 1, "Case 00001"),
            acknowledged: None,
            person: Person::default(),
            wrong: Vec::new(),
        })
    }

    /// How often a step's effect is there.
    fn effects(&self, step: &str) -> usize {
        match step {
            "gated" | "verified" => {
                let lines = std::fs::read_to_string(self.setup.folder.join(format!("data/files/{step}.log")));
                lines.map_or(0, |text| text.lines().count())
            }
            _ => self.receiver.count(&format!("/{}/{step}", self.name)),
        }
    }

    fn told(&self, text: &str) -> usize {
        self.setup.telegram.messages(APPROVER).iter().filter(|message| message.text.contains(text)).count()
    }

    /// Plays everybody until the life is at its end (true) or the agent is.
    async fn go_on(&mut self, agent: &mut AgentProcess) -> Result<bool, String> {
        let begun = Instant::now();
        loop {
            if self.acknowledged.is_none() {
                match self.sender.deliver(agent.webhooks, &self.delivery).await {
                    Ok(answer) => self.acknowledged = answer,
                    Err(wrong) => {
                        self.wrong.push(wrong);
                        return Ok(true);
                    }
                }
            }
            let mut person = std::mem::take(&mut self.person);
            person.look(&self.setup.telegram, &STEPS, self);
            self.person = person;
            // Before the agent is looked at: what it has told it has told, whether it is alive or not.
            if self.told("triggered workflow") > 0 && self.told("Case 00001") > 0 {
                return Ok(true);
            }
            if agent.has_ended() {
                return Ok(false);
            }
            if begun.elapsed() > LIFE_WAIT_MAX {
                return Ok(true);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// One process of this life, which ends itself at `point`; false where it came to the life's end before.
    async fn until_killed(&mut self, program: &Path, point: AbortPoint) -> Result<bool, String> {
        match AgentProcess::start(program, &self.setup.folder, Some(point)).await? {
            Started::Ended(_) => Ok(true),
            Started::Up(mut agent) => {
                let ended = self.go_on(&mut agent).await?;
                agent.kill().await;
                Ok(!ended)
            }
        }
    }

    /// A last agent on the same folder brings the life to its end.
    async fn take_over(&mut self, program: &Path) -> Result<Harm, String> {
        let mut agent = AgentProcess::up(program, &self.setup.folder).await?;
        if !self.go_on(&mut agent).await? {
            return Err("the agent that took over ended by itself".into());
        }
        let again = self.sender.deliver(agent.webhooks, &self.delivery).await?;
        let books = Books::read(&self.setup.ledger()).await?;
        agent.kill().await;
        Ok(self.judge(&books, again.as_ref()))
    }

    fn judge(&self, books: &Books, again: Option<&Acknowledged>) -> Harm {
        let mut harm = Harm { faults: self.wrong.clone(), ..Harm::default() };
        harm.lost += u32::from(!self.wrong.is_empty());
        self.judge_event(books, again, &mut harm);
        match books.runs.as_slice() {
            [] => harm.lost("the event's run"),
            [run] => {
                let state = |name: &str| run.steps.iter().find(|step| step.name == name).map(|step| step.state);
                for step in STEPS {
                    // A hook may be sent again under its id; the receiver knows it by that.
                    let seen = match step {
                        "hooked" => self.receiver.ids(&format!("/{}/hooked", self.name)),
                        _ => self.effects(step),
                    };
                    harm.effect(&format!("step {step}"), state(step) == Some(StepState::Success), seen);
                }
                if run.state != RunState::Success {
                    harm.lost(format!("the run did not come to its end: it is {} ({:?})", run.state, run.reason));
                }
            }
            many => harm.doubled(format!("{} runs of one event", many.len())),
        }
        if self.told("triggered workflow") == 0 {
            harm.lost("the outcome was never told");
        }
        harm.in_doubt += u32::try_from(self.person.settled.len()).unwrap_or(u32::MAX);
        harm
    }

    fn judge_event(&self, books: &Books, again: Option<&Acknowledged>, harm: &mut Harm) {
        let rows = books.events.get("delivery-1").map_or(&[][..], Vec::as_slice);
        let Some(first) = &self.acknowledged else { return harm.lost("the delivery was never acknowledged") };
        match rows {
            [] => return harm.lost(format!("{} was acknowledged and is not there", first.id)),
            [_] => {}
            many => return harm.doubled(format!("one delivery became {} events", many.len())),
        }
        match again {
            Some(answer) if answer.status == "duplicate" && answer.id == first.id => {}
            other => harm.doubled(format!("a redelivery of {} was answered {other:?}", first.id)),
        }
        let maybe = rows[0].notices.iter().filter(|notice| notice.state == NoticeState::MaybeSent).count();
        harm.maybe_sent += u32::try_from(maybe).unwrap_or(u32::MAX);
        match self.told("Case 00001") {
            0 => harm.lost("the event was never told"),
            1 => {}
            // Cards name their event too.
            _ => {
                let notices = self.setup.telegram.messages(APPROVER);
                let own =
                    notices.iter().filter(|seen| seen.text.contains("Case 00001") && !seen.text.contains("step "));
                let own = own.count();
                if own > 1 && maybe == 0 {
                    harm.doubled(format!("the event was told {own} times"));
                }
            }
        }
    }
}
