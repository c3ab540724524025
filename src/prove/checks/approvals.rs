//! Who decides, how often, and what then runs: a bystander, two taps at once, a denial, a cancellation, a script that changed, an expiry, and a
//! decision after a kill.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::Verdict;
use crate::prove::Context;
use crate::prove::stand::{APPROVER, AgentProcess, Delivery, STRANGER, Sender, Setup, Wanted};
use crate::prove::telegram::SeenMessage;

/// A second approver.
const SECOND: i64 = 7301;
/// How long anything may take.
const WAIT_MAX: Duration = Duration::from_secs(40);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// For what must not happen.
const NOTHING_HAPPENS: Duration = Duration::from_millis(600);

struct Court {
    setup: Setup,
    agent: AgentProcess,
    sender: Sender,
    faults: Vec<String>,
}

pub(super) async fn check(context: &Context) -> Result<Verdict, String> {
    // A chat takes a message a second, so two agents with a chat each are done in half of the time.
    let (first, second) = tokio::join!(of_people(context), of_actions(context));
    let mut faults = first?;
    faults.extend(second?);
    let seen = "a bystander, two taps at once, a denial, a cancellation, a changed script, an expiry, a kill before the decision";
    Ok(Verdict::of(seen, faults))
}

/// Who decides.
async fn of_people(context: &Context) -> Result<Vec<String>, String> {
    let mut court = Court::convene(context, "approvals-people", &["bystander", "twice", "denied"]).await?;
    court.bystander().await?;
    court.twice().await?;
    court.denied().await?;
    Ok(court.close(context).await)
}

/// What then runs.
async fn of_actions(context: &Context) -> Result<Vec<String>, String> {
    let names = ["cancelled", "changed", "expires", "killed"];
    let mut court = Court::convene(context, "approvals-actions", &names).await?;
    court.cancelled().await?;
    court.changed().await?;
    court.expires().await?;
    court.killed(context).await?;
    Ok(court.close(context).await)
}

fn workflow(name: &str) -> String {
    let gate = if name == "expires" { "{ expires: 2s }" } else { "true" };
    let args = match name {
        "changed" => "argv: [\"./deploy.sh\"]".to_owned(),
        _ => format!("command: \"echo ran >> {name}.log\""),
    };
    format!(
        "name: {name}\ntrigger: webhook\nsteps:\n  - {{ name: act, tool: shell_exec, requires_approval: {gate}, args: {{ {args} }} }}\n  \
         - {{ name: after, tool: shell_exec, args: {{ command: \"echo after >> {name}-after.log\" }} }}\n"
    )
}

impl Court {
    async fn convene(context: &Context, folder: &str, names: &[&str]) -> Result<Self, String> {
        let workflows = names.iter().map(|name| ((*name).to_owned(), workflow(name))).collect();
        let wanted = Wanted { workflows, chats: vec![("second".into(), SECOND)], ..Wanted::default() };
        let setup = Setup::write(&context.folder.join(folder), &wanted, &context.secrets).await?;
        let agent = setup.up(&context.options.program).await?;
        Ok(Self { setup, agent, sender: Sender::new(context.secrets.clone())?, faults: Vec::new() })
    }

    /// What was not as promised.
    async fn close(self, context: &Context) -> Vec<String> {
        for chat in [APPROVER, SECOND] {
            self.setup.telegram.messages(chat).iter().for_each(|seen| context.secrets.said("a chat", seen.raw.clone()));
        }
        self.agent.kill().await;
        self.faults
    }

    fn expect(&mut self, holds: bool, what: impl Into<String>) {
        if !holds {
            self.faults.push(what.into());
        }
    }

