//! What waits for the writer: commands, bounded in number and bytes, and beside them refusals, which may be dropped.
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
/// Refusals that may wait.
const REFUSED_MAX: usize = 1024;
/// Most refusals in a transaction that has commands: they must not slow those down.
const REFUSED_PER_BUSY_BATCH: usize = 8;
/// Most refusals in a transaction of their own.
const REFUSED_PER_IDLE_BATCH: usize = 256;

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
    refused: VecDeque<RefusedRequest>,
    writer_waits: bool,
    closed: Option<&'static str>,
}

impl Inbox {
    pub(super) fn new(commands_max: usize) -> Self {
        Self { state: Mutex::default(), ready: Condvar::new(), commands_max: commands_max.max(1) }
    }

    /// Puts a command in line, or says why not. Never waits.
    pub(super) fn push(&self, command: Box<dyn Command>) -> Result<(), LedgerError> {
        let mut state = self.lock();
        if let Some(reason) = state.closed {
            return Err(LedgerError::Unavailable(reason.into()));
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
        while state.commands.is_empty() && state.refused.is_empty() {
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
            std::mem::take(&mut state.commands)
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

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("commands_max", &self.commands_max).finish_non_exhaustive()
    }
}
