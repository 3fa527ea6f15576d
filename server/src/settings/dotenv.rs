//! The file `.env`: lines `NAME=value`, with `#` comments, blank lines, an optional `export` and optional quotes.

use super::Environment;
use std::{io, path::Path};

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DotenvError {
    /// It is there and cannot be read.
    #[error("read .env")]
    Read(#[from] io::Error),
    /// A line is not a setting.
    #[error(".env, line {line}: expected NAME=value")]
    Line {
        /// Its number, from 1.
        line: usize,
    },
}

/// Reads a file, which may be missing.
pub fn read_dotenv(path: &Path) -> Result<Environment, DotenvError> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Environment::new()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn parse(text: &str) -> Result<Environment, DotenvError> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| setting(line).ok_or(DotenvError::Line { line: number }))
        .collect()
}

fn setting(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    let name = name.trim();
    let sound = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    sound.then(|| (name.to_owned(), unquoted(value.trim()).to_owned()))
}

fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inner.0;
        }
    }
    // A comment behind a bare value.
    value.split_once(" #").map_or(value, |(value, _)| value.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_the_usual_forms_are_read() {
        let text = "# comment\n\nA=1\nexport B = two words # why\nC=\"quoted # not a comment\"\nD='x'\nE=\n";
        let read = parse(text).unwrap();
        let value = |name: &str| read[name].as_str();
        assert_eq!([value("A"), value("B"), value("C")], ["1", "two words", "quoted # not a comment"]);
        assert_eq!([value("D"), value("E")], ["x", ""]);
    }

    #[test]
    fn a_line_that_is_no_setting_is_named() {
        let error = parse("A=1\nnonsense\n").unwrap_err();
        assert_eq!(error.to_string(), ".env, line 2: expected NAME=value");
        assert!(parse("a b=1").is_err() && parse("=1").is_err());
    }
}
