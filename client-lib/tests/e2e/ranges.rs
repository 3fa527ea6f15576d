//! Chunk streams, by a client that says exactly what it wants.

use crate::support::{Desk, text, upload};
use bytes::Bytes;
use hypersend_client::protocol::{
    file::{
        BeginUpload, CancelUpload, DeleteFile, FinishUpload, GetRange, PutRange, RangeFollows, RangeStored, UploadState,
    },
    frame::encode,
    hash::{ChunkValue, RootHash, UploadKey},
    id::{ChunkIndex, FileId},
    limit::MAX_RANGE_LENGTH,
    refusal::ErrorCode,
    session::Auth,
};
use hypersend_lab::{
    RawPeer, TestServer, TestUser,
    fixtures::{MIB, b3_of},
    peer::refusal,
    user::password,
    users, within,
};
use hypersend_transfer::{
    map::ReceiveMap,
    plan::{ChunkPlan, Span},
    tree,
};
use std::path::Path;

/// A file in memory, being sent by hand.
struct ByHand {
    peer: RawPeer,
    begin: BeginUpload,
    file: FileId,
    plan: ChunkPlan,
    content: Bytes,
}

async fn login(server: &TestServer, user: &TestUser) -> RawPeer {
    RawPeer::login(server, Auth::Login { email: user.email(), password: password() }).await
}

impl ByHand {
    async fn begin(server: &TestServer, user: &TestUser, source: &Path) -> Self {
        let peer = login(server, user).await;
        let content = Bytes::from(std::fs::read(source).unwrap());
        let begin =
            BeginUpload { key: UploadKey([7; 32]), name: "film.mkv".parse().unwrap(), size: content.len() as u64 };
        let state = peer.ask(&begin).await.unwrap();
        let plan = ChunkPlan::parse(begin.size, state.chunk_size).unwrap();
        Self { peer, begin, file: state.file, plan, content }
    }

    fn span(&self, chunk: u32) -> Span {
        self.plan.chunk(ChunkIndex(chunk)).unwrap()
    }

    fn bytes(&self, span: Span) -> Bytes {
        self.content.slice(usize::try_from(span.offset).unwrap()..usize::try_from(span.end()).unwrap())
    }

    fn header(&self, span: Span) -> PutRange {
        let value = tree::range_value(&self.plan, span, std::iter::once(&self.bytes(span)[..]));
        PutRange { file: self.file, offset: span.offset, length: span.length, value }
    }

    async fn put(&self, chunk: u32) -> RangeStored {
        let span = self.span(chunk);
        self.peer.put(&self.header(span), self.bytes(span)).await.unwrap()
    }

    async fn stored(&self) -> Vec<u32> {
        let UploadState { stored, .. } = self.peer.ask(&self.begin).await.unwrap();
        let map = ReceiveMap::from_bytes(self.plan.chunk_count(), &stored).unwrap();
        (0..map.count()).filter(|&chunk| map.contains(ChunkIndex(chunk))).collect()
    }
}

#[tokio::test]
async fn bytes_that_do_not_match_are_refused_and_the_others_kept() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let desk = Desk::new();
    let source = desk.file("film.mkv", 3 * MIB + 5);
    let hand = ByHand::begin(&server, &ann, &source).await;
    assert!(hand.put(0).await.chunk_complete);
    let wrong = PutRange { value: ChunkValue([9; 32]), ..hand.header(hand.span(1)) };
    assert_eq!(refusal(hand.peer.put(&wrong, hand.bytes(hand.span(1))).await), ErrorCode::HashMismatch);
    let swapped = hand.bytes(hand.span(2));
    assert_eq!(refusal(hand.peer.put(&hand.header(hand.span(1)), swapped).await), ErrorCode::HashMismatch);
    hand.put(3).await;
    assert_eq!(hand.stored().await, [0, 3]);

    let finish = FinishUpload { file: hand.file, root: RootHash(blake3::hash(&hand.content).into()) };
    assert_eq!(refusal(hand.peer.ask(&finish).await), ErrorCode::Incomplete);
    for chunk in [1, 2, 0] {
        hand.put(chunk).await;
    }
    let file = hand.peer.ask(&finish).await.unwrap();
    assert_eq!(hand.peer.ask(&finish).await.unwrap(), file, "finished twice is finished");
    assert_eq!(hand.peer.ask(&hand.begin).await.unwrap().finished, Some(file));
}

#[tokio::test]
async fn another_root_than_the_servers_drops_what_was_stored() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let desk = Desk::new();
    let source = desk.file("film.mkv", MIB + 5);
    let hand = ByHand::begin(&server, &ann, &source).await;
    hand.put(0).await;
    hand.put(1).await;
    let finish = FinishUpload { file: hand.file, root: RootHash([1; 32]) };
    assert_eq!(refusal(hand.peer.ask(&finish).await), ErrorCode::FileChanged);
    let again = ByHand::begin(&server, &ann, &source).await;
    assert_ne!(again.file, hand.file);
    assert_eq!(again.stored().await, [0; 0]);
}

