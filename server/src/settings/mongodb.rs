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

    /// A text that may cite the address, without what is secret in it: the password, alone or behind the name.
    pub fn hide_secrets_in(&self, text: &str) -> String {
        let behind = self.0.split_once("://").map_or("", |(_, behind)| behind);
        let Some((login, _)) = behind.rsplit_once('@') else { return text.to_owned() };
        let Some((_, password)) = login.split_once(':').filter(|(_, password)| !password.is_empty()) else {
            return text.to_owned();
        };
        text.replace(login, "***").replace(password, "***")
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
        let open = MongodbUri::parse("mongodb://ann@db.example.org").unwrap();
        assert_eq!(open.hide_secrets_in("cannot reach ann@db.example.org"), "cannot reach ann@db.example.org");
        assert!(MongodbUri::parse("postgres://db.example.org").is_err());
    }
}
