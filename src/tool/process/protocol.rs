//! What the agent and the process that stands between it and a step's program say to each other.
//!
//! They talk over one socket, the supervisor's standard input: an [`Order`] as a line of JSON, then the bytes for the program's
//! standard input. The other way come [`Report`]s, a line each. Afterwards [`STOP`] asks for an end with a grace; when the
//! socket closes, for whatever reason, everything is killed at once, so nothing outlives the agent.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Longest order, in bytes.
pub(super) const ORDER_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Most bytes of reports.
pub(super) const REPORTS_BYTES_MAX: u64 = 64 * 1024;
/// The byte that asks for an end.
pub(super) const STOP: u8 = b's';
/// From the polite signal (SIGTERM) to the one that nobody survives (SIGKILL).
pub const KILL_GRACE: Duration = Duration::from_secs(2);

/// What to run, and how it is held.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// The program and its arguments.
    pub(super) argv: Vec<String>,
    /// The folder to run in.
    pub(super) cwd: PathBuf,
    /// The whole environment.
    pub(super) env: Vec<(String, String)>,
    /// Bytes that follow the order.
    pub(super) stdin_bytes: u64,
    /// Bounds.
    pub(super) limits: Limits,
    /// Places that it may see.
    pub(super) places: Places,
}

/// What the program may see of the file system, where the kernel can enforce it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Places {
    /// Read and run what is here.
    pub(super) read: Vec<PathBuf>,
    /// List what is in these folders, without what lies beneath.
    pub(super) list: Vec<PathBuf>,
    /// Read, run, write, make and delete here.
    pub(super) write: Vec<PathBuf>,
}

/// Bounds on what one step's processes may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Processes and threads at one time.
    pub processes_max: u64,
    /// Memory of one process, in bytes.
    pub memory_bytes_max: u64,
    /// Size of one file that it writes, in bytes.
    pub file_bytes_max: u64,
    /// Files that one process has open.
    pub open_files_max: u64,
}

impl Limits {
    /// What every step gets.
    pub const STANDARD: Self = Self {
        processes_max: 256,
        memory_bytes_max: 4 * 1024 * 1024 * 1024,
        file_bytes_max: 1024 * 1024 * 1024,
        open_files_max: 1024,
    };
}

/// What the supervisor says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// The program does not run: nothing happened.
    NeverBegan(String),
    /// The program runs as the leader of this process group.
    Began {
        /// Its id.
        pid: i32,
        /// How far it is held.
        confinement: Confinement,
    },
    /// The program and everything that it started are gone.
    Ended {
        /// Its exit code.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
        /// It was killed because there were more processes than the bound allows.
        too_many_processes: bool,
    },
}

/// How far the kernel keeps a step's processes to their folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confinement {
    /// Everything that is asked for is enforced.
    Full,
    /// An older kernel: files are, signals to other processes are not.
    Partial,
    /// The kernel offers nothing (no Landlock).
    Unavailable,
}

impl Confinement {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::Unavailable => "unavailable",
        }
    }
}
