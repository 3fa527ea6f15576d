//! The sender's side: offer, wait for the answer, carry; through the server where there is no way.

use super::{
    carry::{Carried, carry, tell_path},
    error::DirectError,
    meeting::{Meeting, Terms},
    session::{ended, follow, open_signals},
    stored,
    transfer::{DirectTransfer, Told, Whereabouts, unless},
};
use crate::Client;
use hypersend_paths::Role;
use hypersend_peer::{Offer, SendError, Sending, Sent};
use hypersend_protocol::{
    id::{ChatId, ClientId, UserId},
    p2p::{P2pPath, P2pSession, P2pStatus},
    refusal::ErrorCode,
};
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long the receiver's report may take after it was heard that it is finished.
const LAST_REPORT: Duration = Duration::from_secs(3);

/// How long the server may take to be told that it is over: it sees sooner or later that nobody goes on.
const GOODBYE: Duration = Duration::from_secs(3);

/// How long a way is looked for, unless something else is said: a relay takes a second, a hole to be punched two, and rounds
/// of guessing three times five.
pub(super) const SEEK: Duration = Duration::from_secs(25);

/// How to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendOptions {
    /// Whether to use relays alone, so that the other side learns no address of this one. False.
    pub relay_only: bool,
    /// How long a way to a receiver who is there is looked for before the files go through the server; folders do not. 25 s.
    /// None: for ever.
    pub seek: Option<Duration>,
    /// How long to wait for a receiver who does not answer, or is gone in the midst of it, before the files go through the
    /// server. None: for ever.
    pub store_after: Option<Duration>,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self { relay_only: false, seek: Some(SEEK), store_after: None }
    }
}

impl Client {
    /// Offers files to another member of a chat, and sends them from here to there. Begins at once. The same offer made again
    /// goes on with what was not finished of it, also after this program died.
    pub fn send_direct(
        &self,
        chat: ChatId,
        receiver: UserId,
        offer: Arc<Offer>,
        options: SendOptions,
    ) -> DirectTransfer<Sent> {
        let client = self.clone();
        DirectTransfer::start(Whereabouts::Offered, move |told, cancel| async move {
            Run { client, chat, receiver, offer, options, told, cancel }.run().await
        })
    }
}

/// What came of going through the server.
enum Put {
    /// The files are there.
    Stored,
    /// Everything had arrived by the last way that there was, while the receiver had not come to say so.
    InVain,
}

struct Run {
    client: Client,
    chat: ChatId,
    receiver: UserId,
    offer: Arc<Offer>,
    options: SendOptions,
    told: Told,
    cancel: CancellationToken,
}

impl Run {
    async fn run(self) -> Result<Sent, DirectError> {
        let mut offering = pin!(self.offer_it());
        let session = match unless(&self.cancel, &mut offering).await {
            // The server may have made it already, and has to be told.
            Err(DirectError::Cancelled) => {
                let made = timeout(GOODBYE, offering).await;
                made.map_err(|_| DirectError::Cancelled)??
            }
            made => made?,
        };
        self.told.session.send_replace(Some(session.clone()));
        let done = self.send(&session).await;
        if let Err(error) = &done {
            let _ = timeout(GOODBYE, self.end_session(&session, error)).await;
        }
        done
    }

    /// Makes the offer, or finds it among those that are not over. One of a folder that was smaller or larger then is taken
    /// back: nobody has agreed to what is in it now.
    async fn offer_it(&self) -> Result<P2pSession, DirectError> {
        for attempt in 0_u32.. {
            let id = client_id(self.chat, self.receiver, self.offer.key(), attempt);
            let session = self.client.offer_p2p_as(id, self.chat, self.receiver, self.offer.top()).await?;
            if session.status.is_over() {
                continue;
            }
            if session.files == self.offer.top() {
                return Ok(session);
            }
            match self.client.change_p2p(session.id, Some(P2pStatus::Cancelled), None).await {
                // It was over a moment later.
                Err(error) if error.code() == Some(ErrorCode::Conflict) => {}
                taken_back => drop(taken_back?),
            }
        }
        unreachable!("there are fewer sessions than that")
    }

    async fn send(&self, session: &P2pSession) -> Result<Sent, DirectError> {
        if !unless(&self.cancel, self.answer(session)).await? {
            return self.store(session).await;
        }
        let mut channel = unless(&self.cancel, open_signals(&self.client, session.id)).await?;
        self.told.whereabouts(Whereabouts::Waiting);
        let SendOptions { relay_only, seek, store_after: wait } = self.options;
        let terms = Terms { relay_only, seek, wait, is_never_stored: is_never_stored(session) };
        let mut meeting = Meeting::open(Role::Sender, session.id, &mut channel, self.client.server().host(), terms)?;
        let mut sending = Sending::start(Arc::clone(&self.offer));
        let path = tell_path(self.client.clone(), session.id, self.told.whereabouts.subscribe());
        let carried = carry(&mut meeting, &mut sending, &self.told, &self.cancel).await;
        drop(path);
        let done = match carried {
            Ok(Carried::Done(sent)) => {
                meeting.linger(&self.told).await;
                Ok(sent)
            }
            Ok(Carried::Over) => self.over(session, &sending).await,
            Ok(Carried::NoWay) => {
                // What goes through the server does not go another way as well.
                drop(sending);
                meeting.close(&self.told).await;
                return self.store(session).await;
            }
            Err(error) => Err(error),
        };
        meeting.close(&self.told).await;
        done
    }

