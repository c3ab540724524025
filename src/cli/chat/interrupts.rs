//! What Ctrl-C means in a talk: it stops the answer that is being made; once more, or while nothing is made, it ends the talk.
//!
//! While a line is edited the terminal gives Ctrl-C as a key to the editor, so that nothing arrives here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// What a shell expects of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Listens to Ctrl-C as long as the process lives.
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupts {
    answering: Arc<AtomicBool>,
    cancel: Arc<Notify>,
}

impl Interrupts {
    /// Begins to listen. To be called within a runtime, and before there is an editor: while a line is edited the editor's own
    /// handler is in place, and it puts back the one that it found.
    pub(super) fn listen() -> std::io::Result<Self> {
        let interrupts = Self::default();
        let heard = interrupts.clone();
        let mut signals = signal(SignalKind::interrupt())?;
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if !heard.answering.swap(false, Ordering::SeqCst) {
                    // What was acknowledged is on disk; an agent of our own goes on from there the next time.
                    std::process::exit(INTERRUPTED);
                }
                heard.cancel.notify_one();
            }
        });
        Ok(interrupts)
    }

    /// From now on, until the guard goes, the first Ctrl-C stops the answer.
    pub(super) fn answering(&self) -> Answering<'_> {
        self.answering.store(true, Ordering::SeqCst);
        Answering(self)
    }

    /// Returns when the answer is to be stopped.
    pub(super) async fn cancelled(&self) {
        self.cancel.notified().await;
    }
}

/// An answer is being made.
#[derive(Debug)]
pub(super) struct Answering<'i>(&'i Interrupts);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.answering.store(false, Ordering::SeqCst);
    }
}
