//! What a line of input means.

use crate::{args::sequence, failure::Failure};
use hypersend_client::protocol::{
    id::{FileId, Seq},
    name::MessageText,
};
use std::path::PathBuf;

pub(super) const HELP: &str = "\
/file PATH       send a file
/get ID [PATH]   fetch a file
/delete NUMBER   delete a message for everybody
/members         list the members
/quit            leave
//TEXT           a message that begins with /";

/// One line, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Nothing,
    Text(MessageText),
    File(PathBuf),
    Get(FileId, Option<PathBuf>),
    Delete(Seq),
    Members,
    Help,
    Quit,
}

impl Line {
    pub(super) fn parse(line: &str) -> Result<Self, Failure> {
        let line = line.trim();
        let Some(command) = line.strip_prefix('/') else { return text(line) };
        if command.starts_with('/') {
            return text(command);
        }
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let rest = rest.trim();
        match (name, rest) {
            ("file", path) if !path.is_empty() => Ok(Self::File(expand(path))),
            ("get", rest) if !rest.is_empty() => {
                let (id, path) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                let id = id.parse().map_err(|_| Failure::usage(format!("{id:?} is no file's id")))?;
                Ok(Self::Get(id, Some(path.trim()).filter(|path| !path.is_empty()).map(expand)))
            }
            ("delete", number) => sequence(number).map(Self::Delete).map_err(|_| usage("/delete NUMBER")),
            ("members", "") => Ok(Self::Members),
            ("help", "") => Ok(Self::Help),
            ("quit", "") => Ok(Self::Quit),
            ("file", _) => Err(usage("/file PATH")),
            ("get", _) => Err(usage("/get ID [PATH]")),
            _ => Err(Failure::usage(format!("there is no command /{name}"))
                .or_try("/help; or //, for a message that begins with /")),
        }
    }
}

fn usage(form: &str) -> Failure {
    Failure::usage(format!("the command is {form}"))
}

fn text(text: &str) -> Result<Line, Failure> {
    if text.is_empty() {
        return Ok(Line::Nothing);
    }
    Ok(Line::Text(MessageText::parse(text)?))
}

/// No shell has done it for us.
fn expand(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn lines_are_messages_unless_they_begin_with_a_slash() {
        let text = |text: &str| Ok(Line::Text(text.parse().unwrap()));
        assert_eq!(Line::parse("  hello "), text("hello"));
        assert_eq!(Line::parse("//quit"), text("/quit"));
        assert_eq!(Line::parse("///"), text("//"));
        assert_eq!(Line::parse(" \t"), Ok(Line::Nothing));
        assert!(Line::parse(&"x".repeat(1 << 20)).is_err());
    }

    #[test]
    fn commands_take_what_they_need_and_say_what_that_is() {
        let id = FileId(Uuid::from_u128(7));
        assert_eq!(Line::parse("/file a b.txt "), Ok(Line::File("a b.txt".into())));
        assert_eq!(Line::parse(&format!("/get {id}")), Ok(Line::Get(id, None)));
        assert_eq!(Line::parse(&format!("/get {id} a b")), Ok(Line::Get(id, Some("a b".into()))));
        assert_eq!(Line::parse("/delete #12"), Ok(Line::Delete(Seq(12))));
        assert_eq!(Line::parse("/quit"), Ok(Line::Quit));
        for bad in ["/", "/nonsense", "/file", "/get", "/get x", "/delete", "/delete x", "/delete 0", "/quit now"] {
            assert!(Line::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
