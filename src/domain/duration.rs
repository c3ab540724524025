//! Durations as people write them in workflow files: `100ms`, `5s`, `30m`, `2h`, `7d`.

use std::time::Duration;

use jiff::Timestamp;

/// Longest duration that can be written: 365 days.
pub const DURATION_MAX: Duration = Duration::from_secs(365 * 86_400);

/// Digits of an age.
const AGE_DIGITS_MAX: usize = 6;

/// Unit and milliseconds, longest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no duration: write a number with ms, s, m, h or d, such as 30s or 2h, at most 365d")]
pub struct DurationError(String);

/// Reads `100ms`, `5s`, `30m`, `2h`, `7d`; a bare number is seconds.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let wrong = || DurationError(text.chars().take(40).collect());
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit.trim_start() {
        "" => 1000,
        unit => UNITS.iter().find(|(name, _)| *name == unit).map(|(_, millis)| *millis).ok_or_else(wrong)?,
    };
    let duration = Duration::from_millis(number.checked_mul(millis).ok_or_else(wrong)?);
    if duration > DURATION_MAX { Err(wrong()) } else { Ok(duration) }
}

/// The moment that a person means by `2026-01-31T12:00:00Z`, or by `30m`, `2h` or `7d` before `now`.
pub fn since(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, millis)| millis / 1000)?;
    let is_number = (1..=AGE_DIGITS_MAX).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    let age = number.parse::<u64>().ok().filter(|_| is_number)?.checked_mul(seconds)?;
    now.checked_sub(Duration::from_secs(age)).ok()
}

/// The shortest way to write `duration` with one unit and nothing lost (milliseconds at the finest).
pub fn shown(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let fits = |(_, unit): &&(&str, u64)| millis.is_multiple_of(*unit) && millis > 0;
    match UNITS.iter().find(fits) {
        Some((name, unit)) => format!("{}{name}", millis / unit),
        None => "0s".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in ["100ms", "5s", "30m", "2h", "7d", "90s", "0s"] {
            assert_eq!(shown(parse(text).expect(text)), text);
        }
        assert_eq!(parse("30"), Ok(Duration::from_secs(30)));
        assert_eq!(shown(Duration::from_secs(120)), "2m");
    }

    #[test]
    fn an_age_is_a_moment_before_now() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().expect("valid");
        let told = |text| since(text, now).map(|at| at.to_string());
        assert_eq!(told("30m").as_deref(), Some("2026-01-31T11:30:00Z"));
        assert_eq!(told("366d").as_deref(), Some("2025-01-30T12:00:00Z"));
        assert_eq!(told("2026-01-01T00:00:00Z").as_deref(), Some("2026-01-01T00:00:00Z"));
        for wrong in ["", "m", "30", "-1h", "1.5h", "5ms", "1w", "1234567s", "+1h", "1µ", "soon"] {
            assert_eq!(told(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "s", "5x", "-5s", "1.5h", "366d", "99999999999999999999d", "18446744073709551615d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
