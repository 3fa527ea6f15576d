//! What tus says in headers, and what of it is kept with an upload.

use crate::http::{
    offset::{self, Checksum},
    problem::Problem,
    state::HttpState,
};
use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use hypersend_protocol::{
    id::FileId,
    name::FileName,
    refusal::{ErrorCode, Refusal},
};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

pub(super) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(super) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
pub(super) const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
pub(super) const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
pub(super) const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
pub(super) const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub(super) const UPLOAD_CONCAT: HeaderName = HeaderName::from_static("upload-concat");
pub(super) const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
pub(super) const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
pub(super) const X_HTTP_METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
/// The id of the file that an upload has become, for messages to name.
pub(super) const FILE_ID: HeaderName = HeaderName::from_static("file-id");

pub(super) const ALGORITHMS: &str = "sha1,sha256";

/// The longest Upload-Metadata, in bytes: the longest file name in Base64, and ten times as much again.
pub(super) const MAX_METADATA_BYTES: usize = 4 << 10;

/// The most uploads that one is made of. A header section has room for some 200 of their addresses.
pub(super) const MAX_PARTS: usize = 100;

/// The status for a body that is not what its checksum says.
const CHECKSUM_MISMATCH: u16 = 460;

/// What tus wants to know again of an upload, and says when asked.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// Upload-Metadata, as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<String>,
    /// Upload-Concat, as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) concat: Option<String>,
}

impl Note {
    /// Of a request that begins an upload.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self { metadata: text(headers, &UPLOAD_METADATA)?, concat: text(headers, &UPLOAD_CONCAT)? })
    }

    /// Of an upload, or the file that it has become. One that was not begun by tus has an empty one.
    pub(super) async fn read(state: &HttpState, id: FileId) -> Result<Self, Problem> {
        let note = state.services().uploads.note(id).await?;
        Ok(note.and_then(|note| serde_json::from_slice(&note).ok()).unwrap_or_default())
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings are JSON")
    }

    /// Whether it is a piece of a file to come, and never a file of its own.
    pub(super) fn is_partial(&self) -> bool {
        self.concat.as_deref() == Some("partial")
    }

    /// Whether it is made of others.
    pub(super) fn is_final(&self) -> bool {
        self.concat.as_deref().is_some_and(|concat| concat.starts_with("final;"))
    }

    /// The uploads that it is made of, in their order; none if it is not.
    pub(super) fn parts(&self) -> Result<Option<Vec<FileId>>, Problem> {
        let urls = match self.concat.as_deref() {
            None | Some("partial") => return Ok(None),
            Some(concat) => concat.strip_prefix("final;").map(str::trim).unwrap_or_default(),
        };
        let id = |url: &str| url.rsplit('/').next().and_then(|id| id.parse().ok()).map(FileId);
        let parts: Vec<FileId> = urls.split_whitespace().map(id).collect::<Option<_>>().unwrap_or_default();
        if parts.is_empty() {
            return Err(Problem::header("Upload-Concat", "partial, or final; with the addresses of uploads"));
        }
        if parts.len() > MAX_PARTS {
            let message = format!("a file is made of {MAX_PARTS} uploads at most");
            return Err(Refusal::new(ErrorCode::LimitReached, message).with_limit(MAX_PARTS as u64).into());
        }
        if parts.iter().collect::<HashSet<_>>().len() < parts.len() {
            return Err(Problem::invalid("Upload-Concat names an upload twice"));
        }
        Ok(Some(parts))
    }

    /// What the file is to be called: `filename` of the metadata, or `name`.
    pub(super) fn file_name(&self) -> Result<FileName, Problem> {
        let metadata = self.metadata.as_deref().unwrap_or_default();
        if metadata.len() > MAX_METADATA_BYTES {
            let message = format!("Upload-Metadata has {MAX_METADATA_BYTES} bytes at most");
            return Err(Refusal::new(ErrorCode::LimitReached, message).with_limit(MAX_METADATA_BYTES as u64).into());
        }
        let malformed = || Problem::header("Upload-Metadata", "of the form `key BASE64,key BASE64`, in UTF-8");
        let mut pairs = Vec::new();
        for pair in metadata.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            pairs.push((key, BASE64.decode(value.trim().as_bytes()).map_err(|_| malformed())?));
        }
        let named = |wanted: &str| pairs.iter().find(|(key, _)| *key == wanted);
        let Some((_, name)) = named("filename").or_else(|| named("name")) else {
            return Ok(offset::unnamed());
        };
        let name = std::str::from_utf8(name).map_err(|_| malformed())?;
        FileName::parse(name).map_err(|error| Problem::invalid(format!("filename in Upload-Metadata: {error}")))
    }
}

