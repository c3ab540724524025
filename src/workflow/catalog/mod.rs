//! The workflow files of a folder: loaded, watched, and each kept as it last was good.
//!
//! A bad edit costs nobody their workflow: what loaded before stays and the fault is told once. A file that is removed takes
//! its workflow with it. Runs that began earlier are pinned to their own definition in the ledger and never look here.

mod files;
mod switch;
mod unserved;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::files::FileState;
pub use self::unserved::Unserved;
use super::definition::{Known, Rejected, Workflow};
use crate::domain::fault::Fault;
use crate::ports::Clock;

/// How often the folder is looked at.
pub const WATCH_INTERVAL: Duration = Duration::from_secs(2);
/// Most workflow files in the folder.
pub const FILES_MAX: usize = 512;

/// The workflows of a folder.
#[derive(Debug)]
pub struct Catalog {
    folder: PathBuf,
    known: Arc<Known>,
    files: RwLock<BTreeMap<PathBuf, FileState>>,
    /// Faults of the folder itself.
    folder_faults: RwLock<Vec<Fault>>,
    /// Counts looks at the folder that changed something.
    changed: watch::Sender<u64>,
}

/// What a look at the folder changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Workflows that are new or read anew.
    pub loaded: Vec<String>,
    /// Workflows that are gone.
    pub removed: Vec<String>,
    /// Workflows whose file is bad and that stay as they were.
    pub kept: Vec<String>,
    /// What is wrong with files that changed.
    pub faults: Vec<Fault>,
}

impl Changes {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Catalog {
    /// Loads `folder/*.yaml` (and `*.yml`). A folder that is not there holds nothing. Faults are in [`Catalog::faults`].
    pub fn load(folder: &Path, known: Arc<Known>) -> Self {
        let catalog = Self {
            folder: folder.to_owned(),
            known,
            files: RwLock::new(BTreeMap::new()),
            folder_faults: RwLock::new(Vec::new()),
            changed: watch::Sender::new(0),
        };
        catalog.reload();
        catalog
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What workflows may name.
    pub fn known(&self) -> &Arc<Known> {
        &self.known
    }

    /// Reads every file again.
    pub fn reload(&self) -> Changes {
        self.look(true)
    }

    /// Reads the files that look changed since the last time.
    pub fn refresh(&self) -> Changes {
        self.look(false)
    }

    fn look(&self, all: bool) -> Changes {
        let mut folder_faults = Vec::new();
        let found = files::list(&self.folder, &mut folder_faults);
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        let before = owners(&files);
        let mut changes = Changes::default();
        files.retain(|path, _| found.contains_key(path));
        for (path, stamp) in found {
            let state = files.get(&path);
            if !all && state.is_some_and(|state| state.stamp == stamp) {
                continue;
            }
            let good = state.and_then(|state| state.good.clone());
            let told = state.map(|state| state.faults.clone()).unwrap_or_default();
            let state = match files::read(&path, &self.known) {
                Ok(workflow) if good.as_ref().is_some_and(|good| good.hash == workflow.hash) => {
                    FileState { stamp, good, faults: Vec::new(), notes: Vec::new() }
                }
                Ok(workflow) => {
                    FileState { stamp, good: Some(Arc::new(workflow)), faults: Vec::new(), notes: Vec::new() }
                }
                Err(Rejected { faults, notes }) => {
                    if faults != told {
                        changes.kept.extend(good.iter().map(|workflow| workflow.name.clone()));
                        changes.faults.extend(faults.clone());
                    }
                    FileState { stamp, good, faults, notes }
                }
            };
            files.insert(path, state);
        }
        let doubles = mark_doubles(&mut files);
        changes.faults.extend(doubles.into_iter().filter(|fault| !before.doubles.contains(fault)));
        let after = owners(&files);
        let is_new = |(name, hash): &(&String, &String)| before.served.get(*name) != Some(*hash);
        changes.loaded = after.served.iter().filter(is_new).map(|(name, _)| name.clone()).collect();
        changes.removed = before.served.keys().filter(|name| !after.served.contains_key(*name)).cloned().collect();
        let mut told = self.folder_faults.write().unwrap_or_else(PoisonError::into_inner);
        changes.faults.extend(folder_faults.iter().filter(|fault| !told.contains(fault)).cloned());
        *told = folder_faults;
        if !changes.loaded.is_empty() || !changes.removed.is_empty() {
            self.changed.send_modify(|count| *count += 1);
        }
        changes
    }

    /// Tells of each look at the folder that brought or took a workflow.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The workflow `name`, as it last was good.
    pub fn get(&self, name: &str) -> Option<Arc<Workflow>> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files
            .values()
            .filter(|state| !state.is_double())
            .filter_map(|state| state.good.as_ref())
            .find(|w| w.name == name)
            .cloned()
    }

