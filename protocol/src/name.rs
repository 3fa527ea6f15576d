//! Texts that people type, parsed once: a value of one of these types is safe to store, to show and (a [`FileName`]) to
//! create in a folder.

use crate::limit::{
    MAX_CHAT_TITLE_BYTES, MAX_DISPLAY_NAME_BYTES, MAX_EMAIL_BYTES, MAX_FILE_NAME_BYTES, MAX_MESSAGE_BYTES,
    MAX_PASSWORD_BYTES, MAX_RELAY_HOST_BYTES, MAX_RELAY_NAME_BYTES, MAX_TOKEN_BYTES,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a text was refused. The message names the kind of text and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing but white space.
    #[error("{what} is empty; give at least one character")]
    Empty {
        /// The kind of text.
        what: &'static str,
    },
    /// More bytes than the limit.
    #[error("{what} has {length} bytes; at most {limit} are allowed")]
    TooLong {
        /// The kind of text.
        what: &'static str,
        /// Its length, in bytes.
        length: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A character that this kind of text cannot have.
    #[error("{what} contains {character:?}{}; remove it", named(*character))]
    Forbidden {
        /// The kind of text.
        what: &'static str,
        /// The first such character.
        character: char,
    },
    /// `.` or `..`.
    #[error("file name {0:?} stands for a folder; choose another")]
    Folder(String),
    /// Not of the form `name@domain`.
    #[error("email address {0:?} is not of the form name@domain")]
    NotAnEmail(String),
}

/// What people call a character that they may not recognise by itself.
fn named(character: char) -> &'static str {
    match character {
        '/' => " (a slash)",
        '\\' => " (a backslash)",
        _ => "",
    }
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $limit:ident, $check:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Accepts a text or says what is wrong with it.
            pub fn parse(raw: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<String, NameError> = $check;
                let text = check(raw)?;
                if text.is_empty() {
                    return Err(NameError::Empty { what: $what });
                }
                if text.len() > $limit {
                    return Err(NameError::TooLong { what: $what, length: text.len(), limit: $limit });
                }
                Ok(Self(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(raw: String) -> Result<Self, NameError> {
                Self::parse(&raw)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(raw: &str) -> Result<Self, NameError> {
                Self::parse(raw)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> String {
                text.0
            }
        }
    )+};
}

macro_rules! shown {
    ($($name:ident)+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    )+};
}

macro_rules! hidden {
    ($($name:ident)+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("***")
            }
        }
    )+};
}

texts! {
    /// An email address, lower-cased: accounts do not differ by case.
    Email, "email address", MAX_EMAIL_BYTES, email;
    /// What others see of a user.
    DisplayName, "display name", MAX_DISPLAY_NAME_BYTES, |raw| one_line("display name", raw);
    /// What members see of a group.
    ChatTitle, "chat title", MAX_CHAT_TITLE_BYTES, |raw| one_line("chat title", raw);
    /// The text of a message; line breaks and tabs are kept, white space at the ends is not.
    MessageText, "message", MAX_MESSAGE_BYTES, |raw| {
        match raw.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            Some(character) => Err(NameError::Forbidden { what: "message", character }),
            None => Ok(raw.trim().to_owned()),
        }
    };
    /// A file's own name: one path component that any common file system can create.
    FileName, "file name", MAX_FILE_NAME_BYTES, |raw| {
        if raw == "." || raw == ".." {
            return Err(NameError::Folder(raw.to_owned()));
        }
        match raw.chars().find(|&c| c.is_control() || matches!(c, '/' | '\\')) {
            Some(character) => Err(NameError::Forbidden { what: "file name", character }),
            None => Ok(raw.to_owned()),
        }
    };
    /// What people call a relay.
    RelayName, "relay name", MAX_RELAY_NAME_BYTES, |raw| one_line("relay name", raw);
    /// Where a relay is: a host name, or an IP address without brackets.
    RelayHost, "relay host", MAX_RELAY_HOST_BYTES, |raw| {
        match raw.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_' | ':')) {
            Some(character) => Err(NameError::Forbidden { what: "relay host", character }),
            None => Ok(raw.to_owned()),
        }
    };
    /// A password as typed. Prints as `***`.
    Password, "password", MAX_PASSWORD_BYTES, |raw| {
        // bcrypt works on C strings: what stands behind a NUL would not count.
        if raw.contains('\0') {
            return Err(NameError::Forbidden { what: "password", character: '\0' });
        }
        Ok(raw.to_owned())
    };
    /// An access or refresh token. Prints as `***`.
    Token, "token", MAX_TOKEN_BYTES, |raw| match raw.chars().find(|c| !c.is_ascii_graphic()) {
        Some(character) => Err(NameError::Forbidden { what: "token", character }),
        None => Ok(raw.to_owned()),
    };
}

