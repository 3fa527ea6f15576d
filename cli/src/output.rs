//! Standard output: data, and nothing else.

use crate::failure::Failure;
use serde::Serialize;
use std::{
    fmt::Display,
    io::{self, Write},
};

/// Where results go, in one of two forms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints a result, as JSON or for people. Nothing at all when that is nothing.
    pub(crate) fn print(self, result: &(impl Serialize + Display)) -> Result<(), Failure> {
        let text =
            if self.json { serde_json::to_string(result).expect("results are JSON") } else { result.to_string() };
        let text = text.trim_end_matches('\n');
        if text.is_empty() { Ok(()) } else { line(text) }
    }
}

/// Prints one line, at once.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}
