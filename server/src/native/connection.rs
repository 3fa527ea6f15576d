//! One connection: greeted once, then a task for each stream, until either side has enough.

use super::{
    chat_stream, chunks,
    crowd::{Crowd, Place},
    event_stream,
    greeting::greet,
    guest::{self, Visit},
    requests, signal_stream, tunnel,
};
use crate::{
    ports::GRACE,
    services::{Caller, Guest, Here, Services, Traveller},
};
use hypersend_net::{
    connection::Connection,
    frames::{FrameReader, RecvError, send},
    stream::{RecvStream, SendStream},
    transport::MAX_STREAMS,
};
use hypersend_protocol::{
    frame::FrameSet,
    limit::HELLO_TIMEOUT,
    refusal::{ErrorCode, Refusal},
    session::GoingAway,
    stream::{Greeting, Opening, priority},
};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// What the streams of one connection share.
pub(super) struct Peer {
    pub(super) me: Caller,
    pub(super) services: Services,
    pub(super) bulk: chunks::Bulk,
    pub(super) tunnels: tunnel::Ends,
    /// Both held as long as the connection is served.
    _place: Place,
    _here: Here,
    /// Cancelled when the connection is to end in good order: streams that live long end, others finish.
    pub(super) ending: CancellationToken,
}

/// Serves a connection to its end.
pub(super) async fn serve(connection: Connection, services: Services, crowd: Crowd, stopping: CancellationToken) {
    let span = tracing::info_span!("connection", peer = %connection.remote_address(), over = %connection.transport());
    async {
        let admitted = match timeout(HELLO_TIMEOUT, admit(&connection, services, &crowd, &stopping)).await {
            Ok(Ok(admitted)) => admitted,
            Ok(Err(Rejected::Refused(refusal))) => {
                tracing::debug!(code = %refusal.code, "caller refused");
                return connection.close(refusal.code);
            }
            Ok(Err(Rejected::Gone)) => return,
            Err(_) => return connection.close(ErrorCode::TimedOut),
        };
        let code = match admitted {
            Admitted::Member(peer, session) => {
                tracing::debug!(user = %peer.me.id(), session = %peer.me.session, "connected");
                streams(&connection, peer, session, &stopping).await
            }
            Admitted::Guest(visit) => visit.serve(&connection, &stopping).await,
        };
        connection.close(code);
        tracing::debug!(%code, "disconnected");
    }
    .instrument(span)
    .await;
}

/// How long a caller who is sent away has to take the last answers, before the connection is closed over them.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Who was let in.
enum Admitted {
    /// A user, and the session stream.
    Member(Arc<Peer>, SendStream),
    /// Somebody without an account.
    Guest(Box<Visit>),
}

pub(super) enum Rejected {
    /// Told why.
    Refused(Refusal),
    /// Nobody to tell.
    Gone,
}

async fn admit(
    connection: &Connection,
    services: Services,
    crowd: &Crowd,
    stopping: &CancellationToken,
) -> Result<Admitted, Rejected> {
    let (mut answer, stream) = connection.accept_bi().await.map_err(|_| Rejected::Gone)?;
    answer.set_priority(priority::CHAT);
    let mut reader = FrameReader::new(stream);
    let (from, mailboxes) = (connection.remote_address().ip(), services.mailboxes.clone());
    let guest = Guest::from(from);
    let tunnels = tunnel::Ends::new(services.tunnels.clone(), Traveller::Guest(guest));
    let entered = match reader.expect::<Greeting>().await {
        Ok(Greeting::Hello(hello)) => match greet(&services.accounts, crowd, from, hello).await {
            Ok((me, place, welcome)) => {
                send(&mut answer, &welcome).await.map_err(|_| Rejected::Gone)?;
                connection.welcome();
                let (bulk, here) = (chunks::Bulk::default(), services.presence.enter(me.id()));
                let tunnels = tunnel::Ends::new(services.tunnels.clone(), Traveller::User(me.id()));
                let ending = stopping.child_token();
                let peer = Peer { me, services, bulk, tunnels, _place: place, _here: here, ending };
                return Ok(Admitted::Member(Arc::new(peer), answer));
            }
            Err(refusal) => Err(refusal),
        },
        Ok(Greeting::OpenMailbox(open)) => {
            guest::enter(crowd, guest, open.version, mailboxes.open(guest, &open.key)).await
        }
        Ok(Greeting::ClaimMailbox(claim)) => {
            let claiming = mailboxes.claim(guest, claim.nameplate, &claim.key);
            guest::enter(crowd, guest, claim.version, claiming).await
        }
        Ok(Greeting::ResumeMailbox(resume)) => {
            let resuming = mailboxes.resume(guest, resume.mailbox, &resume.key);
            guest::enter(crowd, guest, resume.version, resuming).await
        }
        Err(RecvError::Frame(error)) => Err(error.into()),
        Err(_) => return Err(Rejected::Gone),
    };
    match entered {
        Ok(entered) => Ok(Admitted::Guest(Box::new(Visit::begin(entered, tunnels, answer, reader).await?))),
        Err(refusal) => {
            let told = send(&mut answer, &refusal).await;
            answer.finish();
            if told.is_ok() {
                tell(&mut answer).await;
            }
            Err(Rejected::Refused(refusal))
        }
    }
}

/// Waits until last words have arrived, which closing the connection would drop; not for long.
pub(super) async fn tell(answer: &mut SendStream) {
    let _ = timeout(LAST_WORDS, answer.delivered()).await;
}