#[tokio::test]
async fn what_is_no_range_of_the_file_is_refused() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let desk = Desk::new();
    let source = desk.file("film.mkv", 2 * MIB + 7);
    let hand = ByHand::begin(&server, &ann, &source).await;
    let stored = upload(&ann.client, &source).await;
    let mib = MAX_RANGE_LENGTH;
    let bad =
        [(1, mib), (0, mib - 1), (0, 2 * mib), (MIB, 0), (2 * MIB, mib), (2 * MIB, 8), (4 * MIB, 1), (u64::MAX, 1)];
    for (offset, length) in bad.into_iter().chain([(0, u32::MAX)]) {
        let header = PutRange { file: hand.file, offset, length, value: ChunkValue([0; 32]) };
        let some = Bytes::from(vec![0; length.min(4 * mib) as usize]);
        assert_eq!(refusal(hand.peer.put(&header, some).await), ErrorCode::Invalid, "put {length} at {offset}");
        let get = GetRange { file: stored.id, offset, length };
        let mut answer = hand.peer.say(&encode(&get).unwrap()).await;
        let answer = within("answered", answer.expect::<RangeFollows>()).await;
        assert_eq!(refusal(answer), ErrorCode::Invalid, "get {length} at {offset}");
    }
    assert_eq!(hand.stored().await, [0; 0]);
}

#[tokio::test]
async fn an_upload_is_for_its_owner_on_a_connection_that_began_it() {
    let server = TestServer::start().await;
    let [ann, mallory] = users(&server).await;
    let desk = Desk::new();
    let source = desk.file("film.mkv", 2 * MIB);
    let hand = ByHand::begin(&server, &ann, &source).await;
    let span = hand.span(0);
    let finish = FinishUpload { file: hand.file, root: b3_of(&source) };
    for somebody in [login(&server, &mallory).await, login(&server, &ann).await] {
        assert_eq!(refusal(somebody.put(&hand.header(span), hand.bytes(span)).await), ErrorCode::NotFound);
        assert_eq!(refusal(somebody.ask(&finish).await), ErrorCode::NotFound);
    }
    let theirs = login(&server, &mallory).await.ask(&hand.begin).await.unwrap();
    assert_ne!(theirs.file, hand.file, "keys are each user's own");
    let other = BeginUpload { name: "other.mkv".parse().unwrap(), ..hand.begin.clone() };
    assert_eq!(refusal(hand.peer.ask(&other).await), ErrorCode::Conflict);
    hand.put(0).await;
    assert_eq!(hand.stored().await, [0]);
}

#[tokio::test]
async fn what_was_removed_on_another_connection_is_not_found() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let desk = Desk::new();
    let source = desk.file("film.mkv", 2 * MIB);
    let root = b3_of(&source);

    let (deletes, late) = (ByHand::begin(&server, &ann, &source).await, ByHand::begin(&server, &ann, &source).await);
    assert_eq!(deletes.file, late.file);
    for chunk in 0..2 {
        deletes.put(chunk).await;
    }
    let finish = FinishUpload { file: late.file, root };
    deletes.peer.ask(&finish).await.unwrap();
    deletes.peer.ask(&DeleteFile { file: late.file }).await.unwrap();
    assert_eq!(refusal(late.peer.ask(&finish).await), ErrorCode::NotFound, "finished and deleted");

    let (cancels, late) = (ByHand::begin(&server, &ann, &source).await, ByHand::begin(&server, &ann, &source).await);
    for chunk in 0..2 {
        late.put(chunk).await;
    }
    cancels.peer.ask(&CancelUpload { file: late.file }).await.unwrap();
    let finish = FinishUpload { file: late.file, root };
    assert_eq!(refusal(late.peer.ask(&finish).await), ErrorCode::NotFound, "cancelled");
    for folder in ["files", "uploads"] {
        assert_eq!(std::fs::read_dir(server.data_root().join(folder)).unwrap().count(), 0, "{folder}");
    }
}

#[tokio::test]
async fn a_stream_that_stalls_holds_up_nobody() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let desk = Desk::new();
    let source = desk.file("film.mkv", 8 * MIB);
    let hand = ByHand::begin(&server, &ann, &source).await;
    let mut stalled = Vec::new();
    // As many as the server holds for one connection, but for one.
    for _ in 0..15 {
        let (mut stream, answer) = hand.peer.stream().await;
        stream.write(encode(&hand.header(hand.span(0))).unwrap().into()).await.unwrap();
        stream.write(hand.content.slice(..100_000)).await.unwrap();
        stalled.push((stream, answer));
    }
    for chunk in (0..8).rev() {
        assert!(hand.put(chunk).await.chunk_complete);
    }
    upload(&ann.client, &source).await;
    assert_eq!(upload(&bob.client, &source).await.root, b3_of(&source));
    let chat = ann.client.open_direct(bob.email()).await.unwrap().id;
    bob.client.post(chat, text("all fine"), vec![]).await.unwrap();
}

#[tokio::test]
async fn memory_does_not_grow_with_the_file() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let desk = Desk::new();
    let small = upload(&ann.client, &desk.file("small", 32 * MIB)).await;
    crate::support::download(&ann.client, &small, &desk.path("small copy")).await;
    let before = server.peak_memory();
    let large = upload(&ann.client, &desk.file("large", 192 * MIB)).await;
    crate::support::download(&ann.client, &large, &desk.path("large copy")).await;
    let grown = server.peak_memory().saturating_sub(before);
    assert!(grown < 24 * MIB, "{} MiB at 32 MiB of file, {} MiB more at 192", before / MIB, grown / MIB);
}