    /// Waits for the receiver's yes; `false` when they have not answered in time.
    async fn answer(&self, session: &P2pSession) -> Result<bool, DirectError> {
        let answered = follow(&self.client, session.id, |now| {
            let status = now.status;
            self.told.session.send_replace(Some(now));
            match status {
                P2pStatus::Offered => None,
                P2pStatus::Accepted => Some(Ok(true)),
                status => Some(Err(ended(status))),
            }
        });
        match self.options.store_after {
            None => answered.await?,
            Some(patience) => match timeout(patience, answered).await {
                Ok(answered) => answered?,
                Err(_) => Ok(false),
            },
        }
    }

    /// Puts the files on the server, and tells the receiver to fetch them; one who has not answered finds them in the chat.
    async fn store(&self, session: &P2pSession) -> Result<Sent, DirectError> {
        let Some(files) = self.offer.plain_files() else { return Err(DirectError::NoWayForFolders) };
        self.told.whereabouts(Whereabouts::Stored);
        let over = follow(&self.client, session.id, |now| now.status.is_over().then_some(now.status));
        let putting = async {
            tokio::select! {
                stored = stored::put(&self.client, session, files, &self.told) => stored.map(|()| Put::Stored),
                over = over => match over? {
                    P2pStatus::Finished => Ok(Put::InVain),
                    status => Err(ended(status)),
                },
            }
        };
        let sent = Sent { files: self.offer.files(), bytes: self.offer.bytes() };
        if matches!(unless(&self.cancel, putting).await?, Put::InVain) {
            self.told.whereabouts(Whereabouts::Waiting);
            return Ok(sent);
        }
        match self.client.change_p2p(session.id, None, Some(P2pPath::Stored)).await {
            // Never answered: there is nothing left to answer.
            Err(error) if error.code() == Some(ErrorCode::Conflict) => {
                match self.client.change_p2p(session.id, Some(P2pStatus::Cancelled), None).await {
                    // It has ended meanwhile, and the files are where they are.
                    Err(error) if error.code() == Some(ErrorCode::Conflict) => {}
                    told => drop(told?),
                }
            }
            told => drop(told?),
        }
        Ok(sent)
    }

    /// The server says that the session is over: by whom, it knows.
    async fn over(&self, session: &P2pSession, sending: &Sending) -> Result<Sent, DirectError> {
        match self.client.p2p_session(session.id).await?.status {
            P2pStatus::Finished => reported(sending, &self.offer).await,
            status => Err(ended(status)),
        }
    }

    async fn end_session(&self, session: &P2pSession, error: &DirectError) {
        let status = match error {
            // By either: the other side may not get to say so.
            error if error.is_own_cancellation() || error.is_others_cancellation() => P2pStatus::Cancelled,
            DirectError::Send(SendError::Source(_))
            | DirectError::NoWayForFolders
            | DirectError::NotOffered(_)
            | DirectError::Upload(_) => P2pStatus::Failed,
            // It is over already, or goes on elsewhere, or may go on later: from here, or when the receiver has room again.
            _ => return,
        };
        match self.client.change_p2p(session.id, Some(status), None).await {
            // Never answered, it cannot fail, but be taken back.
            Err(error) if error.code() == Some(ErrorCode::Conflict) && status == P2pStatus::Failed => {
                let _ = self.client.change_p2p(session.id, Some(P2pStatus::Cancelled), None).await;
            }
            _ => {}
        }
    }
}

/// How it went, now that the receiver has said so elsewhere than on a way between the two.
pub(super) async fn reported(sending: &Sending, offer: &Offer) -> Result<Sent, DirectError> {
    match timeout(LAST_REPORT, sending.finish()).await {
        Ok(done) => Ok(done?),
        Err(_) => Ok(Sent { files: offer.files(), bytes: offer.bytes() }),
    }
}

/// Whether nothing of this can be put into the server's storage: it takes files alone.
pub(super) fn is_never_stored(session: &P2pSession) -> bool {
    session.files.iter().any(|file| file.folder)
}

/// The same for the same offer to the same person, so that typing it again finds it; another for each that is over.
fn client_id(chat: ChatId, receiver: UserId, key: [u8; 32], attempt: u32) -> ClientId {
    let mut hasher = sha2::Sha256::default();
    sha2::Digest::update(&mut hasher, b"hypersend offer 1");
    for part in [chat.0.as_bytes().as_slice(), receiver.0.as_bytes(), &key, &attempt.to_be_bytes()] {
        sha2::Digest::update(&mut hasher, part);
    }
    let hash = sha2::Digest::finalize(hasher);
    let bytes: [u8; 16] = hash[..16].try_into().expect("a SHA-256 has 32 bytes");
    ClientId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}
