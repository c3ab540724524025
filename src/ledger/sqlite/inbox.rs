//! What waits for the writer: commands, bounded in number and bytes, and beside them refusals, which may be dropped.
//!
//! Whoever waits for an answer to a sender goes first. What the agent does with events afterwards (claiming, settling,
//! sending) waits behind it: while senders press, one such command is done in every few transactions, so that work goes on
//! slowly and acknowledgements stay fast.
//!
//! A queue of its own instead of a channel, because the writer takes all that waits under one lock, and because refusals
//! must neither displace a command nor wake the writer for their own sake while it is busy.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::writer::Command;
use crate::ledger::{LedgerError, RefusedRequest};

/// Most commands in one transaction.
const BATCH_COMMANDS_MAX: usize = 512;
/// Bytes of bodies after which a transaction takes no further command, so that it fits the page cache.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of bodies that may wait; one larger command is admitted to an empty inbox.
const INBOX_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Background commands that may wait. Each has a task that waits for it, so there are never many.
const BACKGROUND_MAX: usize = 4096;
/// Commands in a transaction from which on senders are said to press.
const PRESSING_COMMANDS: usize = 12;
/// While senders press, one background command is done in so many transactions.
const PRESSED_BATCHES_PER_BACKGROUND: u32 = 8;
/// Refusals that may wait.
const REFUSED_MAX: usize = 1024;
/// Most refusals in a transaction that has commands: they must not slow those down.
const REFUSED_PER_BUSY_BATCH: usize = 8;
/// Most refusals in a transaction of their own.
const REFUSED_PER_IDLE_BATCH: usize = 256;

/// Whether a sender waits for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Somebody outside waits for it.
    Foreground,
    /// The agent's own work, which can wait.
    Background,
}

/// What one transaction does.
#[derive(Default)]
pub(super) struct Batch {
    pub commands: Vec<Box<dyn Command>>,
    pub refused: Vec<RefusedRequest>,
}

/// The queue between the callers and the writer.
pub(super) struct Inbox {
    state: Mutex<State>,
    ready: Condvar,
    commands_max: usize,
}

#[derive(Default)]
struct State {
    commands: VecDeque<Box<dyn Command>>,
    command_bytes: usize,
    background: VecDeque<Box<dyn Command>>,
    /// Transactions since the last background command.
    pressed_batches: u32,
    refused: VecDeque<RefusedRequest>,
    writer_waits: bool,
    closed: Option<&'static str>,
}

impl Inbox {
    pub(super) fn new(commands_max: usize) -> Self {
        Self { state: Mutex::default(), ready: Condvar::new(), commands_max: commands_max.max(1) }
    }

    /// Puts a command in line, or says why not. Never waits.
    pub(super) fn push(&self, command: Box<dyn Command>, urgency: Urgency) -> Result<(), LedgerError> {
        let mut state = self.lock();
        if let Some(reason) = state.closed {
            return Err(LedgerError::Unavailable(reason.into()));
        }
        if urgency == Urgency::Background {
            if state.background.len() >= BACKGROUND_MAX {
                return Err(LedgerError::Busy);
            }
            state.background.push_back(command);
            self.wake(state);
            return Ok(());
        }
        let bytes = state.command_bytes.saturating_add(command.bytes());
        let too_heavy = bytes > INBOX_BYTES_MAX && !state.commands.is_empty();
        if state.commands.len() >= self.commands_max || too_heavy {
            return Err(LedgerError::Busy);
        }
        state.command_bytes = bytes;
        state.commands.push_back(command);
        self.wake(state);
        Ok(())
    }

    /// Puts a refusal in line; `false` when it was dropped.
    pub(super) fn push_refused(&self, refused: RefusedRequest) -> bool {
        let mut state = self.lock();
        if state.closed.is_some() || state.refused.len() >= REFUSED_MAX {
            return false;
        }
        state.refused.push_back(refused);
        self.wake(state);
        true
    }

