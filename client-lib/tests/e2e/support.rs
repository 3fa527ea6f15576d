//! What the tests of several topics need.

use hypersend_client::{
    ChatEvent, ChatHandle, Client, ClientError, Config, Credentials, DownloadError, MemoryTokens, SignalChannel,
    Status, TokenStore, UploadError,
    mailbox::MailboxChannel,
    protocol::{
        chat::Message,
        file::FileInfo,
        name::MessageText,
        refusal::{ErrorCode, Refusal},
        session::{Tokens, Welcome},
    },
};
use hypersend_lab::{eventually, fixtures::random_file, within};
use std::{
    fmt::Debug,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;

/// A message's text, where one may be missing.
#[expect(clippy::unnecessary_wraps, reason = "it is what posting takes")]
pub(crate) fn text(text: impl AsRef<str>) -> Option<MessageText> {
    Some(text.as_ref().parse().unwrap())
}

/// The server's refusal.
pub(crate) fn refusal<T: Debug>(result: Result<T, impl Into<Failure>>) -> Refusal {
    match result.map_err(Into::into) {
        Err(Failure::Client(ClientError::Refused(refusal))) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// Its code.
pub(crate) fn code<T: Debug>(result: Result<T, impl Into<Failure>>) -> ErrorCode {
    refusal(result).code
}

/// Any of the library's errors.
#[derive(Debug)]
pub(crate) enum Failure {
    Client(ClientError),
    #[expect(dead_code, reason = "shown when a test fails")]
    Other(Box<dyn std::error::Error>),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<UploadError> for Failure {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Client(error) => Self::Client(error),
            error => Self::Other(error.into()),
        }
    }
}

impl From<DownloadError> for Failure {
    fn from(error: DownloadError) -> Self {
        match error {
            DownloadError::Client(error) => Self::Client(error),
            error => Self::Other(error.into()),
        }
    }
}

/// A client's first connection, or why there is none.
pub(crate) async fn connect(config: Config, credentials: Credentials) -> Result<Arc<Welcome>, ClientError> {
    let client = Client::start(config, credentials, MemoryTokens::empty()).unwrap();
    within("the client is let in or not", client.ready()).await
}

pub(crate) fn tokens_in(store: &MemoryTokens) -> Tokens {
    store.load().unwrap().unwrap()
}

/// The next message of an open chat, whatever else happens before it.
pub(crate) async fn next_message(chat: &mut ChatHandle) -> Message {
    loop {
        if let ChatEvent::Message(message) = within("a message comes", chat.next()).await.unwrap() {
            return message;
        }
    }
}

/// The next event of an open chat that is wanted, whatever else happens before it.
pub(crate) async fn next_event<T>(chat: &mut ChatHandle, mut wanted: impl FnMut(ChatEvent) -> Option<T>) -> T {
    loop {
        if let Some(event) = wanted(within("something happens", chat.next()).await.unwrap()) {
            return event;
        }
    }
}

/// Waits until a client knows that it has no connection.
pub(crate) async fn disconnected(client: &Client) {
    let look = || std::future::ready(matches!(client.status(), Status::Connecting { .. }).then_some(()));
    eventually("the client notices that the connection is lost", look).await;
}

/// Waits until there will be no connection any more; says why.
pub(crate) async fn ended(client: &Client) -> ClientError {
    let look = || {
        std::future::ready(match client.status() {
            Status::Ended(error) => Some(error),
            _ => None,
        })
    };
    eventually("the client gives up", look).await
}

/// A side of a transfer or of a mailbox: it sets values, and hears those of the other.
pub(crate) trait Channel {
    fn set(&self, value: &[u8]);
    async fn next(&mut self) -> Option<Vec<u8>>;
}

impl Channel for SignalChannel {
    fn set(&self, value: &[u8]) {
        self.set(value.to_vec()).unwrap();
    }

    async fn next(&mut self) -> Option<Vec<u8>> {
        self.next().await.unwrap()
    }
}

impl Channel for MailboxChannel {
    fn set(&self, value: &[u8]) {
        self.set(value.to_vec()).unwrap();
    }

    async fn next(&mut self) -> Option<Vec<u8>> {
        self.next().await.unwrap()
    }
}

/// The newest value, once it is this one: those before it may be skipped.
pub(crate) async fn hears(channel: &mut impl Channel, value: &[u8]) {
    let hearing = async { while channel.next().await.expect("it is not over") != value {} };
    within("the other side is heard", hearing).await;
}

pub(crate) async fn says<C: Channel>(from: &C, to: &mut C, value: &[u8]) {
    from.set(value);
    hears(to, value).await;
}

/// A folder with files to send, and room for those that come.
pub(crate) struct Desk(TempDir);

impl Desk {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file of random bytes, other ones for another name.
    pub(crate) fn file(&self, name: &str, size: u64) -> PathBuf {
        let seed = name.bytes().fold(size, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        random_file(&self.path(name), size, seed)
    }
}

pub(crate) async fn upload(client: &Client, path: &Path) -> FileInfo {
    within("the file is sent", client.upload(path).finish()).await.unwrap()
}

pub(crate) async fn download(client: &Client, file: &FileInfo, to: &Path) -> FileInfo {
    within("the file is fetched", client.download(file.id, to).finish()).await.unwrap()
}
