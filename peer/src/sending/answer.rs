//! One request, one answer.

use super::{Outcome, Serving};
use crate::{blocking, listing::Listing, source::SourceError};
use bytes::Bytes;
use hypersend_net::{
    bulk::send_range,
    connection::{Closed, Connection},
    frames::{FrameReader, RecvError, SendError, send},
    stream::{RecvStream, SendStream},
};
use hypersend_protocol::{
    account::Done,
    frame::Frame,
    hash::{ListingId, RootHash},
    limit::{HELLO_TIMEOUT, MAX_ENTRIES_PER_PAGE, MAX_RANGE_LENGTH, MAX_SMALL_FILES},
    peer::{
        Confirm, GetListing, GetPiece, GetSmall, ListingPage, PeerRequest, PieceFollows, ReceiverState, Report,
        SmallFollows,
    },
    refusal::{ErrorCode, Refusal},
    stream::priority,
};
use hypersend_transfer::{
    plan::{ChunkPlan, Span},
    schedule::PathId,
    tree::range_value,
};
use std::{iter, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

/// Pieces, batches and pages that are in memory at once for one path, beyond what its connection holds unacknowledged. Each is
/// at most a MiB. For each path of its own, so that one that has died does not hold up the others.
const PIECES_AT_ONCE: usize = 16;

/// Requests of one path that are looked at, at once: as many as a connection allows streams anyway.
const REQUESTS_AT_ONCE: usize = 256;

/// How long the answer to a last report may take to arrive. It is a few bytes on a path that worked a moment ago.
const DELIVERY: Duration = Duration::from_secs(3);

/// Why a request has no answer.
enum Ending {
    /// "No".
    Refused(Refusal),
    /// The stream or the path is gone.
    Gone,
}

impl From<Refusal> for Ending {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<SendError> for Ending {
    fn from(_: SendError) -> Self {
        Self::Gone
    }
}

/// Answers on one path until it ends.
pub(super) async fn serve_path(serving: Arc<Serving>, path: PathId, connection: Connection) {
    let pieces = Arc::new(Semaphore::new(PIECES_AT_ONCE));
    let mut requests = JoinSet::new();
    let closed = loop {
        tokio::select! {
            stream = connection.accept_bi(), if requests.len() < REQUESTS_AT_ONCE => match stream {
                Ok((send, recv)) => {
                    requests.spawn(serve(serving.clone(), path, pieces.clone(), send, recv));
                }
                Err(closed) => break closed,
            },
            Some(_) = requests.join_next() => {}
        }
    };
    tracing::debug!(path = path.0, %closed, "path ended");
    if closed == Closed::ByPeer(ErrorCode::Cancelled) {
        serving.ended(Outcome::Cancelled);
    }
}

async fn serve(serving: Arc<Serving>, path: PathId, pieces: Arc<Semaphore>, mut out: SendStream, recv: RecvStream) {
    let mut reader = FrameReader::new(recv);
    let request = match timeout(HELLO_TIMEOUT, reader.expect::<PeerRequest>()).await {
        Ok(Ok(request)) => request,
        Ok(Err(RecvError::Frame(error))) => return refuse(&mut out, error.into()).await,
        Ok(Err(_)) => return,
        Err(_) => return refuse(&mut out, Refusal::new(ErrorCode::TimedOut, "the request did not come")).await,
    };
    if let Some(&code) = serving.refusing.get().filter(|_| !matches!(request, PeerRequest::Report(_))) {
        return refuse(&mut out, Refusal::new(code, "the sender has called the transfer off")).await;
    }
    let bulk = !matches!(request, PeerRequest::Report(_) | PeerRequest::Confirm(_));
    out.set_priority(if bulk { priority::BULK } else { priority::REQUEST });
    // What nobody reads any more is not read from the disk either.
    let _piece = if bulk { Some(pieces.acquire().await.expect("it is never closed")) } else { None };
    if matches!(request, PeerRequest::GetPiece(_) | PeerRequest::GetSmall(_)) {
        serving.carried_by(path);
    }
    let answered = match request {
        PeerRequest::GetListing(get) => listing(&serving, get, &mut out).await,
        PeerRequest::GetPiece(get) => piece(&serving, get, &mut out).await,
        PeerRequest::GetSmall(get) => small(&serving, get, &mut out).await,
        PeerRequest::Confirm(confirm) => confirmed(&serving, confirm, &mut out).await,
        PeerRequest::Report(report) => reported(&serving, report, &mut out).await,
    };
    if let Err(Ending::Refused(refusal)) = answered {
        refuse(&mut out, refusal).await;
    }
}

async fn refuse(out: &mut SendStream, refusal: Refusal) {
    tracing::debug!(code = %refusal.code, "request refused");
    // Whoever is gone need not be refused.
    let _ = send(out, &refusal).await;
    out.finish();
}

async fn answer<F: Frame>(out: &mut SendStream, frame: &F) -> Result<(), Ending> {
    send(out, frame).await?;
    out.finish();
    Ok(())
}

async fn listing(serving: &Serving, get: GetListing, out: &mut SendStream) -> Result<(), Ending> {
    let listing = serving.offer.listing();
    let entries = listing.page(get.first, get.count.min(MAX_ENTRIES_PER_PAGE));
    if entries.is_empty() {
        return Err(Refusal::new(ErrorCode::Invalid, "there are no such entries").into());
    }
    let page =
        ListingPage { listing: listing.id(), total_entries: listing.len(), total_bytes: listing.bytes(), entries };
    answer(out, &page).await
}

async fn piece(serving: &Arc<Serving>, get: GetPiece, out: &mut SendStream) -> Result<(), Ending> {
    let size = file_size(serving.offer.listing(), get.listing, get.entry)?;
    let (plan, span) = place(size, get.offset, get.length)?;
    let file = serving.files.get(&serving.offer, get.entry).await.map_err(|error| serving.lost(error))?;
    let read = blocking(move || {
        let bytes = file.read(span)?;
        let value = range_value(&plan, span, iter::once(&bytes[..]));
        Ok((PieceFollows { length: span.length, value }, bytes))
    });
    let (follows, bytes) = read.await.map_err(|error| serving.lost(error))?;
    Ok(send_range(out, &follows, bytes).await?)
}

fn place(size: u64, offset: u64, length: u32) -> Result<(ChunkPlan, Span), Refusal> {
    let invalid = |error: hypersend_transfer::plan::PlanError| Refusal::new(ErrorCode::Invalid, error.to_string());
    let plan = ChunkPlan::for_size(size).map_err(invalid)?;
    let place = plan.range_at(offset, length.into()).map_err(invalid)?;
    Ok((plan, place.span))
}

async fn small(serving: &Arc<Serving>, get: GetSmall, out: &mut SendStream) -> Result<(), Ending> {
    let too_much = || Refusal::new(ErrorCode::Invalid, "no more than one range is sent in one answer");
    if get.entries.is_empty() || get.entries.len() > MAX_SMALL_FILES {
        return Err(too_much().into());
    }
    let mut sum = 0;
    for &entry in &get.entries {
        sum += file_size(serving.offer.listing(), get.listing, entry)?;
        if sum > u64::from(MAX_RANGE_LENGTH) {
            return Err(too_much().into());
        }
    }
    let offer = serving.offer.clone();
    let read = blocking(move || -> Result<Vec<(SmallFollows, Bytes)>, SourceError> {
        let mut files = Vec::with_capacity(get.entries.len());
        for entry in get.entries {
            let file = offer.open_file(entry)?;
            let size = offer.listing().get(entry).expect("checked above").size;
            let length = u32::try_from(size).expect("at most one range");
            let bytes = file.read(Span { offset: 0, length })?;
            file.check_unchanged()?;
            let root = RootHash(blake3::hash(&bytes).into());
            files.push((SmallFollows { entry, length, root }, bytes));
        }
        Ok(files)
    });
    for (follows, bytes) in read.await.map_err(|error| serving.lost(error))? {
        send(out, &follows).await?;
        out.write(bytes).await.map_err(SendError::from)?;
    }
    out.finish();
    Ok(())
}

async fn confirmed(serving: &Arc<Serving>, confirm: Confirm, out: &mut SendStream) -> Result<(), Ending> {
    file_size(serving.offer.listing(), confirm.listing, confirm.entry)?;
    let file = serving.files.get(&serving.offer, confirm.entry).await.map_err(|error| serving.lost(error))?;
    blocking(move || file.check_unchanged()).await.map_err(|error| serving.lost(error))?;
    answer(out, &Done {}).await
}

async fn reported(serving: &Serving, report: Report, out: &mut SendStream) -> Result<(), Ending> {
    let Report { stored, total: _, state } = report;
    serving.measure(if state == ReceiverState::Finished { u64::MAX } else { stored });
    answer(out, &Done {}).await?;
    if state != ReceiverState::Receiving {
        // Whoever waits for the end closes the connection next.
        let _ = timeout(DELIVERY, out.delivered()).await;
    }
    serving.reported(state);
    Ok(())
}

/// The size of a file that a request names.
fn file_size(listing: &Listing, of: ListingId, entry: u32) -> Result<u64, Refusal> {
    if of != listing.id() {
        return Err(Refusal::new(ErrorCode::Conflict, "the files are others by now; ask for the list again"));
    }
    match listing.get(entry) {
        Some(entry) if !entry.folder => Ok(entry.size),
        _ => Err(Refusal::new(ErrorCode::Invalid, "there is no such file")),
    }
}

impl Serving {
    /// A file cannot be sent any more, and so not all of what was offered.
    fn lost(&self, error: SourceError) -> Refusal {
        let refusal = match &error {
            SourceError::Changed(_) => Refusal::new(ErrorCode::FileChanged, error.to_string()),
            SourceError::Io { source, .. } => Refusal::new(ErrorCode::Internal, format!("{error}: {source}")),
        };
        self.ended(Outcome::Source(Arc::new(error)));
        refusal
    }
}
