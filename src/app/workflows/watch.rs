//! What a change of the workflow files did: said in the log, and in the chat where something is wrong.

use tokio_util::sync::CancellationToken;

use super::Workflows;
use super::files::without_route;
use crate::domain::fault::Fault;
use crate::domain::ids::NoticeId;
use crate::domain::notice::{ChatKey, Message, NoticeKind, Severity};
use crate::ledger::NewNotice;
use crate::workflow::catalog::Changes;

/// Faults that one notice about bad files lists.
const FAULTS_TOLD_MAX: usize = 10;

impl Workflows {
    /// Tells about bad files at the start, and about every change of the files until `stop`.
    pub(in crate::app) async fn watch(&self, stop: &CancellationToken) {
        let faults = self.catalog.faults();
        if !faults.is_empty() {
            self.tell(&Changes { faults, ..Changes::default() }).await;
        }
        let (sender, mut changed) = tokio::sync::mpsc::channel(8);
        let told = async {
            while let Some(changes) = changed.recv().await {
                self.tell(&changes).await;
                self.tell_without_route(&changes).await;
            }
        };
        let watched = async {
            // A full channel means that several changes are still untold; the files themselves are read all the same.
            self.catalog.watch(self.clock.as_ref(), stop, |changes| drop(sender.try_send(changes))).await;
            drop(sender);
        };
        tokio::join!(told, watched);
    }

    /// Says what a change of the files did: in the log, and in the chat where something is wrong.
    async fn tell(&self, changes: &Changes) {
        for workflow in &changes.loaded {
            tracing::info!(workflow.name = workflow, "a workflow was read");
        }
        for workflow in &changes.removed {
            tracing::info!(workflow.name = workflow, "a workflow is gone");
        }
        for fault in &changes.faults {
            tracing::warn!(fault = %fault, "a workflow's file is not used");
        }
        let Some(chat) = self.desks.fallback.chat.clone().filter(|_| !changes.faults.is_empty()) else { return };
        let notice = self.notice(chat, faulty(changes));
        if let Err(error) = self.ledger.add_notices(vec![notice]).await {
            tracing::warn!(%error, "nobody could be told of a bad workflow file");
        }
    }

    /// Says which of the workflows that were read have a name that a handler has, and so no route.
    async fn tell_without_route(&self, changes: &Changes) {
        let loaded = changes.loaded.iter().filter_map(|name| self.catalog.get(name));
        let lines: Vec<String> =
            loaded.filter_map(|workflow| without_route(&workflow, &self.routes_taken)).map(|f| f.to_string()).collect();
        for fault in &lines {
            tracing::warn!(fault, "a workflow has no route of its own");
        }
        let Some(chat) = self.desks.fallback.chat.clone().filter(|_| !lines.is_empty()) else { return };
        let title = "A workflow has the name of a handler, and so no route".to_owned();
        let notice = self.notice(chat, Message { title, lines, url: None, severity: Severity::Warning });
        if let Err(error) = self.ledger.add_notices(vec![notice]).await {
            tracing::warn!(%error, "nobody could be told of a workflow without a route");
        }
    }

    fn notice(&self, chat: ChatKey, message: Message) -> NewNotice {
        let created_at = self.clock.now();
        NewNotice {
            id: NoticeId::new(self.ids.ulid(created_at)),
            chat,
            kind: NoticeKind::System,
            event: None,
            reply_to: None,
            message,
            created_at,
        }
    }
}

/// What is said about files that are bad.
fn faulty(changes: &Changes) -> Message {
    let mut lines: Vec<String> = changes.faults.iter().take(FAULTS_TOLD_MAX).map(Fault::to_string).collect();
    if changes.faults.len() > FAULTS_TOLD_MAX {
        lines.push(format!("and {} more: agent check", changes.faults.len() - FAULTS_TOLD_MAX));
    }
    let title = match changes.kept.as_slice() {
        [] => "A workflow file has faults and is not used".to_owned(),
        [one] => format!("The file of workflow '{one}' has faults: its last good version stays in use"),
        several => {
            format!("The files of {} workflows have faults: their last good versions stay in use", several.len())
        }
    };
    Message { title, lines, url: None, severity: Severity::Warning }
}
