//! What an operator tells nobody.

use hypersend_protocol::name::Token;
use std::fmt;

/// What access tokens are signed with, or an operator's own token. Prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(String);

impl SecretKey {
    /// The fewest bytes accepted: as many as HMAC-SHA-256 puts out (RFC 7518, 3.2).
    pub const MIN_BYTES: usize = 32;

    /// Accepts a key or says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() < Self::MIN_BYTES {
            return Err(format!("has {} bytes; give at least {}", text.len(), Self::MIN_BYTES));
        }
        Ok(Self(text.to_owned()))
    }

    /// Accepts a key that can be shown in a header, or says what is wrong with it.
    pub fn parse_bearer(text: &str) -> Result<Self, String> {
        let key = Self::parse(text)?;
        let fits = key.0.parse::<Token>().is_ok();
        if fits { Ok(key) } else { Err("expected letters, digits and signs of ASCII, without spaces".into()) }
    }

    /// The key.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether that is it; in a time that does not tell how much of it is right.
    pub fn is(&self, shown: &str) -> bool {
        blake3::hash(shown.as_bytes()) == blake3::hash(self.as_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
