//! What one member, one login, one connection may take of the server: each bound, and that whoever reaches it is told and
//! nobody else notices.

use crate::support::text;
use bytes::Bytes;
use hypersend_client::{
    Client, MemoryTokens,
    protocol::{
        account::GetMe,
        chat::{ChatOpened, ChatUpdate, OpenChat, Post, Typing},
        file::{BeginUpload, FinishUpload, PutRange, RangeStored, UploadState},
        hash::{ChunkValue, RootHash, UploadKey},
        id::{ChatId, ClientId, FileId, Revision, Seq},
        refusal::{ErrorCode, Refusal},
        session::Auth,
    },
};
use hypersend_lab::{Proxy, RawPeer, TestServer, TestUser, eventually, peer::refusal, user::password, users, within};
use hypersend_net::frames::{FrameReader, RecvError, send};
use hypersend_net::stream::SendStream;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A range is the whole file, and its value the root hash.
const CONTENT: &[u8] = b"a very small file";

fn auth(user: &TestUser) -> Auth {
    Auth::Login { email: user.email(), password: password() }
}

/// An open chat, by hand.
async fn open(peer: &RawPeer, chat: ChatId) -> (SendStream, FrameReader) {
    let (mut stream, mut reader) = peer.stream().await;
    send(&mut stream, &OpenChat { chat, after: Seq(0), revision: Revision(0) }).await.unwrap();
    within("the chat opens", reader.expect::<ChatOpened>()).await.unwrap();
    (stream, reader)
}

/// What happens next, but for who is connected.
async fn notice(reader: &mut FrameReader) -> ChatUpdate {
    loop {
        match within("something happens in the chat", reader.expect::<ChatUpdate>()).await.unwrap() {
            ChatUpdate::Present(_) | ChatUpdate::PresenceBy(_) => {}
            other => return other,
        }
    }
}

fn post(words: &str) -> Post {
    Post { client_id: ClientId(Uuid::new_v4()), text: text(words), files: vec![], reply_to: None }
}

#[tokio::test]
async fn a_flood_of_typing_is_shown_once_a_second() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let chat = ann.client.open_direct(bob.email()).await.unwrap().id;
    let (hers, his) = (RawPeer::login(&server, auth(&ann)).await, RawPeer::login(&server, auth(&bob)).await);
    let ((mut says, _hears), (_says, mut hears)) = (open(&hers, chat).await, open(&his, chat).await);
    let begun = Instant::now();
    for _ in 0..1_000 {
        send(&mut says, &Typing {}).await.unwrap();
    }
    send(&mut says, &post("written at last")).await.unwrap();
    let mut shown = 0;
    loop {
        match notice(&mut hears).await {
            ChatUpdate::TypingBy(by) => {
                assert_eq!(by.user, ann.id());
                shown += 1;
            }
            ChatUpdate::Message(message) => break assert_eq!(message.seq, Seq(1)),
            other => panic!("{other:?}"),
        }
    }
    let most = begun.elapsed().as_secs() + 1;
    assert!((1..=most).contains(&shown), "shown as typing {shown} times in {:?}", begun.elapsed());
}

