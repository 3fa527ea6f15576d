//! Where lines come from: a prompt with editing on a terminal, plain lines elsewhere.
//!
//! Both are read on a thread of their own, which the end of the process ends. The prompt appears again only when the line
//! before it was taken: whoever leaves does so while the terminal is as it was found.

use crate::talk::Printer;
use rustyline::{
    Config, Context, Editor, ExternalPrinter, Helper, completion::Completer, error::ReadlineError,
    highlight::Highlighter, hint::Hinter, history::MemHistory, validate::Validator,
};
use std::{
    io::{self, BufRead, IsTerminal, Write},
    thread,
};
use tokio::sync::mpsc;
use unicode_width::UnicodeWidthStr;

/// Lines read ahead; then reading waits.
const AHEAD: usize = 64;

/// The longest line looked at, in bytes: more than a message can have, so that a longer one is refused as too long.
const LONGEST: usize = 64 << 10;

const PROMPT: &str = "> ";

/// Where lines come from.
pub(super) struct Lines {
    input: mpsc::Receiver<Input>,
    /// Lets the prompt appear again.
    prompt: Option<std::sync::mpsc::Sender<()>>,
}

impl Lines {
    /// The next thing that somebody did; `None` at the end. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Input> {
        self.input.recv().await
    }

    /// A line was dealt with, and another is wanted.
    pub(super) fn taken(&self) {
        if let Some(prompt) = &self.prompt {
            // At the end of the input nobody waits for it.
            let _ = prompt.send(());
        }
    }
}

/// What comes from the keyboard or a pipe.
#[derive(Debug)]
pub(super) enum Input {
    Line(String),
    /// A key was pressed.
    Typing,
    Interrupted,
}

/// Reads standard input line by line.
pub(super) fn lines() -> Lines {
    let (sender, input) = mpsc::channel(AHEAD);
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        let mut line = Vec::new();
        while read_line(&mut input, &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            if sender.blocking_send(Input::Line(text)).is_err() {
                return;
            }
        }
    });
    Lines { input, prompt: None }
}

/// Reads one line, and of a long one only the beginning.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    line.clear();
    let mut read = 0;
    loop {
        let buffer = input.fill_buf()?;
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let taken = end.map_or(buffer.len(), |end| end + 1);
        line.extend_from_slice(&buffer[..taken.min(LONGEST - line.len())]);
        input.consume(taken);
        read += taken;
        if end.is_some() || taken == 0 {
            return Ok(read);
        }
    }
}

/// A prompt, and two printers that write above it; `None` where that cannot be.
pub(super) fn prompt() -> Option<(Lines, [Printer; 2])> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return None;
    }
    let (sender, input) = mpsc::channel(AHEAD);
    let (prompt, prompts) = std::sync::mpsc::channel();
    let config = Config::builder().build();
    let mut editor = Editor::<Keys, MemHistory>::with_history(config, MemHistory::new()).ok()?;
    let printers = [printer(&mut editor)?, printer(&mut editor)?];
    editor.set_helper(Some(Keys(sender.clone())));
    thread::spawn(move || edit(&mut editor, &sender, &prompts));
    Some((Lines { input, prompt: Some(prompt) }, printers))
}

fn printer(editor: &mut Editor<Keys, MemHistory>) -> Option<Printer> {
    let mut printer = editor.create_external_printer().ok()?;
    // Without a terminal there is nobody to print for.
    Some(Box::new(move |text| drop(printer.print(text))))
}

fn edit(editor: &mut Editor<Keys, MemHistory>, sender: &mpsc::Sender<Input>, prompts: &std::sync::mpsc::Receiver<()>) {
    loop {
        let line = match editor.readline(PROMPT) {
            Ok(line) => {
                erase(&line, editor.dimensions().map_or(80, |(columns, _)| usize::from(columns)));
                // A line that cannot be remembered is still sent.
                let _ = editor.add_history_entry(line.as_str());
                line
            }
            Err(ReadlineError::Interrupted) => {
                // Nobody to tell is as good as told.
                let _ = sender.blocking_send(Input::Interrupted);
                return;
            }
            Err(_) => return,
        };
        if sender.blocking_send(Input::Line(line)).is_err() || prompts.recv().is_err() {
            return;
        }
    }
}

/// Takes the typed line off the screen: it comes back as a message, with its number and time.
fn erase(line: &str, columns: usize) {
    let rows = (PROMPT.len() + line.width()) / columns.max(1) + 1;
    let mut out = io::stdout().lock();
    // Cursor up, clear to the end (ECMA-48, 8.3.22 and 8.3.39). It is only cosmetics.
    let _ = write!(out, "\x1b[{rows}A\r\x1b[J").and_then(|()| out.flush());
}

/// Notices that somebody types.
struct Keys(mpsc::Sender<Input>);

impl Hinter for Keys {
    type Hint = String;

    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<String> {
        if !line.is_empty() && !line.starts_with('/') {
            // When the channel is full there is enough to do.
            let _ = self.0.try_send(Input::Typing);
        }
        None
    }
}

impl Helper for Keys {}
impl Completer for Keys {
    type Candidate = String;
}
impl Highlighter for Keys {}
impl Validator for Keys {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_whole_and_long_ones_cut() {
        let long = "x".repeat(LONGEST + 10);
        let text = format!("one\n\n{long}\nlast");
        let mut input = io::BufReader::with_capacity(7, text.as_bytes());
        let mut line = Vec::new();
        let mut lengths = Vec::new();
        while read_line(&mut input, &mut line).unwrap() > 0 {
            lengths.push(line.len());
        }
        assert_eq!(lengths, [4, 1, LONGEST, 4]);
    }
}
