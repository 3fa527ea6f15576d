//! What the client makes of refusals that pass, on connections to a server that refuses on command.

use crate::support::Desk;
use hypersend_client::{
    ChatEvent, Status,
    protocol::{
        chat::{Chat, ChatKind, ChatOpened, Message},
        event::{EventUpdate, EventsReset},
        file::{FileInfo, RangeFollows, RangeStored, UploadState, Values},
        hash::RootHash,
        id::{ChatId, ClientId, Cursor, FileId, Revision, Seq, UserId},
        refusal::{ErrorCode, Refusal},
        stream::Opening,
        time::UnixMillis,
    },
};
use hypersend_lab::{
    StandIn,
    fixtures::{MIB, b3_of, sparse_file},
    stand_in::{Guest, tokens},
    within,
};
use hypersend_net::stream::SendStream;
use hypersend_net::{bulk::send_range, frames::send};
use hypersend_transfer::{
    plan::{ChunkPlan, Span},
    tree,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use uuid::Uuid;

const FILE: FileId = FileId(Uuid::from_u128(7));

/// Longer than any of these tests.
const LONG: Duration = Duration::from_hours(1);

fn passing(code: ErrorCode) -> Refusal {
    Refusal::new(code, "for the moment").with_retry_after(Duration::from_millis(10))
}

fn a_chat() -> Chat {
    Chat {
        id: ChatId(Uuid::from_u128(3)),
        kind: ChatKind::Group,
        title: None,
        members: vec![],
        last: Seq(0),
        revision: Revision(0),
    }
}

fn a_message(seq: Seq) -> Message {
    Message {
        chat: a_chat().id,
        seq,
        sender: UserId(Uuid::from_u128(1)),
        client_id: ClientId(Uuid::from_u128(seq.0.into())),
        at: UnixMillis(0),
        text: None,
        files: vec![],
        reply_to: None,
        deleted: None,
        revision: Revision(0),
    }
}

/// The chat stream that the client opens next.
async fn opened_after(guest: &Guest, expected: Seq) -> SendStream {
    match guest.next().await {
        (Opening::OpenChat(open), out, _) => {
            assert_eq!(open.after, expected);
            out
        }
        (other, ..) => panic!("no chat is opened: {other:?}"),
    }
}

#[tokio::test]
async fn an_open_chat_outlives_refusals_that_pass() {
    let (client, guest) = StandIn::start().meet(tokens(LONG)).await;
    let mut handle = client.open_chat(a_chat().id, Seq(0), Revision(0));
    let mut out = opened_after(&guest, Seq(0)).await;
    send(&mut out, &passing(ErrorCode::Unavailable)).await.unwrap();
    let mut out = opened_after(&guest, Seq(0)).await;
    send(&mut out, &ChatOpened { chat: a_chat() }).await.unwrap();
    send(&mut out, &a_message(Seq(1))).await.unwrap();
    send(&mut out, &passing(ErrorCode::TimedOut)).await.unwrap();
    let mut out = opened_after(&guest, Seq(1)).await;
    send(&mut out, &ChatOpened { chat: a_chat() }).await.unwrap();
    send(&mut out, &a_message(Seq(2))).await.unwrap();
    send(&mut out, &Refusal::new(ErrorCode::NotFound, "no longer")).await.unwrap();

    let opened = ChatEvent::Opened(a_chat());
    let message = |seq| ChatEvent::Message(a_message(Seq(seq)));
    for expected in [opened.clone(), message(1), opened, message(2)] {
        assert_eq!(within("something happens", handle.next()).await.unwrap(), expected);
    }
    let end = within("the chat ends", handle.next()).await.unwrap_err();
    assert_eq!(end.code(), Some(ErrorCode::NotFound), "one that does not pass ends it");
}

#[tokio::test]
async fn the_event_feed_outlives_refusals_that_pass() {
    let (client, guest) = StandIn::start().meet(tokens(LONG)).await;
    let mut events = client.events(Some(Cursor(3)));
    let answered = async {
        for refusal in [Some(passing(ErrorCode::Unavailable)), None] {
            let (opening, mut out, _) = guest.next().await;
            assert!(matches!(opening, Opening::OpenEvents(_)), "{opening:?}");
            match refusal {
                Some(refusal) => send(&mut out, &refusal).await.unwrap(),
                None => send(&mut out, &EventsReset { cursor: Cursor(9) }).await.unwrap(),
            }
        }
    };
    let (event, ()) = within("an event comes", async { tokio::join!(events.next(), answered) }).await;
    assert_eq!(
        (event.unwrap(), events.cursor()),
        (EventUpdate::EventsReset(EventsReset { cursor: Cursor(9) }), Some(Cursor(9)))
    );
}

#[tokio::test]
async fn a_session_taken_up_by_its_access_token_is_renewed_before_it_ends() {
    let (client, guest) = StandIn::start().meet(tokens(Duration::from_secs(4))).await;
    let (opening, mut out, _) = guest.next().await;
    assert!(matches!(opening, Opening::RenewTokens(_)), "{opening:?}");
    send(&mut out, &passing(ErrorCode::Unavailable)).await.unwrap();
    let (opening, mut out, _) = guest.next().await;
    assert!(matches!(opening, Opening::RenewTokens(_)), "{opening:?}");
    send(&mut out, &tokens(Duration::from_secs(4))).await.unwrap();
    let (opening, _out, _) = guest.next().await;
    assert!(matches!(opening, Opening::RenewTokens(_)), "the new ones end as well: {opening:?}");
    assert!(matches!(client.status(), Status::Connected { .. }));
}

fn info(size: u64, root: RootHash) -> FileInfo {
    let plan = ChunkPlan::for_size(size).unwrap();
    FileInfo {
        id: FILE,
        name: "film.mkv".parse().unwrap(),
        size,
        chunk_size: plan.chunk_size(),
        root,
        owner: UserId(Uuid::from_u128(1)),
        at: UnixMillis(0),
    }
}

fn nothing_stored(size: u64) -> UploadState {
    let plan = ChunkPlan::for_size(size).unwrap();
    let stored = vec![0; plan.chunk_count().div_ceil(8) as usize];
    UploadState { file: FILE, chunk_size: plan.chunk_size(), stored, finished: None }
}

/// A file of zeros.
fn zeros(desk: &Desk, name: &str, size: u64) -> std::path::PathBuf {
    sparse_file(&desk.path(name), size)
}

/// Answers an upload, each range as `answer` says; says what it answered at the end.
async fn take(guest: &Guest, path: &Path, mut answer: impl FnMut(u64) -> Option<Refusal>) -> FileInfo {
    let size = std::fs::metadata(path).unwrap().len();
    loop {
        match guest.next().await {
            (Opening::BeginUpload(_), mut out, _) => send(&mut out, &nothing_stored(size)).await.unwrap(),
            (Opening::PutRange(put), mut out, mut reader) => {
                reader.raw(put.length as usize).await.unwrap();
                match answer(put.offset) {
                    Some(refusal) => send(&mut out, &refusal).await.unwrap(),
                    None => send(&mut out, &RangeStored { chunk_complete: true }).await.unwrap(),
                }
            }
            (Opening::FinishUpload(finish), mut out, _) => {
                let file = info(size, finish.root);
                send(&mut out, &file).await.unwrap();
                return file;
            }
            (other, ..) => panic!("no part of an upload: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_moment_in_which_every_chunk_is_refused_does_not_fail_an_upload() {
    let (client, guest) = StandIn::start().meet(tokens(LONG)).await;
    let desk = Desk::new();
    let path = zeros(&desk, "film.mkv", 64 * MIB);
    let sending = client.upload(&path);
    let mut refusals = 0;
    let refuse = |_| {
        refusals += 1;
        (refusals <= 80).then(|| Refusal::new(ErrorCode::Unavailable, "busy"))
    };
    let file = take(&guest, &path, refuse).await;
    assert_eq!(file.root, b3_of(&path));
    assert_eq!(within("the upload ends", sending.finish()).await.unwrap(), file);
}

#[tokio::test]
async fn a_chunk_that_stays_damaged_fails_its_upload() {
    let (client, guest) = StandIn::start().meet(tokens(LONG)).await;
    let desk = Desk::new();
    let path = zeros(&desk, "film.mkv", 2 * MIB);
    let sending = client.upload(&path);
    let damaged = |offset| (offset == 0).then(|| Refusal::new(ErrorCode::HashMismatch, "damaged"));
    let failed = tokio::select! {
        file = take(&guest, &path, damaged) => panic!("it was finished: {file:?}"),
        finished = sending.finish() => finished,
    };
    assert_eq!(crate::support::code(failed), ErrorCode::HashMismatch);
}

#[tokio::test]
async fn a_chunk_is_sent_again_when_the_server_said() {
    const WAIT: Duration = Duration::from_secs(1);
    let (client, guest) = StandIn::start().meet(tokens(LONG)).await;
    let desk = Desk::new();
    let path = zeros(&desk, "film.mkv", MIB);
    let sending = client.upload(&path);
    let mut times = Vec::new();
    let refuse_once = |_| {
        times.push(Instant::now());
        (times.len() == 1).then(|| Refusal::new(ErrorCode::Unavailable, "busy").with_retry_after(WAIT))
    };
    take(&guest, &path, refuse_once).await;
    within("the upload ends", sending.finish()).await.unwrap();
    assert!(times[1] - times[0] >= WAIT, "{:?}", times[1] - times[0]);
}

#[tokio::test]
async fn uploads_together_stay_under_the_budget_of_their_connection() {
    /// Requests asked and answered one after the other while no range comes: time enough for one to be read and sent.
    const QUIET: u32 = 200;
    let (client, guest) = StandIn::start().meet(tokens(LONG)).await;
    let desk = Desk::new();
    let size = 40 * MIB;
    // Each may have 8 MiB under way before it has measured anything.
    let uploads: Vec<_> = (0..5).map(|n| client.upload(zeros(&desk, &format!("film{n}.mkv"), size))).collect();
    let mut ranges = Vec::new();
    let mut quiet = 0;
    while quiet < QUIET || ranges.is_empty() {
        let ask = client.find_user("bob@example.org".parse().unwrap());
        let answer = async {
            loop {
                match guest.next().await {
                    (Opening::FindUser(_), mut out, _) => {
                        return send(&mut out, &Refusal::new(ErrorCode::NotFound, "nobody")).await.unwrap();
                    }
                    (Opening::BeginUpload(_), mut out, _) => send(&mut out, &nothing_stored(size)).await.unwrap(),
                    // Kept, and never answered.
                    (Opening::PutRange(put), out, reader) => {
                        ranges.push((put.length, out, reader));
                        quiet = 0;
                    }
                    (other, ..) => panic!("no part of an upload: {other:?}"),
                }
            }
        };
        let (asked, ()) = tokio::join!(ask, answer);
        assert_eq!(asked.unwrap_err().code(), Some(ErrorCode::NotFound));
        quiet += 1;
    }
    drop(uploads);
    let under_way: u64 = ranges.iter().map(|(length, ..)| u64::from(*length)).sum();
    assert_eq!(under_way, hypersend_net::transport::BULK_WINDOW);
}

#[tokio::test]
async fn a_finished_download_asks_for_nothing_more() {
    let (client, guest) = StandIn::start().meet(tokens(LONG)).await;
    let desk = Desk::new();
    let content = vec![7; 100];
    let plan = ChunkPlan::for_size(100).unwrap();
    let value = tree::range_value(&plan, Span { offset: 0, length: 100 }, std::iter::once(&content[..]));
    let file = info(100, RootHash(blake3::hash(&content).into()));
    let fetching = client.download(FILE, desk.path("copy"));
    let answered = async {
        loop {
            match guest.next().await {
                (Opening::GetFile(_), mut out, _) => send(&mut out, &file).await.unwrap(),
                (Opening::GetValues(_), mut out, _) => {
                    send(&mut out, &Values::pack(&[value])).await.unwrap();
                }
                (Opening::GetRange(get), mut out, _) => {
                    let follows = RangeFollows { length: get.length };
                    return send_range(&mut out, &follows, content.clone().into()).await.unwrap();
                }
                (other, ..) => panic!("no part of a download: {other:?}"),
            }
        }
    };
    // Nobody answers after the last range.
    let (fetched, ()) = within("the download ends", async { tokio::join!(fetching.finish(), answered) }).await;
    assert_eq!(fetched.unwrap(), file);
    assert_eq!(std::fs::read(desk.path("copy")).unwrap(), content);
}
