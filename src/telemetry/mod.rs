//! What the agent says about itself: the log file, the terminal's warnings, and the one place where secrets are cut out of
//! both.
//!
//! Log lines never carry bodies, message texts or secrets by design; [`Redactor`] is the net beneath that design, for texts
//! that other crates write (an HTTP client's error shows the URL, and a bot's URL holds its token).

mod audit;
mod file;
mod meters;
mod redact;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

pub use audit::{
    AUDIT_LINE_BYTES_MAX, Audit, AuditBreak, AuditEntry, AuditError, AuditLog, AuditReport, NoAudit, audit_path,
    audit_tail, verify,
};
pub use file::{LOG_FILE_BYTES_MAX, LOG_FILES_KEPT, RotatingFile};
pub use meters::{AckKey, Histogram, Latency, METER_MINUTES, Meters};
pub use redact::Redactor;

/// How the log is set up.
#[derive(Debug)]
pub struct LogOptions {
    /// `data/logs`.
    pub dir: PathBuf,
    /// Directives of tracing-subscriber's `EnvFilter`, such as `info,hookhand::intake=debug`.
    pub filter: String,
    /// Whether warnings also go to standard error.
    pub warn_on_stderr: bool,
    /// What is cut out of every line.
    pub redactor: Redactor,
}

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The folder or file cannot be written.
    #[error("cannot write the log {path}: {source}")]
    File {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The filter cannot be read.
    #[error("the log filter '{filter}' cannot be read: {reason}")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The path of the log within the data folder.
pub fn log_path(dir: &Path) -> PathBuf {
    dir.join("app.log")
}

/// The library behind models logs whole answers of providers; what is worth knowing of them is logged by `model`.
fn silent() -> tracing_subscriber::filter::Directive {
    "genai=off".parse().expect("a directive of ours is well formed")
}

/// Starts logging to `dir/app.log` (JSON lines) and, where asked, warnings to standard error. Once per process; a second
/// call keeps the first set-up.
pub fn init(options: LogOptions) -> Result<(), LogError> {
    let path = log_path(&options.dir);
    let file =
        RotatingFile::open(path.clone(), LOG_FILE_BYTES_MAX).map_err(|source| LogError::File { path, source })?;
    let filter = EnvFilter::try_new(&options.filter)
        .map_err(|error| LogError::Filter { filter: options.filter.clone(), reason: error.to_string() })?
        .add_directive(silent());
    let redactor = Arc::new(options.redactor);
    let to_file = fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(redact::Redacting::new(Arc::clone(&redactor), Arc::new(file)))
        .with_filter(filter);
    let to_stderr = options.warn_on_stderr.then(|| {
        fmt::layer()
            .compact()
            .with_target(false)
            .with_ansi(false)
            .with_writer(redact::Redacting::new(redactor, Arc::new(redact::Stderr)))
            .with_filter(EnvFilter::new("warn").add_directive(silent()))
    });
    let _already_set = tracing_subscriber::registry().with(to_file).with(to_stderr).try_init();
    Ok(())
}