    /// Waits for something to do and takes as much as one transaction holds; `None` once closed and empty.
    pub(super) fn take(&self) -> Option<Batch> {
        let mut state = self.lock();
        while state.commands.is_empty() && state.background.is_empty() && state.refused.is_empty() {
            if state.closed.is_some() {
                return None;
            }
            state.writer_waits = true;
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.writer_waits = false;
        }
        let mut batch = Batch::default();
        let mut bytes = 0;
        while bytes < BATCH_BYTES_MAX && batch.commands.len() < BATCH_COMMANDS_MAX {
            let Some(command) = state.commands.pop_front() else { break };
            bytes += command.bytes();
            batch.commands.push(command);
        }
        state.command_bytes = state.command_bytes.saturating_sub(bytes);
        let room = state.room_for_background(batch.commands.len()).min(state.background.len());
        batch.commands.extend(state.background.drain(..room));
        let limit = if batch.commands.is_empty() { REFUSED_PER_IDLE_BATCH } else { REFUSED_PER_BUSY_BATCH };
        let count = limit.min(state.refused.len());
        batch.refused.extend(state.refused.drain(..count));
        Some(batch)
    }

    /// Takes nothing more in; what waits is still done.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed.get_or_insert("it is closed");
        self.ready.notify_all();
    }

    /// Takes nothing more in and drops what waits, which answers its callers.
    pub(super) fn fail(&self, reason: &'static str) {
        let dropped = {
            let mut state = self.lock();
            state.closed.get_or_insert(reason);
            state.refused.clear();
            (std::mem::take(&mut state.commands), std::mem::take(&mut state.background))
        };
        drop(dropped);
    }

    fn wake(&self, state: MutexGuard<'_, State>) {
        let waits = state.writer_waits;
        drop(state);
        if waits {
            self.ready.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How many background commands go along with `foreground` others. Each is a batch of its own and makes the
    /// transaction longer for whoever waits.
    fn room_for_background(&mut self, foreground: usize) -> usize {
        if foreground < PRESSING_COMMANDS {
            self.pressed_batches = 0;
            return if foreground == 0 { BATCH_COMMANDS_MAX } else { 1 };
        }
        self.pressed_batches += 1;
        if self.pressed_batches < PRESSED_BATCHES_PER_BACKGROUND {
            return 0;
        }
        self.pressed_batches = 0;
        1
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("commands_max", &self.commands_max).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tx::{Tx, WriteError};
    use super::*;

    /// A command that does nothing, told apart by its bytes.
    struct Nothing(usize);

    impl Command for Nothing {
        fn bytes(&self) -> usize {
            self.0
        }

        fn run(&mut self, _: &mut Tx<'_>) -> Result<(), WriteError> {
            Ok(())
        }

        fn answer(self: Box<Self>, _: Option<LedgerError>) {}

        fn name(&self) -> &'static str {
            "nothing"
        }

        fn refuse(&mut self, _: LedgerError) {}
    }

    const OURS: usize = 1;
    const SENDERS: usize = 2;

    fn inbox(foreground: usize, background: usize) -> Inbox {
        let inbox = Inbox::new(1000);
        for _ in 0..foreground {
            inbox.push(Box::new(Nothing(SENDERS)), Urgency::Foreground).expect("room");
        }
        for _ in 0..background {
            inbox.push(Box::new(Nothing(OURS)), Urgency::Background).expect("room");
        }
        inbox
    }

    fn taken(inbox: &Inbox) -> (usize, usize) {
        let batch = inbox.take().expect("open");
        let ours = batch.commands.iter().filter(|command| command.bytes() == OURS).count();
        (batch.commands.len() - ours, ours)
    }

    #[test]
    fn work_of_our_own_goes_along_one_by_one_with_a_few_senders_and_at_once_without() {
        assert_eq!(taken(&inbox(3, 5)), (3, 1));
        assert_eq!(taken(&inbox(0, 5)), (0, 5));
    }

    #[test]
    fn while_senders_press_our_own_work_goes_on_slowly() {
        let inbox = inbox(0, 5);
        let mut ours = Vec::new();
        for _ in 0..2 * PRESSED_BATCHES_PER_BACKGROUND {
            for _ in 0..PRESSING_COMMANDS {
                inbox.push(Box::new(Nothing(SENDERS)), Urgency::Foreground).expect("room");
            }
            let (senders, own) = taken(&inbox);
            assert_eq!(senders, PRESSING_COMMANDS);
            ours.push(own);
        }
        assert_eq!(ours.iter().sum::<usize>(), 2, "{ours:?}");
    }

    #[test]
    fn a_full_inbox_refuses_senders_and_still_takes_our_own_work() {
        let inbox = inbox(1000, 0);
        assert_eq!(inbox.push(Box::new(Nothing(SENDERS)), Urgency::Foreground), Err(LedgerError::Busy));
        assert_eq!(inbox.push(Box::new(Nothing(OURS)), Urgency::Background), Ok(()));
    }
}
