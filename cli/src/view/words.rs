//! Times, paces, names and texts, as people read them.

use hypersend_client::{
    Progress,
    protocol::{account::Profile, p2p::OfferedFile, size::Size, time::UnixMillis},
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

/// `18.4 ms`, `0.08 ms`.
pub(crate) fn millis(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1_000.0;
    if millis < 1.0 { format!("{millis:.2} ms") } else { format!("{millis:.1} ms") }
}

/// `8444, 8445`.
pub(crate) fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
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

/// `film.mkv`, or `film.mkv and 3 more`.
pub(crate) fn title(files: &[OfferedFile]) -> String {
    let first = files.first().map_or_else(String::new, |file| printable(file.name.as_str()));
    match files.len() {
        0 | 1 => first,
        many => format!("{first} and {} more", many - 1),
    }
}

/// Somebody's name, who may be none of a chat's members any more.
pub(crate) fn name(of: Option<&Profile>) -> String {
    of.map_or_else(|| "somebody who left".to_owned(), |profile| profile.name.to_string())
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
    fn short_times_keep_their_digits() {
        let shown = [83, 999, 18_430].map(|micros| millis(Duration::from_micros(micros)));
        assert_eq!(shown, ["0.08 ms", "1.00 ms", "18.4 ms"]);
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
