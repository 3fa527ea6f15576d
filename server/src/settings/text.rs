//! How the values of settings are written.

use std::{str::FromStr, time::Duration};

/// A value in its type's own form.
pub(super) fn parse<T: FromStr<Err: ToString>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// A value within bounds.
pub(super) fn ensure<T>(value: T, holds: impl FnOnce(&T) -> bool, expected: &str) -> Result<T, String> {
    if holds(&value) { Ok(value) } else { Err(format!("expected {expected}")) }
}

/// One of two words.
pub(super) fn switch(text: &str, on: &str, off: &str) -> Result<bool, String> {
    match text {
        _ if text == on => Ok(true),
        _ if text == off => Ok(false),
        _ => Err(format!("expected {on} or {off}")),
    }
}

/// Whole minutes, 1 to a day.
pub(super) fn minutes(text: &str) -> Result<Duration, String> {
    Ok(Duration::from_mins(ensure(parse(text)?, |count| (1..=1_440).contains(count), "1 to 1440")?))
}

/// Whole days, 1 to ten years.
pub(super) fn days(text: &str) -> Result<Duration, String> {
    Ok(Duration::from_hours(24 * ensure(parse(text)?, |count: &u64| (1..=3_650).contains(count), "1 to 3650")?))
}

/// What stands between commas.
pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

/// Bytes, with an optional suffix of 1024, 1024², and so on.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let (number, shift) = match text.char_indices().last() {
        Some((at, 'K')) => (&text[..at], 10),
        Some((at, 'M')) => (&text[..at], 20),
        Some((at, 'G')) => (&text[..at], 30),
        Some((at, 'T')) => (&text[..at], 40),
        _ => (text, 0),
    };
    let number: u64 = parse(number).map_err(|_| "expected bytes, or a number with K, M, G or T".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "expected fewer bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_suffixes_and_refuse_nonsense() {
        assert_eq!(bytes("7"), Ok(7));
        assert_eq!(bytes("40G"), Ok(40 << 30));
        assert_eq!(bytes("16T"), Ok(16 << 40));
        for bad in ["", "G", "-1", "1.5G", "1Q", "99999999T"] {
            assert!(bytes(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn durations_hold_their_bounds() {
        assert_eq!(minutes("1440"), Ok(Duration::from_hours(24)));
        assert!(minutes("0").is_err() && minutes("1441").is_err());
        assert_eq!(days("3650"), Ok(Duration::from_hours(3_650 * 24)));
        assert!(days("0").is_err() && days("3651").is_err());
    }
}
