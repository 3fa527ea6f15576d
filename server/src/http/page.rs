//! Pages of a list, and the opaque cursors between them.

use super::problem::Problem;
use data_encoding::BASE64URL_NOPAD;
use hypersend_protocol::limit::MAX_PAGE;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// The `next` of the page before; left out for the first page.
    cursor: Option<String>,
    /// The most items, 1 to 200; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Items of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// The `cursor` of the next page; missing on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// Items of a page when nothing is said.
const USUAL: u32 = 50;

impl PageQuery {
    /// How many items at most.
    pub(super) fn limit(&self) -> Result<u32, Problem> {
        limit(self.limit)
    }

    /// Where the page begins.
    pub(super) fn position<P: Position>(&self) -> Result<Option<P>, Problem> {
        let decode = |text: &String| {
            let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
            bytes.and_then(|bytes| P::read(&bytes)).ok_or_else(|| Problem::invalid("cursor is not one of this list's"))
        };
        self.cursor.as_ref().map(decode).transpose()
    }
}

/// A wanted number of items, held to what a page may have.
pub(super) fn limit(wanted: Option<u32>) -> Result<u32, Problem> {
    match wanted {
        None => Ok(USUAL),
        Some(limit @ 1..=MAX_PAGE) => Ok(limit),
        Some(_) => Err(Problem::invalid(format!("limit is not a number from 1 to {MAX_PAGE}"))),
    }
}

/// A place in a list, as its cursor holds it.
pub(super) trait Position: Sized {
    fn read(bytes: &[u8]) -> Option<Self>;
    fn write(&self) -> Vec<u8>;

    fn cursor(&self) -> String {
        BASE64URL_NOPAD.encode(&self.write())
    }
}

impl Position for Uuid {
    fn read(bytes: &[u8]) -> Option<Self> {
        Self::from_slice(bytes).ok()
    }

    fn write(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(cursor: Option<&str>, limit: Option<u32>) -> PageQuery {
        PageQuery { cursor: cursor.map(str::to_owned), limit }
    }

    #[test]
    fn a_cursor_is_what_it_was_made_of_and_nothing_else_is_one() {
        let id = Uuid::now_v7();
        assert_eq!(query(Some(&id.cursor()), None).position::<Uuid>().unwrap(), Some(id));
        assert_eq!(query(None, None).position::<Uuid>().unwrap(), None);
        for bad in ["", "x", "****", &id.to_string()] {
            assert!(query(Some(bad), None).position::<Uuid>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn limits_hold_on_both_sides() {
        assert_eq!(query(None, None).limit().unwrap(), USUAL);
        assert_eq!(query(None, Some(1)).limit().unwrap(), 1);
        assert_eq!(query(None, Some(MAX_PAGE)).limit().unwrap(), MAX_PAGE);
        assert!(query(None, Some(0)).limit().is_err() && query(None, Some(MAX_PAGE + 1)).limit().is_err());
    }
}
