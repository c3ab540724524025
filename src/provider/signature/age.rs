//! How old a signed request is. Timestamps are a stranger's numbers: any size, either direction, never a panic.

use std::time::Duration;

use http::HeaderName;
use jiff::Timestamp;

use super::super::manifest::TimeUnit;
use super::super::reading::PayloadPath;

/// Where a scheme has its timestamp, and how old it may be.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    pub place: Place,
    pub unit: TimeUnit,
    pub window: Duration,
}

#[derive(Debug, Clone)]
pub(super) enum Place {
    Header(HeaderName),
    /// A pair of the signature header.
    Field(String),
    Payload(PayloadPath),
}

impl Stamp {
    /// The age check; the error is a sentence.
    pub(super) fn check(&self, text: &str, now: Timestamp) -> Result<(), String> {
        let at_ms = self.millis(text.trim()).ok_or("the signed timestamp is no point in time")?;
        let late_ms = i128::from(now.as_millisecond()) - at_ms;
        if late_ms.unsigned_abs() <= self.window.as_millis() {
            return Ok(());
        }
        let (seconds, side) =
            (late_ms.unsigned_abs() / 1000, if late_ms > 0 { "in the past" } else { "in the future" });
        let far = if seconds > 86_400 { "more than a day".to_owned() } else { format!("{seconds} s") };
        let window = self.window.as_secs();
        Err(format!(
            "the signature is right and its timestamp is {far} {side}, where {window} s are allowed; is this machine's clock right, or was the request held back?"
        ))
    }

    fn millis(&self, text: &str) -> Option<i128> {
        let number = |text: &str| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let numeric = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            // More digits than fit are a time that never was, and stale all the same.
            numeric.then(|| text.parse::<i64>().unwrap_or(i64::MAX)).map(i128::from)
        };
        match self.unit {
            TimeUnit::S => number(text).map(|s| s * 1000),
            TimeUnit::Ms => number(text),
            TimeUnit::Rfc3339 => text.parse::<Timestamp>().ok().map(|at| i128::from(at.as_millisecond())),
        }
    }
}
