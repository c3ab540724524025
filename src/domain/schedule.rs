//! When something is due by a cron line in a time zone: pure, so that the same question gets the same answer after a restart.
//!
//! Where clocks go forward, a fixed time that does not exist is due at the first moment after the gap; where they go back, it
//! is due once, at its first occurrence. Lines with a step or a star in minutes or hours follow real time instead. That is
//! how Vixie's cron and `croner`, which finds the times, treat them.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// How late something may begin and still be on time.
pub const LATE_MAX: Duration = Duration::from_secs(60);
/// Most missed times that are counted one by one.
pub const MISSED_COUNT_MAX: usize = 5000;
/// Longest cron line, in bytes.
pub const CRON_BYTES_MAX: usize = 200;

/// A cron line in a time zone.
#[derive(Debug, Clone)]
pub struct Schedule {
    line: String,
    cron: Cron,
    zone: TimeZone,
    zone_name: String,
}

/// Why there is no such schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not a cron line.
    #[error("{0}")]
    Cron(String),
    /// Not a time zone.
    #[error("there is no time zone '{0}'")]
    Zone(String),
    /// It is never due.
    #[error("there is no such day, so it would never be due")]
    Never,
}

/// The fields of a cron line, and the numbers that they take.
const FIELDS: [(&str, u32, u32); 5] =
    [("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 7)];

/// What is wrong with a cron line, by its field where that can be told.
fn wrong_field(line: &str, error: &croner::errors::CronError) -> String {
    for (field, (name, min, max)) in line.split_whitespace().zip(FIELDS) {
        let numbers = field.split(',').flat_map(|part| part.split('/').next().unwrap_or_default().split('-'));
        let beyond = numbers.filter_map(|text| text.parse::<u32>().ok()).find(|number| !(min..=max).contains(number));
        if let Some(number) = beyond {
            return format!("the {name} goes from {min} to {max}, and {number} is beyond that");
        }
    }
    let said = error.to_string();
    let said = said.rsplit_once(": ").map_or(said.as_str(), |(_, said)| said).trim_end_matches('.');
    format!("this is no cron line: {}", said.to_lowercase())
}

/// Times that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The latest.
    pub latest: Timestamp,
    /// How many came before it, counted up to [`MISSED_COUNT_MAX`].
    pub before: usize,
}

impl Schedule {
    /// Reads five fields (minute, hour, day of the month, month, day of the week; `L`, `W`, `#` and names are known) and the
    /// name of a time zone.
    ///
    /// # Errors
    /// What is wrong, in words for the author.
    pub fn parse(line: &str, zone_name: &str) -> Result<Self, ScheduleError> {
        let fields = line.split_whitespace().count();
        if fields != 5 || line.len() > CRON_BYTES_MAX {
            let message = "expected five fields: minute, hour, day of the month, month, day of the week";
            return Err(ScheduleError::Cron(message.to_owned()));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(line).map_err(|error| ScheduleError::Cron(wrong_field(line, &error)))?;
        let zone = TimeZone::get(zone_name).map_err(|_| ScheduleError::Zone(zone_name.to_owned()))?;
        let schedule = Self { line: line.to_owned(), cron, zone, zone_name: zone_name.to_owned() };
        match schedule.next_after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never),
        }
    }

    /// Every day at this time.
    ///
    /// # Errors
    /// As [`Schedule::parse`].
    pub fn daily((hour, minute): (u8, u8), zone_name: &str) -> Result<Self, ScheduleError> {
        Self::parse(&format!("{minute} {hour} * * *"), zone_name)
    }

    /// The cron line.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The time zone's name.
    pub fn zone_name(&self) -> &str {
        &self.zone_name
    }

    /// What tells one schedule from another.
    pub fn rule(&self) -> String {
        format!("{} {}", self.line, self.zone_name)
    }

    /// The first time after `at`.
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let next = self.cron.find_next_occurrence(&at.to_zoned(self.zone.clone()), false).ok()?.timestamp();
        (next > at).then_some(next)
    }

    /// The times after `after` up to `until`; `None` when there are none.
    pub fn due(&self, after: Timestamp, until: Timestamp) -> Option<Due> {
        let mut latest = self.next_after(after).filter(|at| *at <= until)?;
        let (mut cursor, mut before) = (latest, 0);
        while let Some(next) = self.next_after(cursor).filter(|at| *at <= until) {
            before += 1;
            (latest, cursor) = (next, next);
            if before == MISSED_COUNT_MAX {
                // Where so many come, those of the last day are enough to find the latest.
                cursor = cursor.max(until - Duration::from_secs(24 * 3600));
            }
        }
        Some(Due { latest, before: before.min(MISSED_COUNT_MAX) })
    }

    /// The time as clocks there show it: `2026-03-29T09:00:00+02:00`.
    pub fn shown(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    /// The same for people: `2026-03-29 09:00 CEST`.
    pub fn words(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M %Z").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    fn times(line: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::parse(line, zone).expect("a schedule");
        let mut last = at(from);
        (0..count)
            .map(|_| {
                last = schedule.next_after(last).expect("a next time");
                schedule.shown(last)
            })
            .collect()
    }

    #[test]
    fn a_time_that_does_not_exist_comes_after_the_gap_and_one_that_exists_twice_comes_once() {
        // Berlin, 29 March 2026: 02:00 is 03:00.
        assert_eq!(
            times("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3),
            ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
        );
        // 25 October 2026: 03:00 is 02:00.
        assert_eq!(
            times("30 2 * * *", "Europe/Berlin", "2026-10-24T00:00:00Z", 3),
            ["2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]
        );
    }

    #[test]
    fn lines_with_a_step_follow_real_time_through_both_changes() {
        assert_eq!(
            times("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:15:00Z", 3),
            ["2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"]
        );
        assert_eq!(
            times("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:15:00Z", 5),
            [
                "2026-10-25T02:30:00+02:00",
                "2026-10-25T02:00:00+01:00",
                "2026-10-25T02:30:00+01:00",
                "2026-10-25T03:00:00+01:00",
                "2026-10-25T03:30:00+01:00"
            ]
        );
    }

    #[test]
    fn missed_times_are_counted_and_the_latest_is_found_however_many_there_were() {
        let every_minute = Schedule::parse("* * * * *", "UTC").expect("a schedule");
        let due = every_minute.due(at("2026-01-01T00:00:00Z"), at("2026-01-01T00:05:30Z"));
        assert_eq!(due, Some(Due { latest: at("2026-01-01T00:05:00Z"), before: 4 }));
        assert_eq!(every_minute.due(at("2026-01-01T00:00:00Z"), at("2026-01-01T00:00:59Z")), None);
        let due = every_minute.due(at("2026-01-01T00:00:00Z"), at("2026-03-01T12:34:56Z"));
        assert_eq!(due, Some(Due { latest: at("2026-03-01T12:34:00Z"), before: MISSED_COUNT_MAX }));
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_a_reason() {
        for (line, zone) in [
            ("* * * *", "UTC"),
            ("* * * * * *", "UTC"),
            ("@daily", "UTC"),
            ("61 * * * *", "UTC"),
            ("0 0 30 2 *", "UTC"),
            ("0 9 * * *", "Europe/Berlinn"),
            ("", "UTC"),
        ] {
            assert!(Schedule::parse(line, zone).is_err(), "{line} {zone}");
        }
        assert_eq!(Schedule::parse("0 0 30 2 *", "UTC").expect_err("no such day"), ScheduleError::Never);
        assert_eq!(times("0 9 * * MON-FRI", "UTC", "2026-01-02T10:00:00Z", 1), ["2026-01-05T09:00:00+00:00"]);
    }
}
