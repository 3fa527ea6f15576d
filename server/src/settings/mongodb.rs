//! Where a MongoDB is. The address may hold a password.

use std::fmt;

/// A connection string. Prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct MongodbUri(String);

impl MongodbUri {
    /// Accepts a connection string by its scheme; the rest is looked at by whoever connects.
    pub fn parse(text: &str) -> Result<Self, String> {
        let known = ["mongodb://", "mongodb+srv://"].iter().any(|scheme| text.starts_with(scheme));
        if known { Ok(Self(text.to_owned())) } else { Err("expected mongodb://... or mongodb+srv://...".into()) }
    }

    /// The connection string.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A text that may cite the address, without what is secret in it: whatever stands before an `@`.
    pub fn hide_secrets_in(&self, text: &str) -> String {
        let behind = self.0.split_once("://").map_or("", |(_, behind)| behind);
        let Some((login, _)) = behind.rsplit_once('@') else { return text.to_owned() };
        let mut secrets: Vec<&str> = login.split(':').chain([login]).filter(|part| !part.is_empty()).collect();
        secrets.sort_unstable_by_key(|part| std::cmp::Reverse(part.len()));
        secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

impl fmt::Debug for MongodbUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_not_shown() {
        let uri = MongodbUri::parse("mongodb://ann:pass%zz@db.example.org/chat").unwrap();
        assert_eq!(format!("{uri:?}"), "***");
        assert_eq!(uri.hide_secrets_in("cannot decode \"pass%zz\" of ann:pass%zz"), "cannot decode \"***\" of ***");
        assert!(MongodbUri::parse("postgres://db.example.org").is_err());
    }
}
