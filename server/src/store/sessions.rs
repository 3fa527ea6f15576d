//! Sessions: the families of refresh tokens.
//!
//! A session has one current refresh token, and every use replaces it (RFC 9700, 2.2.2). A token presented after it was
//! replaced means that two parties hold the family: the session ends. One case is no theft: the answer with the new
//! token was lost on the way, and the client comes again with the old one. So the token just replaced is accepted once
//! more within [`ROTATION_GRACE`], as long as its successor has not been used; the lost successor is dropped, and using
//! it ends the session.

use data_encoding::HEXLOWER;
use hypersend_protocol::{
    id::{SessionId, UserId},
    time::UnixMillis,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::time::Duration;

/// How long after its replacement a refresh token is still taken for a retry.
pub const ROTATION_GRACE: Duration = Duration::from_mins(1);

/// The SHA-256 of a refresh token; the token itself is never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl Serialize for TokenHash {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&HEXLOWER.encode(&self.0))
    }
}

impl<'a> Deserialize<'a> for TokenHash {
    fn deserialize<D: Deserializer<'a>>(input: D) -> Result<Self, D::Error> {
        let hash = HEXLOWER.decode(String::deserialize(input)?.as_bytes()).map_err(D::Error::custom)?;
        hash.try_into().map(Self).map_err(|_| D::Error::custom("a hash of another length"))
    }
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// The program that began it, in its own words.
    pub agent: String,
    /// When it began.
    pub created: UnixMillis,
    /// The current refresh token.
    pub current: TokenHash,
    /// The token before that one.
    pub previous: Option<TokenHash>,
    /// When the current token was made.
    pub rotated: UnixMillis,
    /// When the session ends unless it is refreshed before.
    pub expires: UnixMillis,
    /// When it was ended, by logout or because a token was used twice.
    pub ended: Option<UnixMillis>,
}

impl Session {
    /// Whether the session still speaks for its user.
    pub fn is_alive(&self, now: UnixMillis) -> bool {
        self.ended.is_none() && now < self.expires
    }

    /// What presenting a refresh token does to the session: the rule of this module, in one place for all backends.
    pub fn rotate(&self, rotation: &Rotation) -> Rotated {
        if !self.is_alive(rotation.now) {
            return Rotated::Ended;
        }
        let retry = self.previous == Some(rotation.presented) && rotation.now.since(self.rotated) <= ROTATION_GRACE;
        if self.current != rotation.presented && !retry {
            return Rotated::Reused;
        }
        Rotated::Fresh(Self {
            current: rotation.fresh,
            previous: Some(rotation.presented),
            // A retry does not prolong the grace.
            rotated: if retry { self.rotated } else { rotation.now },
            expires: rotation.expires,
            ..self.clone()
        })
    }
}

/// A refresh token presented in exchange for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The session that the token names.
    pub session: SessionId,
    /// The token presented.
    pub presented: TokenHash,
    /// The token to replace it.
    pub fresh: TokenHash,
    /// The session's new end.
    pub expires: UnixMillis,
    /// The moment.
    pub now: UnixMillis,
}

/// What became of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// The session goes on with the fresh token; as it is now.
    Fresh(Session),
    /// The token had been used before, or never belonged to the session: the session has been ended.
    Reused,
    /// There is no such session, or it had ended.
    Ended,
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const START: UnixMillis = UnixMillis(1_000_000);

    fn token(n: u8) -> TokenHash {
        TokenHash([n; 32])
    }

    fn session() -> Session {
        Session {
            id: SessionId(Uuid::nil()),
            user: UserId(Uuid::nil()),
            agent: String::new(),
            created: START,
            current: token(1),
            previous: None,
            rotated: START,
            expires: START.plus(Duration::from_hours(1)),
            ended: None,
        }
    }

    fn present(session: &Session, presented: u8, fresh: u8, at: UnixMillis) -> Rotated {
        let expires = at.plus(Duration::from_hours(1));
        let (presented, fresh) = (token(presented), token(fresh));
        session.rotate(&Rotation { session: session.id, presented, fresh, expires, now: at })
    }

    fn fresh(outcome: Rotated) -> Session {
        let Rotated::Fresh(session) = outcome else { panic!("{outcome:?}") };
        session
    }

    #[test]
    fn a_token_works_once() {
        let second = fresh(present(&session(), 1, 2, START));
        let third = fresh(present(&second, 2, 3, START));
        assert_eq!(present(&third, 1, 4, START), Rotated::Reused);
        assert_eq!(present(&third, 9, 4, START), Rotated::Reused);
    }

    #[test]
    fn a_lost_answer_is_forgiven_within_the_grace_and_not_after() {
        let second = fresh(present(&session(), 1, 2, START));
        let edge = START.plus(ROTATION_GRACE);
        let again = fresh(present(&second, 1, 3, edge));
        assert_eq!(again.current, token(3));
        assert_eq!(present(&again, 2, 4, edge), Rotated::Reused, "the lost successor is dropped");
        assert_eq!(present(&again, 1, 4, UnixMillis(edge.0 + 1)), Rotated::Reused, "a retry prolonged the grace");
        assert_eq!(present(&second, 1, 3, UnixMillis(edge.0 + 1)), Rotated::Reused);
    }

    #[test]
    fn an_ended_or_expired_session_stays_so() {
        let ended = Session { ended: Some(START), ..session() };
        assert_eq!(present(&ended, 1, 2, START), Rotated::Ended);
        assert_eq!(present(&session(), 1, 2, session().expires), Rotated::Ended);
        assert!(matches!(present(&session(), 1, 2, UnixMillis(session().expires.0 - 1)), Rotated::Fresh(_)));
    }
}
