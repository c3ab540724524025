//! From a tap, a reply or a command to a decision, and the truth about what became of it.

use std::sync::Arc;

use super::text::{approvers, details, told, who};
use crate::channel::operations::{Ballot, Operations, Person, Word};
use crate::domain::approval::{ApprovalState, Settle, Vote};
use crate::domain::ids::ApprovalId;
use crate::domain::notice::{ChatKey, Message};
use crate::domain::text::one_line;
use crate::ledger::LedgerError;
use crate::ledger::runs::{DecideOutcome, NonceRow, SettleOutcome};

/// What a tap is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tapped {
    /// What the person who tapped reads, and nobody else.
    pub(crate) text: String,
    /// Whether they must confirm that they read it.
    pub(crate) alert: bool,
    /// What is written into the chat.
    pub(crate) replies: Vec<Message>,
}

impl Tapped {
    fn alert(text: impl Into<String>) -> Self {
        Self { text: text.into(), alert: true, replies: Vec::new() }
    }
}

/// Decides through [`Operations`] and words the outcome.
#[derive(Debug, Clone)]
pub(crate) struct Deciding {
    operations: Arc<dyn Operations>,
}

impl Deciding {
    pub(crate) fn new(operations: Arc<dyn Operations>) -> Self {
        Self { operations }
    }

    /// A button with `data` was pressed by `person`.
    pub(crate) async fn tap(&self, person: Person, data: &str) -> Result<Tapped, LedgerError> {
        let Some(NonceRow { approval, purpose, used: _ }) = self.operations.nonce(data).await? else {
            return Ok(Tapped::alert("This button is not mine, or too old. Nothing changed."));
        };
        let nonce = Some(data.to_owned());
        if let Ok(verdict) = purpose.parse::<Vote>() {
            let ballot = Ballot { approval, by: person, channel: person.channel(), verdict, reason: None, nonce };
            let outcome = self.operations.decide(ballot).await?;
            let alert = !matches!(outcome, DecideOutcome::Decided { .. } | DecideOutcome::VoteCounted { .. });
            return Ok(Tapped { text: decided(&outcome, person), alert, replies: Vec::new() });
        }
        if let Ok(verdict) = purpose.parse::<Settle>() {
            return self.settle_by_tap(person, approval, verdict, nonce).await;
        }
        let Some(row) = self.operations.runs().approval(approval).await? else {
            return Ok(Tapped::alert("This question is no longer kept."));
        };
        if !self.operations.may_decide(person, &row) {
            return Ok(Tapped::alert(not_approver(&row.approvers, person)));
        }
        Ok(Tapped { text: "The details are below.".into(), alert: false, replies: vec![details(&row)] })
    }

    async fn settle_by_tap(
        &self,
        person: Person,
        approval: ApprovalId,
        verdict: Settle,
        nonce: Option<String>,
    ) -> Result<Tapped, LedgerError> {
        let Some(row) = self.operations.runs().approval(approval).await? else {
            return Ok(Tapped::alert("This question is no longer kept."));
        };
        let word = Word {
            run: row.run_id,
            step: row.action.step.clone(),
            verdict,
            by: person,
            channel: person.channel(),
            nonce,
        };
        let outcome = self.operations.settle(word).await?;
        let alert = outcome != SettleOutcome::Settled;
        // Who was faster is what the late one wants to know.
        let text = match (&outcome, row.decisions.last()) {
            (SettleOutcome::NotInDoubt { .. } | SettleOutcome::StaleButton, Some(first)) => format!(
                "Already settled by {} from {} at {}: {}. Nothing changed.",
                who(&first.by),
                one_line(&first.channel),
                told(first.at),
                first.verdict
            ),
            _ => settled(&outcome, verdict, person),
        };
        Ok(Tapped { text, alert, replies: Vec::new() })
    }

    /// `text` answers the message `message_id` of `chat`. `None`: that is no card, or no yes or no.
    pub(crate) async fn reply(
        &self,
        person: Person,
        chat: &ChatKey,
        message_id: i64,
        text: &str,
    ) -> Result<Option<Message>, LedgerError> {
        let Some((verdict, reason)) = yes_or_no(text) else { return Ok(None) };
        let Some(approval) = self.operations.runs().card_at(chat, message_id).await? else { return Ok(None) };
        self.vote(person, approval, verdict, reason).await.map(Some)
    }

    /// What somebody is told who answered the card at `message_id` with something else than yes or no. `None`: there is no card
    /// there, or nothing waits for an answer.
    pub(crate) async fn unclear(&self, chat: &ChatKey, message_id: i64) -> Result<Option<Message>, LedgerError> {
        let Some(id) = self.operations.runs().card_at(chat, message_id).await? else { return Ok(None) };
        let row = self.operations.runs().approval(id).await?;
        let waits = row.is_some_and(|row| row.state == ApprovalState::Pending);
        Ok(waits.then(|| {
            Message::title(format!("That is neither yes nor no, so {id} still waits. Answer yes, no, or no: and why."))
        }))
    }

