//! Times, paces and texts, as people read them.

use hypersend_client::{
    Progress,
    protocol::{size::Size, time::UnixMillis},
};
use std::time::Duration;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// `0.5 s`, `9 s`, `2 min 5 s`, `3 h 20 min`.
pub(crate) fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        0 if duration.is_zero() => "0 s".to_owned(),
        0 => format!("0.{} s", duration.subsec_millis().div_ceil(100).clamp(1, 9)),
        seconds @ 1..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// `2.1 GiB of 5.0 GiB`.
pub(crate) fn fraction(progress: &Progress) -> String {
    format!("{} of {}", Size(progress.stored_bytes), Size(progress.total_bytes))
}

/// `312.0 MiB/s, 9 s left`.
pub(crate) fn pace(progress: &Progress) -> String {
    let rate = format!("{}/s", Size(progress.bytes_per_second));
    match progress.remaining {
        Some(left) if !left.is_zero() => format!("{rate}, {} left", duration(left)),
        _ => rate,
    }
}

/// `2026-11-23 09:40`, UTC.
pub(crate) fn minute(at: UnixMillis) -> String {
    let text = at.to_string();
    let (day, _) = text.split_once('T').expect("RFC 3339 has a T");
    format!("{day} {}", clock(at))
}

/// `09:40`, UTC.
pub(crate) fn clock(at: UnixMillis) -> String {
    let minutes = at.0 / 60_000 % 1_440;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Without what could command a terminal, or make a text seem another: control characters other than line breaks and
/// tabs, and the marks that turn the direction of writing.
pub(crate) fn printable(text: &str) -> String {
    let harmful = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t')) || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(|&c| !harmful(c)).collect()
}

/// One line of it, at most so many columns wide.
pub(crate) fn short(text: &str, columns: usize) -> String {
    let line: String = printable(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if line.width() <= columns {
        return line;
    }
    let mut width = 1;
    let fits = line.chars().take_while(|c| {
        width += c.width().unwrap_or(0);
        width <= columns
    });
    fits.collect::<String>() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_speech() {
        for (millis, text) in [
            (0, "0 s"),
            (1, "0.1 s"),
            (500, "0.5 s"),
            (999, "0.9 s"),
            (9_700, "9 s"),
            (125_000, "2 min 5 s"),
            (12_000_000, "3 h 20 min"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn moments_are_shown_to_the_minute() {
        assert_eq!(minute(UnixMillis(1_795_340_412_345)), "2026-11-22 09:40");
        assert_eq!(clock(UnixMillis(1_795_340_412_345)), "09:40");
    }

    #[test]
    fn texts_are_harmless_and_fit() {
        assert_eq!(printable("a\x1b[2Jb\r\nc\u{202e}"), "a[2Jb\nc");
        assert_eq!(short("one\ntwo  three", 20), "one two three");
        assert_eq!(short("abcdef", 6), "abcdef");
        assert_eq!(short("abcdefg", 6), "abcde…");
        assert_eq!(short("日本語日本語", 6), "日本…");
    }
}