/// Serves streams until the connection ends; says with which code to close it.
async fn streams(
    connection: &Connection,
    peer: Arc<Peer>,
    mut session: SendStream,
    stopping: &CancellationToken,
) -> ErrorCode {
    let over = peer.services.accounts.until_over(peer.me.session);
    tokio::pin!(over);
    let mut tasks = JoinSet::new();
    let code = loop {
        tokio::select! {
            accepted = connection.accept_bi(), if has_room(&tasks) => match accepted {
                Ok((answer, stream)) => {
                    tasks.spawn(serve_stream(peer.clone(), answer, stream).in_current_span());
                }
                Err(_) => break ErrorCode::Closed,
            },
            Some(_) = tasks.join_next() => {}
            _ = connection.closed() => break ErrorCode::Closed,
            () = &mut over => {
                // The answer to a logout is one of the last words.
                peer.ending.cancel();
                let _ = timeout(LAST_WORDS, async { while tasks.join_next().await.is_some() {} }).await;
                break ErrorCode::SessionEnded;
            }
            () = stopping.cancelled() => {
                wind_down(connection, &peer, &mut session, &mut tasks).await;
                break ErrorCode::Stopping;
            }
        }
    };
    // What a stream has begun on the disk or in the store runs to its end all the same; only the answers are dropped.
    tasks.shutdown().await;
    code
}

/// Whether another stream may be served. Over TCP a stream that was reset makes room for another at once, whatever is still
/// being done about it here.
pub(super) fn has_room(tasks: &JoinSet<()>) -> bool {
    tasks.len() < MAX_STREAMS as usize
}

/// Tells the client, and lets what is in flight finish.
async fn wind_down(connection: &Connection, peer: &Arc<Peer>, session: &mut SendStream, tasks: &mut JoinSet<()>) {
    let grace_ms = u64::try_from(GRACE.as_millis()).expect("some seconds");
    if send(session, &GoingAway { grace_ms }).await.is_err() {
        return;
    }
    session.finish();
    while !tasks.is_empty() {
        tokio::select! {
            _ = tasks.join_next() => {}
            _ = connection.closed() => return,
            // Streams opened before the client heard are told to come back later.
            accepted = connection.accept_bi(), if has_room(tasks) => match accepted {
                Ok((answer, stream)) => {
                    tasks.spawn(serve_stream(peer.clone(), answer, stream).in_current_span());
                }
                Err(_) => return,
            },
        }
    }
    tell(session).await;
}

async fn serve_stream(peer: Arc<Peer>, mut answer: SendStream, stream: RecvStream) {
    let mut reader = FrameReader::new(stream);
    let opening = match opening::<Opening>(&mut reader).await {
        Ok(opening) => opening,
        Err(ending) => return end(answer, reader, ending).await,
    };
    if peer.ending.is_cancelled() {
        let refusal = Refusal::new(ErrorCode::Stopping, "the connection is closing; connect again in a moment");
        return refuse(answer, reader, refusal).await;
    }
    answer.set_priority(match opening {
        Opening::OpenChat(_) | Opening::OpenEvents(_) | Opening::OpenSignals(_) => priority::CHAT,
        Opening::PutRange(_) | Opening::GetRange(_) | Opening::OpenTunnel(_) => priority::BULK,
        _ => priority::REQUEST,
    });
    let may_end_the_session = matches!(opening, Opening::Logout(_) | Opening::EndSession(_));
    let served = match opening {
        Opening::OpenChat(open) => chat_stream::serve(&peer, open, &mut answer, &mut reader).await,
        Opening::OpenEvents(open) => event_stream::serve(&peer, open, &mut answer, &mut reader).await,
        Opening::OpenSignals(open) => signal_stream::serve(&peer, open, &mut answer, &mut reader).await,
        Opening::OpenTunnel(open) => match tunnel::dig(&peer.tunnels, open).await {
            Ok(tunnel) => tunnel::carry(&tunnel, &mut answer, &mut reader, &peer.ending).await,
            Err(ending) => Err(ending),
        },
        Opening::PutRange(put) => chunks::put(&peer, put, &mut answer, &mut reader).await,
        Opening::GetRange(get) => chunks::get(&peer, get, &mut answer).await,
        request => requests::serve(&peer, request, &mut answer).await,
    };
    match served {
        Ok(()) => {
            answer.finish();
            if may_end_the_session {
                // The connection is closed as soon as nothing is under way.
                tell(&mut answer).await;
            }
        }
        Err(ending) => end(answer, reader, ending).await,
    }
}

/// The frame that says what a stream is.
pub(super) async fn opening<S: FrameSet>(reader: &mut FrameReader) -> Result<S, Ending> {
    match timeout(HELLO_TIMEOUT, reader.expect()).await {
        Ok(Ok(opening)) => Ok(opening),
        Ok(Err(RecvError::Frame(error))) => Err(error.into()),
        Ok(Err(_)) => Err(Ending::Gone),
        Err(_) => Err(Refusal::new(ErrorCode::TimedOut, "the stream did not say what it is").into()),
    }
}

/// Why a stream ends before its operation does.
pub(super) enum Ending {
    /// The client is told why.
    Refused(Refusal),
    /// The client is gone, or no longer listens.
    Gone,
}

impl<E: Into<Refusal>> From<E> for Ending {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

/// Nobody is left to answer.
pub(super) fn gone<E>(_: E) -> Ending {
    Ending::Gone
}

/// Ends a stream before its operation does.
pub(super) async fn end(answer: SendStream, reader: FrameReader, ending: Ending) {
    match ending {
        Ending::Refused(refusal) => refuse(answer, reader, refusal).await,
        Ending::Gone => {}
    }
}

async fn refuse(mut answer: SendStream, mut reader: FrameReader, refusal: Refusal) {
    // Raw bytes that follow a refused header are not wanted.
    reader.stop(refusal.code);
    if send(&mut answer, &refusal).await.is_ok() {
        answer.finish();
    }
}
