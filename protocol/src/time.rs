//! Moments, as they travel and as they are stored.

use serde::{Deserialize, Serialize};
use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A moment by the server's clock, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// This moment and a duration more; stays at the end of time instead of wrapping.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The moment as the standard library writes it. One that the system's clock cannot hold (Windows ends in the year
    /// 30828, and a peer may send any number) reads as 1970.
    pub fn to_system_time(self) -> SystemTime {
        UNIX_EPOCH.checked_add(Duration::from_millis(self.0)).unwrap_or(UNIX_EPOCH)
    }
}

impl From<SystemTime> for UnixMillis {
    /// A clock set before 1970 reads as 1970.
    fn from(time: SystemTime) -> Self {
        Self::default().plus(time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

/// RFC 3339 in UTC, to the millisecond: `2026-11-23T09:40:12.345Z`.
impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.0 / 86_400_000);
        let (minutes, seconds, millis) = (self.0 / 60_000 % 1_440, self.0 / 1_000 % 60, self.0 % 1_000);
        let (hour, minute) = (minutes / 60, minutes % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{seconds:02}.{millis:03}Z")
    }
}

/// Year, month and day of a day counted from 1970. The method is Howard Hinnant's `civil_from_days`: years that begin in
/// March, in eras of 400 years.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march = (5 * day + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day - (153 * march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_164_799_999, "2024-02-28T23:59:59.999Z"),
            (1_795_340_412_345, "2026-11-22T09:40:12.345Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(UnixMillis(millis).to_string(), text);
        }
        // A peer may send any number.
        assert!(!UnixMillis(u64::MAX).to_string().is_empty());
    }
}
