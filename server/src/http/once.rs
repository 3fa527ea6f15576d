//! `Idempotency-Key`: the same key on the same creating request makes one thing, however often it is sent.

use super::problem::Problem;
use axum::extract::FromRequestParts;
use http::request::Parts;
use hypersend_protocol::id::ClientId;
use uuid::Uuid;

const HEADER: &str = "idempotency-key";

/// The longest key, in bytes: a UUID has 36, and a client's own scheme some more.
pub(super) const MAX_KEY_BYTES: usize = 200;

/// The client's id for what a request makes; a fresh one when the request has no key.
pub(super) struct Once(pub(super) ClientId);

impl<S: Sync> FromRequestParts<S> for Once {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(key) = parts.headers.get(HEADER) else { return Ok(Self(ClientId(Uuid::new_v4()))) };
        let key = key.as_bytes();
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(Problem::header("Idempotency-Key", "1 to 200 bytes long"));
        }
        Ok(Self(client_id(key)))
    }
}

/// A UUID is taken as it is, so that a message posted on one door and repeated on the other is one message; any other key
/// is hashed into one.
fn client_id(key: &[u8]) -> ClientId {
    if let Ok(id) = Uuid::try_parse_ascii(key) {
        return ClientId(id);
    }
    let hash = blake3::derive_key("hypersend 2026 client id of an idempotency key", key);
    let (half, _) = hash.split_at(16);
    ClientId(uuid::Builder::from_custom_bytes(half.try_into().expect("16 bytes")).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_stay_and_other_keys_become_one_each() {
        let id = Uuid::new_v4();
        assert_eq!(client_id(id.to_string().as_bytes()), ClientId(id));
        assert_eq!(client_id(b"order 7"), client_id(b"order 7"));
        assert_ne!(client_id(b"order 7"), client_id(b"order 8"));
    }
}