    /// A vote without a button.
    pub(crate) async fn vote(
        &self,
        person: Person,
        approval: ApprovalId,
        verdict: Vote,
        reason: Option<String>,
    ) -> Result<Message, LedgerError> {
        let channel = person.channel();
        let ballot = Ballot { approval, by: person, channel, verdict, reason, nonce: None };
        let outcome = self.operations.decide(ballot).await?;
        Ok(Message::title(decided(&outcome, person)))
    }
}

/// Reads "yes", "no", "no: reason" and the like.
fn yes_or_no(text: &str) -> Option<(Vote, Option<String>)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_alphabetic()).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let verdict = match word.to_lowercase().as_str() {
        "yes" | "y" | "approve" | "approved" => Vote::Approve,
        "no" | "n" | "deny" | "denied" => Vote::Deny,
        _ => return None,
    };
    // "no problem, go ahead" is no no.
    let sign = rest.trim_start().chars().next();
    if sign.is_some_and(|sign| !matches!(sign, ':' | ',' | '.' | '!' | '-' | '–')) {
        return None;
    }
    let reason = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ':' | ',' | '.' | '!' | '-' | '–'));
    // "yes, but only tomorrow" is no yes.
    if verdict == Vote::Approve && !reason.trim().is_empty() {
        return None;
    }
    Some((verdict, Some(reason.trim().to_owned()).filter(|why| !why.is_empty())))
}

fn not_approver(names: &[String], person: Person) -> String {
    let me = match person {
        Person::Telegram(user) => format!(" Your Telegram id is {user}."),
        Person::LocalAdmin => String::new(),
    };
    format!("Only {} may decide this.{me} Nothing changed.", approvers(names))
}

/// What became of a decision, in a sentence for the person who decided.
pub fn decided(outcome: &DecideOutcome, person: Person) -> String {
    match outcome {
        DecideOutcome::Decided { approval } => match approval.state {
            ApprovalState::Approved => format!("Approved: {}, step {}. It runs now.", approval.workflow, approval.step),
            _ => format!("Denied: {}, step {}. Nothing further of this run happens.", approval.workflow, approval.step),
        },
        DecideOutcome::VoteCounted { votes, needed } => format!("Your vote counts: {votes} of {needed}."),
        DecideOutcome::AlreadyVoted { at, verdict } => {
            format!("You have voted before: {verdict}, {}. Nothing changed.", told(*at))
        }
        DecideOutcome::NotApprover { approvers } => not_approver(approvers, person),
        DecideOutcome::AlreadyDecided { state, by, channel, at } => {
            format!("Already {state} by {} from {} at {}. Nothing changed.", who(by), one_line(channel), told(*at))
        }
        DecideOutcome::Expired { at } => format!("Too late: this expired at {}. Nothing changed.", told(*at)),
        DecideOutcome::Cancelled { reason } => {
            format!("This is no longer asked: {}. Nothing changed.", one_line(reason))
        }
        DecideOutcome::StaleButton => {
            "This button was used, or belongs to another question. Nothing changed.".to_owned()
        }
        DecideOutcome::Unknown => "There is no such approval. Nothing changed.".to_owned(),
    }
}

/// What became of a word on a step in doubt, in a sentence for the person who said it.
pub fn settled(outcome: &SettleOutcome, verdict: Settle, person: Person) -> String {
    match outcome {
        SettleOutcome::Settled => match verdict {
            Settle::Happened => "Settled: it happened. The run goes on.".to_owned(),
            Settle::NotHappened => "Settled: it did not happen. The step may run again.".to_owned(),
            Settle::Leave => "The run is left as it is.".to_owned(),
        },
        SettleOutcome::NotInDoubt { state } => format!("The step is not in doubt; it is {state}. Nothing changed."),
        SettleOutcome::NotApprover { approvers } => not_approver(approvers, person),
        SettleOutcome::StaleButton => {
            "This button was used, or belongs to another question. Nothing changed.".to_owned()
        }
        SettleOutcome::Unknown => "There is no such run or step. Nothing changed.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yes_and_no_are_heard_and_nothing_else_is() {
        let no = |why: &str| Some((Vote::Deny, Some(why.to_owned())));
        assert_eq!(yes_or_no("Yes"), Some((Vote::Approve, None)));
        assert_eq!(yes_or_no(" yes! "), Some((Vote::Approve, None)));
        assert_eq!(yes_or_no("NO"), Some((Vote::Deny, None)));
        assert_eq!(yes_or_no("no: not on a Friday"), no("not on a Friday"));
        assert_eq!(yes_or_no("No, wrong tag"), no("wrong tag"));
        for other in [
            "no way, ship it",
            "no problem, go ahead",
            "ok",
            "yes, but tomorrow",
            "yesterday",
            "now",
            "what is this?",
            "",
            "nothing",
        ] {
            assert_eq!(yes_or_no(other), None, "{other:?}");
        }
    }

    #[test]
    fn who_is_not_listed_reads_who_is_and_their_own_id() {
        let outcome = DecideOutcome::NotApprover { approvers: vec!["oncall".into(), "telegram:5".into()] };
        insta::assert_snapshot!(
            decided(&outcome, Person::Telegram(99)),
            @"Only oncall, user 5 may decide this. Your Telegram id is 99. Nothing changed."
        );
    }
}