shown! { Email DisplayName ChatTitle MessageText FileName RelayName RelayHost }
hidden! { Password Token }

fn one_line(what: &'static str, raw: &str) -> Result<String, NameError> {
    match raw.chars().find(|c| c.is_control()) {
        Some(character) => Err(NameError::Forbidden { what, character }),
        None => Ok(raw.trim().to_owned()),
    }
}

fn email(raw: &str) -> Result<String, NameError> {
    let text = one_line("email address", raw)?.to_lowercase();
    if text.is_empty() {
        return Err(NameError::Empty { what: "email address" });
    }
    if text.len() > MAX_EMAIL_BYTES {
        return Err(NameError::TooLong { what: "email address", length: text.len(), limit: MAX_EMAIL_BYTES });
    }
    // Deliverability is the mail server's business; this refuses what cannot be an address at all (RFC 5321, 4.1.2).
    let bad = || NameError::NotAnEmail(raw.to_owned());
    let (local, domain) = text.rsplit_once('@').ok_or_else(bad)?;
    let label = |l: &str| !l.is_empty() && !l.starts_with('-') && l.chars().all(|c| c.is_alphanumeric() || c == '-');
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '@' | ',' | ';' | '<' | '>' | '(' | ')' | '"' | '\\');
    let sound = !local.is_empty() && local.len() <= 64 && local.chars().all(plain) && domain.split('.').all(label);
    sound.then_some(text).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_that_leave_their_folder_are_refused() {
        for bad in ["", ".", "..", "a/b", "/etc/passwd", "a\\b", "nul\0", "new\nline"] {
            assert!(FileName::parse(bad).is_err(), "{bad:?} was accepted");
        }
        for good in ["a", "...", "film (1).mkv", "überraschung.pdf", " spaced "] {
            assert_eq!(FileName::parse(good).unwrap().as_str(), good);
        }
        let error = FileName::parse("a/b").unwrap_err().to_string();
        assert_eq!(error, "file name contains '/' (a slash); remove it");
    }

    #[test]
    fn every_length_limit_holds_from_both_sides() {
        let at = |n: usize| "x".repeat(n);
        assert!(FileName::parse(&at(MAX_FILE_NAME_BYTES)).is_ok());
        assert!(FileName::parse(&at(MAX_FILE_NAME_BYTES + 1)).is_err());
        assert!(MessageText::parse(&at(MAX_MESSAGE_BYTES)).is_ok());
        assert!(MessageText::parse(&at(MAX_MESSAGE_BYTES + 1)).is_err());
        assert!(DisplayName::parse(&at(MAX_DISPLAY_NAME_BYTES)).is_ok());
        assert!(DisplayName::parse(&at(MAX_DISPLAY_NAME_BYTES + 1)).is_err());
        assert!(ChatTitle::parse(&at(MAX_CHAT_TITLE_BYTES)).is_ok());
        assert!(ChatTitle::parse(&at(MAX_CHAT_TITLE_BYTES + 1)).is_err());
        assert!(Password::parse(&at(MAX_PASSWORD_BYTES)).is_ok());
        assert!(Password::parse(&at(MAX_PASSWORD_BYTES + 1)).is_err());
        assert!(Token::parse(&at(MAX_TOKEN_BYTES)).is_ok());
        assert!(Token::parse(&at(MAX_TOKEN_BYTES + 1)).is_err());
        let domain = "@example.org";
        assert!(Email::parse(&(at(64) + domain)).is_ok());
        assert!(Email::parse(&(at(65) + domain)).is_err());
        let long = |n: usize| format!("a@{}", vec!["d"; n].join("."));
        assert_eq!(long(126).len(), MAX_EMAIL_BYTES - 1);
        assert!(Email::parse(&long(126)).is_ok());
        assert!(Email::parse(&long(127)).is_err());
    }

    #[test]
    fn email_addresses_are_folded_and_checked() {
        assert_eq!(Email::parse(" Ann@Example.ORG ").unwrap().as_str(), "ann@example.org");
        for bad in ["", "ann", "@x", "ann@", "a b@x", "ann@x..y", "ann@-x", "a@b@c", "<a@b>"] {
            assert!(Email::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn an_overlong_email_address_is_not_quoted() {
        let error = Email::parse(&"x".repeat(1 << 20)).unwrap_err();
        assert!(matches!(error, NameError::TooLong { length: 1_048_576, limit: MAX_EMAIL_BYTES, .. }));
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(format!("{:?}", Password::parse("hunter22").unwrap()), "***");
        assert_eq!(format!("{:?}", Token::parse("abc").unwrap()), "***");
    }
}
