//! How fast: backoff after failures, the rate that all chats of one channel share, and the one of each chat, which its
//! notices and its cards share.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::domain::notice::ChatKey;
use crate::domain::retry;
use crate::ports::{Clock, Pacing};

/// Chats whose next moment is remembered before those of the past are forgotten.
const CHATS_REMEMBERED: usize = 1024;

/// Pauses that double from one second to one minute. Without jitter: one process talks to one server.
const PAUSES: retry::Backoff =
    retry::Backoff { first: Duration::from_secs(1), factor: 2, longest: Duration::from_secs(60) };

/// Counts failures in a row.
#[derive(Debug, Clone, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure.
    pub(super) fn after_failure(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        PAUSES.after(self.failures)
    }

    /// It worked: the next failure is a first one.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A clock that stands this far before where it was has been set back.
const SET_BACK_MIN: Duration = Duration::from_secs(1);

/// Watches for a clock that is set back. Moments that were remembered before must be moved along with it: a pause of a second
/// would else last until the clock is again where it was, hours or years later.
#[derive(Debug, Clone, Copy)]
pub(super) struct SetBack {
    latest: Timestamp,
}

impl Default for SetBack {
    fn default() -> Self {
        Self { latest: Timestamp::MIN }
    }
}

impl SetBack {
    /// How far the clock was set back since the last look.
    pub(super) fn look(&mut self, now: Timestamp) -> Option<SignedDuration> {
        let by = self.latest.duration_since(now);
        let set_back = by >= SignedDuration::try_from(SET_BACK_MIN).unwrap_or(SignedDuration::MAX);
        self.latest = if set_back { now } else { self.latest.max(now) };
        set_back.then_some(by)
    }
}

/// A remembered moment after the clock was set back.
pub(super) fn moved(moment: Timestamp, by: SignedDuration) -> Timestamp {
    moment.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// Hands out the moments at which one channel may send, so that all of its chats together, and each of them, stay below
/// their rates.
#[derive(Debug)]
pub struct Gate(Mutex<Free>);

/// When the next send may leave.
#[derive(Debug)]
struct Free {
    channel: Timestamp,
    chats: HashMap<ChatKey, Timestamp>,
    set_back: SetBack,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// An idle channel.
    pub fn new() -> Self {
        Self(Mutex::new(Free { channel: Timestamp::MIN, chats: HashMap::new(), set_back: SetBack::default() }))
    }

    /// Returns when a send to `chat` may leave, and counts that send.
    pub(super) async fn turn(&self, clock: &dyn Clock, chat: &ChatKey, pacing: Pacing) {
        loop {
            match self.reserve(chat, clock.now(), pacing) {
                Ok(at) => return clock.sleep_until(at).await,
                Err(free) => clock.sleep_until(free).await,
            }
        }
    }

    /// Nothing leaves for `chat` before `until`: the channel asked to wait, and whoever sends there next must keep to it.
    pub(super) fn hold(&self, chat: &ChatKey, until: Timestamp) {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = free.chats.entry(chat.clone()).or_insert(until);
        *at = until.max(*at);
    }

    /// The moment, at or after `now`, that belongs to the caller. An error says when `chat` itself is free again; nothing is
    /// reserved then, for a slow chat must not hold up the others.
    fn reserve(&self, chat: &ChatKey, now: Timestamp, pacing: Pacing) -> Result<Timestamp, Timestamp> {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(by) = free.set_back.look(now) {
            free.channel = moved(free.channel, by);
            free.chats.values_mut().for_each(|at| *at = moved(*at, by));
        }
        if let Some(at) = free.chats.get(chat).filter(|at| **at > now) {
            return Err(*at);
        }
        let mine = now.max(free.channel);
        free.channel = mine + pacing.channel_interval;
        if pacing.chat_interval > Duration::ZERO {
            if free.chats.len() >= CHATS_REMEMBERED {
                free.chats.retain(|_, at| *at > now);
            }
            free.chats.insert(chat.clone(), mine + pacing.chat_interval);
        }
        Ok(mine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_start_over_after_success() {
        let mut backoff = Backoff::default();
        let seconds: Vec<u64> = (0..9).map(|_| backoff.after_failure().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        backoff.reset();
        assert_eq!(backoff.after_failure(), PAUSES.first);
    }

    /// Telegram's, without digests.
    const PACING: Pacing = Pacing {
        chat_interval: Duration::from_secs(1),
        channel_interval: Duration::from_millis(40),
        digest_after: None,
        digest_window: Duration::ZERO,
        batch: 1,
    };

    #[test]
    fn chats_that_ask_at_once_get_moments_one_interval_apart() {
        let gate = Gate::new();
        let now = Timestamp::UNIX_EPOCH;
        let chat = |id| ChatKey::telegram(id, None);
        let moments: Vec<i64> =
            (0..3).map(|id| gate.reserve(&chat(id), now, PACING).expect("free").as_millisecond()).collect();
        assert_eq!(moments, [0, 40, 80]);
        assert_eq!(gate.reserve(&chat(2), now, PACING).expect_err("busy").as_millisecond(), 1080);
        let later = gate.reserve(&chat(9), now, PACING).expect("a busy chat holds up nobody");
        assert_eq!(later.as_millisecond(), 120);
        assert_eq!(gate.reserve(&chat(2), now + Duration::from_secs(2), PACING).expect("free").as_millisecond(), 2000);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_pause_longer() {
        let gate = Gate::new();
        let (chat, other) = (ChatKey::telegram(1, None), ChatKey::telegram(2, None));
        let late = Timestamp::UNIX_EPOCH + Duration::from_secs(10 * 365 * 24 * 3600);
        assert_eq!(gate.reserve(&chat, late, PACING), Ok(late));
        let early = Timestamp::UNIX_EPOCH;
        let free = gate.reserve(&chat, early, PACING).expect_err("its second is not over");
        assert_eq!(free.as_millisecond(), 1000);
        assert_eq!(gate.reserve(&other, early, PACING).expect("free").as_millisecond(), 40);
    }
}
