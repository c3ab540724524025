//! How long to wait before trying again.

use std::time::Duration;

/// Waits that grow by a factor up to a ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// What each further wait is multiplied by.
    pub factor: u32,
    /// The longest wait.
    pub longest: Duration,
}

impl Backoff {
    /// The wait after the `failures`-th failure in a row, counted from 1.
    pub fn after(&self, failures: u32) -> Duration {
        let exponent = failures.saturating_sub(1).min(31);
        let factor = self.factor.saturating_pow(exponent);
        self.first.saturating_mul(factor).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_ceiling_and_never_overflow() {
        let backoff = Backoff { first: Duration::from_secs(1), factor: 5, longest: Duration::from_secs(60) };
        let waits: Vec<u64> = [0, 1, 2, 3, 4, u32::MAX].iter().map(|n| backoff.after(*n).as_secs()).collect();
        assert_eq!(waits, [1, 1, 5, 25, 60, 60]);
    }
}