    /// Starts the workflow; its run and its card.
    async fn ask(&self, name: &str) -> Result<(String, SeenMessage), String> {
        let delivery = Delivery::plain(name, &json!({}));
        let answer = self.sender.send(self.agent.webhooks, &delivery).await.ok_or("the agent does not answer")?;
        let answer: Value = serde_json::from_str(&answer.body).map_err(|error| error.to_string())?;
        let run = answer["run_id"].as_str().ok_or_else(|| format!("{name} was answered {answer}"))?.to_owned();
        let card = self.card(name, 0).await?;
        Ok((run, card))
    }

    /// The open card of a workflow that came after message `after`.
    async fn card(&self, name: &str, after: i64) -> Result<SeenMessage, String> {
        let find = || {
            let mut seen = self.setup.telegram.messages(APPROVER).into_iter();
            seen.find(|seen| {
                seen.id > after
                    && seen.find_button("Approve").is_some()
                    && seen.text.contains(&format!("Approve {name},"))
            })
        };
        let mut waited = Duration::ZERO;
        loop {
            if let Some(card) = find() {
                return Ok(card);
            }
            if waited > WAIT_MAX {
                return Err(format!("no card of {name} comes"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
            waited += LOOK_EVERY;
        }
    }

    fn tap(&self, user: i64, card: &SeenMessage, label: &str) -> Result<String, String> {
        let button = card.find_button(label).ok_or_else(|| format!("the card has no button {label}"))?;
        Ok(self.setup.telegram.user_taps(user, APPROVER, card.id, &button))
    }

    async fn tapped(&self, user: i64, card: &SeenMessage, label: &str) -> Result<String, String> {
        let tap = self.tap(user, card, label)?;
        self.answer(&tap).await
    }

    async fn answer(&self, tap: &str) -> Result<String, String> {
        let answer = tokio::time::timeout(WAIT_MAX, self.setup.telegram.wait_for_tap_answer(tap)).await;
        answer.map(|answer| answer.text).map_err(|_| "a tap was never answered".into())
    }

    /// The run's state once it has ended.
    async fn ended(&self, run: &str) -> Result<String, String> {
        let mut waited = Duration::ZERO;
        loop {
            let row = self.agent.api(self.sender.client(), &format!("/api/runs/{run}")).await?;
            if !row["ended_at"].is_null() || waited > WAIT_MAX {
                return Ok(row["state"].as_str().unwrap_or_default().to_owned());
            }
            tokio::time::sleep(LOOK_EVERY).await;
            waited += LOOK_EVERY;
        }
    }

    /// How often a step left its line.
    fn ran(&self, name: &str) -> usize {
        let text = std::fs::read_to_string(self.setup.folder.join(format!("data/files/{name}.log")));
        text.map_or(0, |text| text.lines().count())
    }

    async fn bystander(&mut self) -> Result<(), String> {
        let (run, card) = self.ask("bystander").await?;
        for label in ["Approve", "Deny"] {
            let answer = self.tapped(STRANGER, &card, label).await?;
            self.expect(answer.contains("Nothing changed"), format!("a bystander's {label} was answered '{answer}'"));
        }
        let forged = self.setup.telegram.user_taps(APPROVER, APPROVER, card.id, &"0".repeat(40));
        let answer = self.answer(&forged).await?;
        self.expect(answer.contains("Nothing changed"), format!("a forged button was answered '{answer}'"));
        tokio::time::sleep(NOTHING_HAPPENS).await;
        let row = self.agent.api(self.sender.client(), &format!("/api/runs/{run}")).await?;
        self.expect(row["state"] == "waiting" && self.ran("bystander") == 0, "a bystander decided");
        self.tapped(APPROVER, &card, "Approve").await?;
        let state = self.ended(&run).await?;
        self.expect(state == "success" && self.ran("bystander") == 1, format!("the approver's tap led to {state}"));
        Ok(())
    }

    async fn twice(&mut self) -> Result<(), String> {
        let (run, card) = self.ask("twice").await?;
        // Both arrive before either is answered.
        let taps = [
            self.tap(APPROVER, &card, "Approve")?,
            self.tap(SECOND, &card, "Approve")?,
            self.tap(APPROVER, &card, "Deny")?,
        ];
        let mut decided = 0;
        for tap in &taps {
            decided += usize::from(self.answer(tap).await?.starts_with("Approved:"));
        }
        let state = self.ended(&run).await?;
        let approvals = self.agent.api(self.sender.client(), &format!("/api/approvals?run={run}")).await?;
        let decisions = approvals["items"][0]["decisions"].as_array().map_or(0, Vec::len);
        let ran = self.ran("twice");
        self.expect(
            (decided, decisions, ran, state.as_str()) == (1, 1, 1, "success"),
            format!("three taps at once: {decided} decided, {decisions} decisions kept, ran {ran} times, {state}"),
        );
        Ok(())
    }

    async fn denied(&mut self) -> Result<(), String> {
        let (run, card) = self.ask("denied").await?;
        self.tapped(APPROVER, &card, "Deny").await?;
        let state = self.ended(&run).await?;
        self.tapped(APPROVER, &card, "Approve").await?;
        tokio::time::sleep(NOTHING_HAPPENS).await;
        let ran = self.ran("denied") + self.ran("denied-after");
        self.expect(state == "denied" && ran == 0, format!("a denied run is {state} and did {ran} things"));
        Ok(())
    }

    async fn cancelled(&mut self) -> Result<(), String> {
        let (run, card) = self.ask("cancelled").await?;
        self.agent.api_with(self.sender.client(), Method::POST, &format!("/api/runs/{run}/cancel")).await?;
        let state = self.ended(&run).await?;
        self.tapped(APPROVER, &card, "Approve").await?;
        tokio::time::sleep(NOTHING_HAPPENS).await;
        let ran = self.ran("cancelled") + self.ran("cancelled-after");
        self.expect(state == "cancelled" && ran == 0, format!("a cancelled run is {state} and did {ran} things"));
        Ok(())
    }

    async fn changed(&mut self) -> Result<(), String> {
        let script = self.setup.folder.join("data/files/deploy.sh");
        let write = |word: &str| {
            std::fs::write(&script, format!("#!/bin/sh\necho {word} >> changed.log\n"))
                .and_then(|()| std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)))
                .map_err(|error| error.to_string())
        };
        write("good")?;
        let (run, card) = self.ask("changed").await?;
        write("evil")?;
        self.tapped(APPROVER, &card, "Approve").await?;
        // Another question comes, about what would run now.
        let again = self.card("changed", card.id).await;
        self.expect(again.is_ok(), "a changed script led to no new question");
        self.expect(self.ran("changed") == 0, "a script that nobody approved was run");
        if let Ok(again) = again {
            self.tapped(APPROVER, &again, "Deny").await?;
            let state = self.ended(&run).await?;
            self.expect(
                state == "denied" && self.ran("changed") == 0,
                format!("the new question's denial led to {state}"),
            );
        }
        Ok(())
    }

    async fn expires(&mut self) -> Result<(), String> {
        let (run, card) = self.ask("expires").await?;
        let state = self.ended(&run).await?;
        self.tapped(APPROVER, &card, "Approve").await?;
        tokio::time::sleep(NOTHING_HAPPENS).await;
        let ran = self.ran("expires") + self.ran("expires-after");
        self.expect(state == "expired" && ran == 0, format!("an expired run is {state} and did {ran} things"));
        Ok(())
    }

    async fn killed(&mut self, context: &Context) -> Result<(), String> {
        let (run, card) = self.ask("killed").await?;
        self.agent.kill_now().await;
        self.agent = self.setup.up(&context.options.program).await?;
        self.tapped(APPROVER, &card, "Approve").await?;
        let state = self.ended(&run).await?;
        let ran = self.ran("killed");
        self.expect(
            state == "success" && ran == 1,
            format!("after a kill the approval led to {state}, ran {ran} times"),
        );
        Ok(())
    }
}