/// Upload-Checksum.
pub(super) fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>, Problem> {
    let Some(text) = text(headers, &UPLOAD_CHECKSUM)? else { return Ok(None) };
    let malformed = || Problem::header("Upload-Checksum", "of the form `sha1 BASE64` or `sha256 BASE64`");
    let (algorithm, sum) = text.split_once(' ').ok_or_else(malformed)?;
    let algorithm = match algorithm {
        "sha1" => &SHA1_FOR_LEGACY_USE_ONLY,
        "sha256" => &SHA256,
        _ => return Err(malformed()),
    };
    let expected = BASE64.decode(sum.trim().as_bytes()).map_err(|_| malformed())?;
    if expected.len() != algorithm.output_len() {
        return Err(malformed());
    }
    let mismatch = StatusCode::from_u16(CHECKSUM_MISMATCH).expect("three digits");
    Ok(Some(Checksum { algorithm, expected, mismatch }))
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Problem> {
    let text = |value: &HeaderValue| value.to_str().map(|text| text.trim().to_owned());
    headers.get(name).map(text).transpose().map_err(|_| Problem::header(name.as_str(), "plain ASCII"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn headers(name: &HeaderName, value: &str) -> HeaderMap {
        [(name.clone(), HeaderValue::from_str(value).unwrap())].into_iter().collect()
    }

    fn metadata(text: &str) -> Result<String, Problem> {
        Note { metadata: Some(text.to_owned()), concat: None }.file_name().map(String::from)
    }

    fn concat(text: &str) -> Result<Option<Vec<FileId>>, Problem> {
        Note { metadata: None, concat: Some(text.to_owned()) }.parts()
    }

    #[test]
    fn the_name_is_found_among_the_metadata() {
        assert_eq!(metadata("filename ZmlsbS5ta3Y=").unwrap(), "film.mkv");
        assert_eq!(metadata("is_private,name Yg==,filename ZmlsbS5ta3Y=, type dGV4dA==").unwrap(), "film.mkv");
        assert_eq!(metadata("name Yg==").unwrap(), "b");
        assert_eq!(metadata("").unwrap(), "unnamed");
        assert_eq!(Note::default().file_name().unwrap(), offset::unnamed());
        for bad in ["filename *", "filename Li4vYQ==", "filename /w==", "filename", "x y z"] {
            assert!(metadata(bad).is_err(), "{bad:?} was accepted");
        }
        let pad = |length: usize| format!("filename YQ==,x {}", "A".repeat(length));
        assert!(metadata(&pad(MAX_METADATA_BYTES - 16)).is_ok());
        assert!(metadata(&pad(MAX_METADATA_BYTES - 15)).is_err());
    }

    #[test]
    fn a_final_upload_names_its_parts_in_their_order() {
        let ids: Vec<Uuid> = (0..=MAX_PARTS).map(|_| Uuid::now_v7()).collect();
        let named =
            |ids: &[Uuid]| ids.iter().fold("final;".to_owned(), |text, id| text + &format!("/api/v1/tus/{id} "));
        assert_eq!(concat(&named(&ids[..2])).unwrap(), Some(ids[..2].iter().copied().map(FileId).collect()));
        assert_eq!(concat(&format!("final;https://example.org/tus/{} ", ids[0])).unwrap(), Some(vec![FileId(ids[0])]));
        assert_eq!(concat("partial").unwrap(), None);
        assert_eq!(concat(&named(&ids[1..])).unwrap().unwrap().len(), MAX_PARTS);
        let (too_many, twice) = (named(&ids), named(&[ids[0], ids[0]]));
        for bad in ["", "final", "final;", "final;/tus/x", "other", &too_many, &twice] {
            assert!(concat(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_checksum_has_its_algorithm_s_length() {
        let read = |text: &str| checksum(&headers(&UPLOAD_CHECKSUM, text)).map(|sum| sum.unwrap().expected.len());
        assert_eq!(read("sha1 Lve95gjOVATpfV8EL5X4nxwjKHE=").unwrap(), 20);
        assert_eq!(read(&format!("sha256 {}", BASE64.encode(&[7; 32]))).unwrap(), 32);
        for bad in ["sha1", "sha1 *", "md5 AAAA", "sha256 Lve95gjOVATpfV8EL5X4nxwjKHE="] {
            assert!(read(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(checksum(&HeaderMap::new()).unwrap().is_none());
    }
}
