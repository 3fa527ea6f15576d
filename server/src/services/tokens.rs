//! Access and refresh tokens. Sessions, which refresh tokens belong to, are in the store.

use crate::{
    settings::SecretKey,
    store::sessions::{Session, TokenHash},
};
use data_encoding::BASE64URL_NOPAD;
use hypersend_protocol::{
    id::{SessionId, UserId},
    name::Token,
    time::UnixMillis,
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt, time::Duration};
use uuid::Uuid;

/// `iss` and `aud` of every access token: one made for anything else with the same key is not taken.
const ISSUER: &str = "hypersend";
const AUDIENCE: &str = "hypersend-api";

/// Makes and checks tokens. Prints as `***`.
#[derive(Clone)]
pub struct TokenKey {
    encoding: EncodingKey,
    decoding: DecodingKey,
    access_lifetime: Duration,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The claims of an access token (RFC 7519, 4.1).
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    /// The user.
    sub: UserId,
    /// The session.
    sid: SessionId,
    /// Makes each token different.
    jti: Uuid,
    /// Made at, in seconds since 1970.
    iat: u64,
    /// Expires at, in seconds since 1970.
    exp: u64,
}

/// Whom an access token speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The user.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
}

impl TokenKey {
    /// Signs with `secret` (HMAC with SHA-256); access tokens live for `access_lifetime`.
    pub fn new(secret: &SecretKey, access_lifetime: Duration) -> Self {
        let secret = secret.as_bytes();
        Self { encoding: EncodingKey::from_secret(secret), decoding: DecodingKey::from_secret(secret), access_lifetime }
    }

    /// A fresh access token and its expiry.
    pub fn access(&self, session: &Session, now: UnixMillis) -> (Token, UnixMillis) {
        let iat = now.0 / 1_000;
        let exp = iat + self.access_lifetime.as_secs();
        let (sub, sid, jti) = (session.user, session.id, Uuid::new_v4());
        let claims = Claims { iss: ISSUER.into(), aud: AUDIENCE.into(), sub, sid, jti, iat, exp };
        let text = encode(&Header::new(Algorithm::HS256), &claims, &self.encoding).expect("claims are plain values");
        (Token::parse(&text).expect("a JWT is short and printable"), UnixMillis(exp * 1_000))
    }

    /// Whom a token speaks for; `None` when it is not ours, was changed, or has expired. Whether its session has ended
    /// since is another question.
    pub fn verify(&self, token: &Token) -> Option<Bearer> {
        // The algorithm is pinned: a token that names another, or none, is refused (RFC 8725, 3.1).
        let mut rules = Validation::new(Algorithm::HS256);
        rules.leeway = 0;
        rules.set_issuer(&[ISSUER]);
        rules.set_audience(&[AUDIENCE]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let claims = decode::<Claims>(token.as_str(), &self.decoding, &rules).ok()?.claims;
        Some(Bearer { user: claims.sub, session: claims.sid })
    }
}

/// A fresh refresh token of a session: the session's id and 32 random bytes.
pub(super) fn refresh_token(session: SessionId) -> Token {
    let mut bytes = [0; 48];
    bytes[..16].copy_from_slice(session.0.as_bytes());
    getrandom::fill(&mut bytes[16..]).expect("the kernel gives random bytes");
    Token::parse(&BASE64URL_NOPAD.encode(&bytes)).expect("64 printable characters")
}

/// The session that a refresh token names, and what is stored of the token; `None` when it is none of ours.
pub(super) fn read_refresh_token(token: &Token) -> Option<(SessionId, TokenHash)> {
    let bytes = BASE64URL_NOPAD.decode(token.as_str().as_bytes()).ok()?;
    let bytes: [u8; 48] = bytes.try_into().ok()?;
    let (session, _) = bytes.split_first_chunk::<16>().expect("48 bytes have 16 in front");
    Some((SessionId(Uuid::from_bytes(*session)), hash_refresh_token(token)))
}

/// What is stored of a refresh token. A plain hash is enough for 256 random bits.
pub(super) fn hash_refresh_token(token: &Token) -> TokenHash {
    TokenHash(Sha256::digest(token.as_str()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn session() -> Session {
        Session {
            id: SessionId(Uuid::from_u128(1)),
            user: UserId(Uuid::from_u128(2)),
            agent: String::new(),
            created: UnixMillis(0),
            current: TokenHash([0; 32]),
            previous: None,
            rotated: UnixMillis(0),
            expires: UnixMillis(u64::MAX),
            ended: None,
        }
    }

    fn key(secret: &str) -> TokenKey {
        TokenKey::new(&SecretKey::parse(secret).unwrap(), Duration::from_mins(15))
    }

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn an_access_token_speaks_for_its_session_until_it_expires() {
        let now = UnixMillis::from(SystemTime::now());
        let (token, expires) = key(SECRET).access(&session(), now);
        // Whole seconds, by the standard: up to one less.
        assert!((899..=900).contains(&expires.since(now).as_millis().div_ceil(1_000)), "{expires:?}");
        assert_eq!(key(SECRET).verify(&token), Some(Bearer { user: session().user, session: session().id }));
        let (old, _) = key(SECRET).access(&session(), UnixMillis(now.0 - 901_000));
        assert_eq!(key(SECRET).verify(&old), None);
    }

    #[test]
    fn foreign_and_altered_tokens_are_refused() {
        let now = UnixMillis::from(SystemTime::now());
        let (foreign, _) = key("another secret of thirty-two byte").access(&session(), now);
        assert_eq!(key(SECRET).verify(&foreign), None);
        let (ours, _) = key(SECRET).access(&session(), now);
        let mut parts: Vec<&str> = ours.as_str().split('.').collect();
        let none = BASE64URL_NOPAD.encode(br#"{"alg":"none","typ":"JWT"}"#);
        parts[0] = &none;
        assert_eq!(key(SECRET).verify(&Token::parse(&parts.join(".")).unwrap()), None);
        parts[2] = "";
        assert_eq!(key(SECRET).verify(&Token::parse(&parts.join(".")).unwrap()), None);
    }

    #[test]
    fn a_refresh_token_names_its_session_and_is_stored_hashed() {
        let token = refresh_token(session().id);
        let (named, hash) = read_refresh_token(&token).unwrap();
        assert_eq!((named, hash), (session().id, hash_refresh_token(&token)));
        assert_ne!(refresh_token(session().id), token);
        assert!(read_refresh_token(&Token::parse("short").unwrap()).is_none());
    }
}