    /// Every workflow, by name.
    pub fn list(&self) -> Vec<Arc<Workflow>> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let good = files.values().filter(|state| !state.is_double()).filter_map(|state| state.good.clone());
        let mut all: Vec<Arc<Workflow>> = good.collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Everything that is wrong with the files as they are now.
    pub fn faults(&self) -> Vec<Fault> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let told = self.folder_faults.read().unwrap_or_else(PoisonError::into_inner);
        told.iter().chain(files.values().flat_map(|state| &state.faults)).cloned().collect()
    }

    /// What is allowed and probably not meant, names of other workflows that do not exist among it.
    pub fn notes(&self) -> Vec<Fault> {
        let all = self.list();
        let names: BTreeSet<&str> = all.iter().map(|workflow| workflow.name.as_str()).collect();
        let mut notes = self.notes_beside_faults();
        for workflow in &all {
            notes.extend(workflow.notes.iter().cloned());
            for step in workflow.all_steps() {
                let Some(tool) = step.tool_step().filter(|tool| tool.tool.name == "run_workflow") else { continue };
                let Some(other) = tool.args.literal("workflow").and_then(serde_json::Value::as_str) else { continue };
                if !names.contains(other) {
                    let near = super::nearest::nearest(other, names.iter().copied());
                    notes.push(Fault {
                        file: workflow.file.clone(),
                        line: Some(step.line),
                        column: None,
                        key: Some(format!("steps.{}.args.workflow", step.name)),
                        message: format!("there is no workflow '{other}', so this step will fail"),
                        hint: near.map(|near| format!("did you mean '{near}'?")),
                    });
                }
            }
        }
        notes
    }

    fn notes_beside_faults(&self) -> Vec<Fault> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.values().flat_map(|state| state.notes.iter().cloned()).collect()
    }

    /// Looks at the folder every [`WATCH_INTERVAL`] until `stop`, and gives what changed to `on_change`.
    pub async fn watch(&self, clock: &dyn Clock, stop: &CancellationToken, mut on_change: impl FnMut(Changes) + Send) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = clock.sleep(WATCH_INTERVAL) => {}
            }
            let changes = self.refresh();
            if !changes.is_empty() {
                on_change(changes);
            }
        }
    }
}

/// Which names are served with which hash, and what was said of files that share one.
struct Owners {
    served: BTreeMap<String, String>,
    doubles: Vec<Fault>,
}

fn owners(files: &BTreeMap<PathBuf, FileState>) -> Owners {
    let served = files.values().filter(|state| !state.is_double()).filter_map(|state| state.good.as_ref());
    let served = served.map(|workflow| (workflow.name.clone(), workflow.hash.clone())).collect();
    let doubles = files.values().filter(|state| state.is_double()).flat_map(|state| state.faults.clone());
    Owners { served, doubles: doubles.collect() }
}

/// Of files that claim one name the first serves it; the others are told, and free when it goes.
fn mark_doubles(files: &mut BTreeMap<PathBuf, FileState>) -> Vec<Fault> {
    let mut first: BTreeMap<String, String> = BTreeMap::new();
    let mut told = Vec::new();
    for state in files.values_mut() {
        let Some(workflow) = state.good.clone() else { continue };
        state.faults.retain(|fault| !files::is_double(fault));
        match first.get(&workflow.name) {
            Some(owner) => {
                let fault = files::double(&workflow, owner);
                told.push(fault.clone());
                state.faults.push(fault);
            }
            None => {
                first.insert(workflow.name.clone(), workflow.file.clone());
            }
        }
    }
    told
}

/// Whether a file's name is that of a workflow file.
pub(crate) fn is_workflow_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}