/// More than a client's window and a listener's backlog hold, for somebody who does not read.
async fn fall_behind(by: &Client, chat: ChatId, newcomer: Option<&TestUser>) {
    for n in 0..320 {
        by.post(chat, text("x".repeat(16 << 10)), vec![]).await.unwrap();
        if let Some(newcomer) = newcomer.filter(|_| n == 300) {
            by.add_members(chat, vec![newcomer.email()]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn who_fell_behind_hears_of_the_members_only_when_they_changed() {
    let server = TestServer::start().await;
    let [ann, bob, carol] = users(&server).await;
    let chat = ann.client.create_group("Us".parse().unwrap(), vec![bob.email()]).await.unwrap().id;
    let his = RawPeer::login(&server, auth(&bob)).await;
    let (_says, mut hears) = open(&his, chat).await;
    fall_behind(&ann.client, chat, None).await;
    let (mut seq, mut read) = (0, false);
    while seq < 320 || !read {
        match notice(&mut hears).await {
            ChatUpdate::Message(message) => {
                seq += 1;
                assert_eq!(message.seq, Seq(seq));
            }
            // Posting reads; that was missed too.
            ChatUpdate::ReadBy(by) => read = by.user == ann.id(),
            other => panic!("{other:?} came before message {}", seq + 1),
        }
    }
    fall_behind(&ann.client, chat, Some(&carol)).await;
    let mut members = 0;
    while seq < 640 || members == 0 {
        match notice(&mut hears).await {
            ChatUpdate::Message(message) => {
                seq += 1;
                assert_eq!(message.seq, Seq(seq));
            }
            ChatUpdate::MembersChanged(changed) => members = changed.chat.members.len(),
            ChatUpdate::ReadBy(read) => assert_eq!(read.user, ann.id()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(members, 3);
}

#[tokio::test]
async fn a_login_has_so_many_connections() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let mut first = RawPeer::connect(&server).await;
    let tokens = first.hello(auth(&ann)).await.unwrap().tokens.unwrap();
    let access = || Auth::Access { token: tokens.access.clone() };
    let mut others = Vec::new();
    for _ in 1..32 {
        others.push(RawPeer::login(&server, access()).await);
    }
    let told = |answer: Result<_, RecvError>| match answer {
        Err(RecvError::Refused(refusal)) => refusal,
        other => panic!("let in: {other:?}"),
    };
    let mut beyond = RawPeer::connect(&server).await;
    let Refusal { code, limit, .. } = told(beyond.hello(access()).await);
    assert_eq!((code, limit, beyond.closed().await), (ErrorCode::LimitReached, Some(32), ErrorCode::LimitReached));
    // Nor by the refresh token, which is not used up by that.
    let refresh = || Auth::Refresh { token: tokens.refresh.clone() };
    for _ in 0..2 {
        assert_eq!(told(RawPeer::connect(&server).await.hello(refresh()).await).code, ErrorCode::LimitReached);
    }
    RawPeer::login(&server, auth(&ann)).await.ask(&GetMe {}).await.unwrap();
    RawPeer::login(&server, auth(&bob)).await.ask(&GetMe {}).await.unwrap();

    let gone = others.pop().unwrap();
    gone.connection.close(ErrorCode::Closed);
    let look = async || RawPeer::connect(&server).await.hello(refresh()).await.ok();
    let welcome = eventually("the place is free", look).await;
    assert!(welcome.tokens.is_some());
    first.ask(&GetMe {}).await.unwrap();
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_given_up() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let proxy = Proxy::start(server.socket_address());
    // The first datagram gets through, and nothing behind it.
    proxy.cut_after(1_500);
    let _hangs = Client::start(server.config_via(proxy.address()), ann.login(), MemoryTokens::empty()).unwrap();
    proxy.until_cut().await;
    // By the connection's own idle timeout it would take three times as long.
    eventually("the server gives up", async || server.log().contains("handshake timed out").then_some(())).await;
}

/// Begins an upload of [`CONTENT`].
async fn begin(peer: &RawPeer, n: u8) -> FileId {
    let name = format!("file {n}").parse().unwrap();
    let begin = BeginUpload { key: UploadKey([n; 32]), name, size: CONTENT.len() as u64 };
    let state: UploadState = peer.ask(&begin).await.unwrap();
    state.file
}

/// Its only range.
fn header(file: FileId) -> PutRange {
    let length = u32::try_from(CONTENT.len()).unwrap();
    PutRange { file, offset: 0, length, value: ChunkValue(*blake3::hash(CONTENT).as_bytes()) }
}

async fn put(peer: &RawPeer, file: FileId) -> Result<RangeStored, RecvError> {
    peer.put(&header(file), Bytes::from_static(CONTENT)).await
}

/// A range of which only the header is sent.
async fn announce(peer: &RawPeer, file: FileId) -> (SendStream, FrameReader) {
    let (mut stream, answer) = peer.stream().await;
    send(&mut stream, &header(file)).await.unwrap();
    (stream, answer)
}

#[tokio::test]
async fn ranges_that_stall_make_room_for_others() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let peer = RawPeer::login(&server, auth(&ann)).await;
    let (stalled, sent) = (begin(&peer, 1).await, begin(&peer, 2).await);
    let begun = Instant::now();
    let mut ranges = Vec::new();
    // As many as one connection may have in memory.
    for _ in 0..16 {
        ranges.push(announce(&peer, stalled).await);
    }
    put(&peer, sent).await.unwrap();
    for (_, answer) in &mut ranges {
        assert_eq!(refusal(within("it is refused", answer.expect::<RangeStored>()).await), ErrorCode::TimedOut);
    }
    assert!(begun.elapsed() >= Duration::from_secs(20), "{:?}", begun.elapsed());
    put(&peer, stalled).await.unwrap();
}

#[tokio::test]
async fn uploads_that_were_given_up_make_room_and_those_being_sent_stay() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let peer = RawPeer::login(&server, auth(&ann)).await;
    let being_sent = begin(&peer, 0).await;
    let (mut stream, mut answer) = announce(&peer, being_sent).await;
    let mut idle = Vec::new();
    for n in 1..=63 {
        idle.push(begin(&peer, n).await);
    }
    // The first is used, so the second is the one that was not for the longest time.
    put(&peer, idle[0]).await.unwrap();
    begin(&peer, 64).await;
    assert_eq!(refusal(put(&peer, idle[1]).await), ErrorCode::NotFound);
    put(&peer, idle[0]).await.unwrap();
    stream.write(CONTENT.into()).await.unwrap();
    assert!(within("it is stored", answer.expect::<RangeStored>()).await.unwrap().chunk_complete);
    assert_eq!(begin(&peer, 2).await, idle[1], "begun again, it goes on");
    put(&peer, idle[1]).await.unwrap();
}

#[tokio::test]
async fn an_upload_that_was_dropped_is_no_longer_there() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let peer = RawPeer::login(&server, auth(&ann)).await;
    let file = begin(&peer, 1).await;
    put(&peer, file).await.unwrap();
    let finish = FinishUpload { file, root: RootHash([1; 32]) };
    assert_eq!(refusal(peer.ask(&finish).await), ErrorCode::FileChanged);
    assert_eq!(refusal(put(&peer, file).await), ErrorCode::NotFound);
    assert_eq!(refusal(peer.ask(&finish).await), ErrorCode::NotFound);
}
