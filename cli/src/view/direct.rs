//! Files that went from one client to another.

use hypersend_client::{
    direct::{Received, Sent},
    protocol::{account::Profile, id::P2pId, name::DisplayName},
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
    pub(crate) fn new(id: P2pId, from: &DisplayName, received: Received, way: String) -> Self {
        let Received { files, bytes, places, .. } = received;
        let paths = places.iter().map(|path| path.display().to_string()).collect();
        Self { id: id.to_string(), from: from.to_string(), files, bytes, way, paths }
    }
}

/// The paths, one on each line.
impl fmt::Display for DirectReceived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.paths.join("\n"))
    }
}
