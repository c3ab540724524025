//! What is on this machine: the data folder and its disk, the permissions of `.env`, the ledger, the certificate.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{Access, access, statvfs};

use super::certificate;
use super::report::Report;
use crate::cli::context::Context;
use crate::config::Config;
use crate::intake;

/// With less free, commits will soon fail.
const DISK_BYTES_BAD: u64 = 100 * 1024 * 1024;
/// With less free, somebody should make room.
const DISK_BYTES_WARN: u64 = 1024 * 1024 * 1024;
/// A certificate that ends within so many days should have been renewed by now.
const CERTIFICATE_DAYS_WARN: i64 = 14;
const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

pub(super) fn data_folder(config: &Config, report: &mut Report) {
    let folder = &config.data_dir;
    let shown = folder.display();
    // The start makes a folder that is missing, so what counts is the first one that is there.
    let Some(place) = folder.ancestors().find(|place| place.exists()) else {
        report.bad("data folder", format!("{shown} cannot be made"), "set data_dir to a folder that can be written");
        return;
    };
    if !place.is_dir() {
        report.bad("data folder", format!("{} is no folder", place.display()), "set data_dir to a folder");
        return;
    }
    match access(place, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if place == folder => report.ok("data folder", shown.to_string()),
        Ok(()) => report.ok("data folder", format!("{shown}, which the first start makes")),
        Err(errno) => {
            let message = format!("{} cannot be written: {}", place.display(), plain(errno.into()));
            report.bad(
                "data folder",
                message,
                format!("give it to the user that runs the agent: chown USER {}", place.display()),
            );
        }
    }
    disk(place, report);
}

fn disk(place: &Path, report: &mut Report) {
    let free = match statvfs(place) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(errno) => {
            report.warn("disk", format!("its free space cannot be read: {}", plain(errno.into())), "");
            return;
        }
    };
    let message = format!("{} free", size(free));
    let fix = "make room, or lower retention.events_days";
    if free < DISK_BYTES_BAD {
        report.bad("disk", format!("only {message}"), fix);
    } else if free < DISK_BYTES_WARN {
        report.warn("disk", format!("only {message}"), fix);
    } else {
        report.ok("disk", message);
    }
}

fn size(bytes: u64) -> String {
    const MIB: u64 = 1024 * 1024;
    match bytes / MIB {
        few @ ..10240 => format!("{few} MiB"),
        many => format!("{} GiB", many / 1024),
    }
}

/// `.env` beside the configuration holds secrets: nobody else may read it.
pub(super) fn dotenv(config: &Config, report: &mut Report) {
    let beside = config.file.as_deref().and_then(Path::parent).map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    let path = beside.join(".env");
    let Ok(metadata) = std::fs::metadata(&path) else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        report.ok(".env", format!("{}, its owner's alone", path.display()));
    } else {
        let message = format!("others on this machine can read {} (mode {mode:o})", path.display());
        report.warn(".env", message, format!("chmod 600 {}", path.display()));
    }
}

/// Opens the ledger as a reader, which disturbs no agent, and has SQLite look at its pages.
pub(super) async fn ledger(context: &Context, report: &mut Report) {
    let path = context.ledger_path();
    if !path.exists() {
        report.ok("ledger", format!("{} is not there yet; the first start makes it", path.display()));
        return;
    }
    let ledger = match context.ledger() {
        Ok(ledger) => ledger,
        Err(error) => {
            report.bad("ledger", format!("{error:#}"), "");
            return;
        }
    };
    let answer = ledger.query("PRAGMA quick_check", 1).await;
    let verdict = answer.map(|answer| answer.rows.into_iter().flatten().next());
    match verdict {
        Ok(Some(serde_json::Value::String(word))) if word == "ok" => {}
        Ok(found) => {
            let what = found.and_then(|found| found.as_str().map(str::to_owned)).unwrap_or_default();
            report.bad(
                "ledger",
                format!("{} is damaged: {what}", path.display()),
                "stop the agent and restore a backup",
            );
            return;
        }
        Err(crate::ledger::LedgerError::Invalid(_)) => {
            let fix = "stop the agent and run: sqlite3 ledger.db 'PRAGMA quick_check'";
            report.warn("ledger", format!("{} is too large to be checked here", path.display()), fix);
        }
        Err(error) => {
            report.bad("ledger", format!("{}: {error}", path.display()), "stop the agent and restore a backup");
            return;
        }
    }
    match ledger.stats().await {
        Ok(stats) => {
            let events: u64 = stats.events.values().sum();
            let failed = stats.events.get("failed").copied().unwrap_or(0);
            let message = format!(
                "{}, sound: {events} events, {} in the queue, {} notices to send",
                path.display(),
                stats.queue_depth,
                stats.notices_waiting
            );
            if failed == 0 {
                report.ok("ledger", message);
            } else {
                report.warn(
                    "ledger",
                    format!("{message}, {failed} events failed"),
                    "agent events list --status failed",
                );
            }
        }
        Err(error) => report.bad("ledger", format!("{}: {error}", path.display()), ""),
    }
}

pub(super) fn tls(config: &Config, now: Timestamp, report: &mut Report) {
    let Some(files) = &config.webhooks.tls else { return };
    let leaf = match intake::certificate(files) {
        Ok(leaf) => leaf,
        Err(fault) => {
            report.bad("tls", fault.to_string(), "");
            return;
        }
    };
    let cert = files.cert.display();
    let Some(end) = certificate::not_after(&leaf) else {
        report.warn(
            "tls",
            format!("the key fits {cert}, whose end cannot be read"),
            "openssl x509 -enddate -noout -in FILE",
        );
        return;
    };
    let left = end.duration_since(now).as_secs();
    let day = end.strftime("%-d %b %Y");
    match left {
        ..0 => report.bad(
            "tls",
            format!("{cert} ended on {day}"),
            "renew it; the running agent takes the new one by itself",
        ),
        _ if left < CERTIFICATE_DAYS_WARN * SECONDS_PER_DAY => {
            report.warn("tls", format!("{cert} ends on {day}, in {} days", left / SECONDS_PER_DAY), "renew it");
        }
        _ => report.ok("tls", format!("the key fits {cert}, which ends on {day}")),
    }
}

/// What the system said, without its number.
pub(super) fn plain(error: io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}
