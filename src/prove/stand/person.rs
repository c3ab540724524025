//! The person in the chat: approves what is asked, and says of a step in doubt what is true.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::APPROVER;
use crate::prove::telegram::{BotApi, SeenMessage};

/// After which a button that did nothing is pressed again.
const PATIENCE: Duration = Duration::from_secs(2);

/// What really happened to a step.
pub(in crate::prove) trait Truth {
    /// Whether the step's effect is there.
    fn happened(&self, step: &str) -> bool;
}

/// The person, who remembers what they pressed.
#[derive(Debug, Default)]
pub(in crate::prove) struct Person {
    pressed: BTreeMap<String, Instant>,
    /// Questions about steps in doubt that were answered, by their message.
    pub(in crate::prove) settled: BTreeMap<i64, String>,
}

impl Person {
    /// Looks at the chat and presses what has to be pressed.
    pub(in crate::prove) fn look(&mut self, telegram: &BotApi, steps: &[&str], truth: &dyn Truth) {
        for message in telegram.messages(APPROVER) {
            let Some(button) = self.wants(&message, steps, truth) else { continue };
            let again = self.pressed.get(&button).is_none_or(|at| at.elapsed() > PATIENCE);
            if again {
                telegram.user_taps(APPROVER, APPROVER, message.id, &button);
                self.pressed.insert(button, Instant::now());
            }
        }
    }

    fn wants(&mut self, message: &SeenMessage, steps: &[&str], truth: &dyn Truth) -> Option<String> {
        if let Some(approve) = message.find_button("Approve") {
            return Some(approve);
        }
        let step = steps.iter().find(|step| message.text.contains(&format!("step {step}")))?;
        let label = if truth.happened(step) { "It happened" } else { "It did not" };
        let button = message.find_button(label)?;
        self.settled.insert(message.id, (*step).to_owned());
        Some(button)
    }
}
