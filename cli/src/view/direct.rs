//! Files that went from one client to another.

use super::words;
use hypersend_client::{
    direct::{Code, Received, Sent},
    protocol::{
        account::Profile,
        id::P2pId,
        p2p::{OfferedFile, P2pPath, P2pSession, P2pStatus},
        size::Size,
    },
};
use serde::Serialize;
use std::fmt;

/// What was sent to one person.
#[derive(Debug, Serialize)]
pub(crate) struct DirectSent {
    id: Option<String>,
    to: String,
    files: u64,
    bytes: u64,
    way: String,
}

impl DirectSent {
    pub(crate) fn new(id: Option<P2pId>, to: &Profile, Sent { files, bytes }: Sent, way: String) -> Self {
        Self { id: id.map(|id| id.to_string()), to: to.email.to_string(), files, bytes, way }
    }
}

/// The transfer's id.
impl fmt::Display for DirectSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id.as_deref().unwrap_or_default())
    }
}

/// What has arrived.
#[derive(Debug, Serialize)]
pub(crate) struct DirectReceived {
    id: String,
    from: String,
    files: u64,
    bytes: u64,
    way: String,
    paths: Vec<String>,
}

impl DirectReceived {
    pub(crate) fn new(id: P2pId, from: &str, received: Received, way: String) -> Self {
        let Received { files, bytes, places, .. } = received;
        let paths = places.iter().map(|path| path.display().to_string()).collect();
        Self { id: id.to_string(), from: from.to_owned(), files, bytes, way, paths }
    }
}

/// The paths, one on each line.
impl fmt::Display for DirectReceived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.paths.join("\n"))
    }
}

/// A code that was made: nothing else, for it is to be copied.
#[derive(Debug, Serialize)]
pub(crate) struct CodeView {
    code: String,
}

impl CodeView {
    pub(crate) fn new(code: &Code) -> Self {
        Self { code: code.to_string() }
    }
}

impl fmt::Display for CodeView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)
    }
}

/// What has arrived by a code: from whom, nobody knows.
#[derive(Debug, Serialize)]
pub(crate) struct CodeReceived {
    files: u64,
    bytes: u64,
    way: String,
    paths: Vec<String>,
}

impl CodeReceived {
    pub(crate) fn new(received: Received, way: String) -> Self {
        let Received { files, bytes, places, .. } = received;
        Self { files, bytes, way, paths: places.iter().map(|path| path.display().to_string()).collect() }
    }
}

/// The paths, one on each line.
impl fmt::Display for CodeReceived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.paths.join("\n"))
    }
}

/// A transfer as the server knows it.
#[derive(Debug, Serialize)]
pub(crate) struct TransferView {
    id: String,
    at: String,
    chat: String,
    /// `to` or `from`.
    direction: &'static str,
    /// None for somebody who has left.
    with: Option<String>,
    with_email: Option<String>,
    status: P2pStatus,
    way: Option<P2pPath>,
    files: Vec<OfferedView>,
    #[serde(skip)]
    shown: String,
}

#[derive(Debug, Serialize)]
struct OfferedView {
    name: String,
    size: u64,
    folder: bool,
}

impl TransferView {
    /// `is_own` is one that this user sends; `with` the other side.
    pub(crate) fn new(transfer: &P2pSession, is_own: bool, with: Option<&Profile>) -> Self {
        let direction = if is_own { "to" } else { "from" };
        let bytes = transfer.files.iter().map(|file| file.size).sum();
        let shown = format!(
            "{}  {}  {:9}  {direction} {}: {} ({})",
            transfer.id,
            words::minute(transfer.created),
            transfer.status,
            words::printable(&words::name(with)),
            words::title(&transfer.files),
            Size(bytes),
        );
        let view =
            |file: &OfferedFile| OfferedView { name: file.name.to_string(), size: file.size, folder: file.folder };
        Self {
            id: transfer.id.to_string(),
            at: transfer.created.to_string(),
            chat: transfer.chat.to_string(),
            direction,
            with: with.map(|profile| profile.name.to_string()),
            with_email: with.map(|profile| profile.email.to_string()),
            status: transfer.status,
            way: transfer.path,
            files: transfer.files.iter().map(view).collect(),
            shown,
        }
    }
}

impl fmt::Display for TransferView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Transfers, the newest first.
#[derive(Debug, Serialize)]
pub(crate) struct TransferList {
    pub(crate) transfers: Vec<TransferView>,
}

impl fmt::Display for TransferList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.transfers.iter().try_for_each(|transfer| writeln!(f, "{transfer}"))
    }
}
