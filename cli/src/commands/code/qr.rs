//! A QR code (ISO/IEC 18004) for a terminal.

use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};

/// Black on white, whatever colours the terminal has: many readers do not take it the other way round.
const COLOURS: &str = "\x1b[30;107m";
const USUAL: &str = "\x1b[0m";

/// Lines of half blocks, two modules high each; `None` for a text that is too long.
pub(super) fn draw(text: &str) -> Option<Vec<String>> {
    // A screen is not scratched: the lowest level makes the smallest picture.
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let picture = code.render::<Dense1x2>().build();
    Some(picture.lines().map(|line| format!("{COLOURS}{line}{USUAL}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fits_a_terminal_and_is_left_out_where_it_cannot_be() {
        let lines = draw("HYPERSEND:CHAT.EXAMPLE.ORG:8443/7-APPLE-RIVER-MOON").unwrap();
        let widths: Vec<usize> = lines.iter().map(|line| line.chars().count() - COLOURS.len() - USUAL.len()).collect();
        assert!(lines.len() <= 24 && widths.iter().all(|&width| width == widths[0] && width <= 80), "{widths:?}");
        assert_eq!(draw(&"x".repeat(10_000)), None);
    }
}
