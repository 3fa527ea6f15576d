//! What guests of a mailbox may do who speak in frames of their own making.

use crate::{mailbox::claim, support::code};
use hypersend_client::protocol::{
    account::{Done, GetMe},
    frame::{Frame, encode},
    id::P2pId,
    mailbox::{ClaimMailbox, MailboxKey, MailboxOpen, Nameplate, OpenMailbox, ResumeMailbox},
    refusal::ErrorCode,
    signal::{OpenSignals, Signal, SignalValue},
};
use hypersend_lab::{RawPeer, TestServer, peer, within};
use hypersend_net::{
    frames::{FrameReader, send},
    stream::SendStream,
};

const KEY: MailboxKey = MailboxKey([7; 16]);

/// The stream of a guest who begins with this.
async fn begin<F: Frame>(peer: &RawPeer, greeting: &F) -> (SendStream, FrameReader) {
    let (mut stream, answer) = peer.stream().await;
    send(&mut stream, greeting).await.unwrap();
    (stream, answer)
}

async fn opened(answer: &mut FrameReader) -> MailboxOpen {
    within("the mailbox is open", answer.expect::<MailboxOpen>()).await.unwrap()
}

#[tokio::test]
async fn an_answer_that_was_lost_is_given_again_and_the_newest_connection_counts() {
    let server = TestServer::start().await;
    let first = RawPeer::connect(&server).await;
    let (_stream, mut older) = begin(&first, &OpenMailbox { version: 1, key: KEY }).await;
    let mailbox = opened(&mut older).await;
    let again = RawPeer::connect(&server).await;
    let (_stream, mut answer) = begin(&again, &OpenMailbox { version: 1, key: KEY }).await;
    assert_eq!(opened(&mut answer).await.mailbox, mailbox.mailbox);
    assert_eq!(peer::refusal(within("it ends", older.expect::<Signal>()).await), ErrorCode::Superseded);
    assert_eq!(first.closed().await, ErrorCode::Superseded);

    let claim = ClaimMailbox { version: 1, nameplate: mailbox.nameplate, key: MailboxKey([8; 16]) };
    let mut receivers = Vec::new();
    for _ in 0..2 {
        let receiver = RawPeer::connect(&server).await;
        let (stream, mut answer) = begin(&receiver, &claim).await;
        assert_eq!(opened(&mut answer).await.mailbox, mailbox.mailbox);
        receivers.push((receiver, stream, answer));
    }
    // Neither the id without the key nor the key of another mailbox lets in.
    let other = P2pId(uuid::Uuid::now_v7());
    for (mailbox, key) in [(mailbox.mailbox, MailboxKey([9; 16])), (other, KEY)] {
        let stranger = RawPeer::connect(&server).await;
        let (_stream, mut answer) = begin(&stranger, &ResumeMailbox { version: 1, mailbox, key }).await;
        assert_eq!(peer::refusal(within("it is refused", answer.expect::<MailboxOpen>()).await), ErrorCode::NotFound);
        assert_eq!(stranger.closed().await, ErrorCode::NotFound);
    }
}

#[tokio::test]
async fn wrong_keys_are_counted_like_wrong_numbers_and_right_ones_are_not() {
    let server = TestServer::with([("CODE_CLAIMS_PER_ADDRESS_PER_MINUTE", "4")]).await;
    let sender = RawPeer::connect(&server).await;
    let (_stream, mut answer) = begin(&sender, &OpenMailbox { version: 1, key: KEY }).await;
    let mailbox = opened(&mut answer).await;
    let other = P2pId(uuid::Uuid::now_v7());
    let resume = |mailbox, key| ResumeMailbox { version: 1, mailbox, key };
    let wrong = [resume(mailbox.mailbox, MailboxKey([9; 16])), resume(other, KEY)];
    for (attempt, resume) in wrong.iter().cycle().take(5).enumerate() {
        let stranger = RawPeer::connect(&server).await;
        let (_stream, mut answer) = begin(&stranger, resume).await;
        let refused = peer::refusal(within("it is refused", answer.expect::<MailboxOpen>()).await);
        let expected = if attempt < 4 { ErrorCode::NotFound } else { ErrorCode::RateLimited };
        assert_eq!(refused, expected, "attempt {attempt}");
    }
    assert_eq!(code(claim(server.config(), mailbox.nameplate).await), ErrorCode::RateLimited);
    let again = RawPeer::connect(&server).await;
    let (_stream, mut answer) = begin(&again, &resume(mailbox.mailbox, KEY)).await;
    assert_eq!(opened(&mut answer).await.nameplate, mailbox.nameplate);
}

#[tokio::test]
async fn who_was_replaced_cannot_end_the_mailbox() {
    let server = TestServer::start().await;
    let (older, newer) = (RawPeer::connect(&server).await, RawPeer::connect(&server).await);
    let (mut stream, mut answer) = begin(&older, &OpenMailbox { version: 1, key: KEY }).await;
    let MailboxOpen { mailbox, .. } = opened(&mut answer).await;
    let (_stream, mut hears) = begin(&newer, &ResumeMailbox { version: 1, mailbox, key: KEY }).await;
    let nameplate = opened(&mut hears).await.nameplate;
    stream.finish();
    assert_eq!(peer::refusal(within("it ends", answer.expect::<Signal>()).await), ErrorCode::Superseded);
    let receiver = claim(server.config(), nameplate).await.unwrap();
    receiver.set(b"there".to_vec()).unwrap();
    let heard = within("the receiver is heard", hears.expect::<Signal>()).await.unwrap();
    assert_eq!(heard.value.as_bytes(), b"there");
}

#[tokio::test]
async fn a_guest_may_do_nothing_else() {
    let server = TestServer::start().await;
    let guest = RawPeer::connect(&server).await;
    let (mut stream, mut answer) = begin(&guest, &OpenMailbox { version: 1, key: KEY }).await;
    let mailbox = opened(&mut answer).await;
    let mut other = guest.say(&encode(&GetMe {}).unwrap()).await;
    assert_eq!(
        peer::refusal(within("it is refused", other.expect::<Done>()).await),
        ErrorCode::UnexpectedFrame,
        "on a stream that may be a tunnel"
    );
    // Frames that have no place there, and values that are none.
    send(&mut stream, &GetMe {}).await.unwrap();
    let refused = peer::refusal(within("it is refused", answer.expect::<Signal>()).await);
    assert_eq!((refused, guest.closed().await), (ErrorCode::UnexpectedFrame, ErrorCode::UnexpectedFrame));

    let session = OpenSignals { session: mailbox.mailbox };
    let stranger = RawPeer::connect(&server).await;
    let (_stream, mut answer) = begin(&stranger, &session).await;
    assert_eq!(
        peer::refusal(within("it is refused", answer.expect::<MailboxOpen>()).await),
        ErrorCode::UnexpectedFrame
    );
    let stranger = RawPeer::connect(&server).await;
    let (_stream, mut answer) = begin(&stranger, &OpenMailbox { version: 0, key: KEY }).await;
    assert_eq!(
        peer::refusal(within("it is refused", answer.expect::<MailboxOpen>()).await),
        ErrorCode::UnsupportedVersion
    );
    assert_eq!(stranger.closed().await, ErrorCode::UnsupportedVersion);
    // A nameplate that is none.
    let claim = ClaimMailbox { version: 1, nameplate: Nameplate::new(7).unwrap(), key: KEY };
    let mut bytes = encode(&claim).unwrap();
    let name = b"nameplate";
    let place = bytes.windows(name.len()).position(|part| part == name).unwrap() + name.len();
    bytes[place] = 0;
    let stranger = RawPeer::connect(&server).await;
    let mut answer = stranger.say(&bytes).await;
    let refused = peer::refusal(within("it is refused", answer.expect::<MailboxOpen>()).await);
    assert_eq!((refused, stranger.closed().await), (ErrorCode::BadFrame, ErrorCode::BadFrame));
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test]
async fn who_resets_the_stream_may_come_back_and_who_finishes_it_may_not() {
    let server = TestServer::start().await;
    let guest = RawPeer::connect(&server).await;
    let (mut stream, mut answer) = begin(&guest, &OpenMailbox { version: 1, key: KEY }).await;
    let MailboxOpen { mailbox, nameplate, .. } = opened(&mut answer).await;
    stream.abandon();
    drop(guest);
    let guest = RawPeer::connect(&server).await;
    let resume = ResumeMailbox { version: 1, mailbox, key: KEY };
    let (mut stream, mut answer) = begin(&guest, &resume).await;
    assert_eq!(opened(&mut answer).await.nameplate, nameplate);
    let value = SignalValue::new(b"last words".to_vec()).unwrap();
    send(&mut stream, &Signal { value }).await.unwrap();
    stream.finish();
    assert!(within("the server finishes too", answer.next::<Signal>()).await.unwrap().is_none());
    assert_eq!(guest.closed().await, ErrorCode::Closed);
    let guest = RawPeer::connect(&server).await;
    let (_stream, mut answer) = begin(&guest, &resume).await;
    opened(&mut answer).await;
    assert_eq!(peer::refusal(within("it ends", answer.expect::<Signal>()).await), ErrorCode::Conflict);
    assert_eq!(guest.closed().await, ErrorCode::Conflict);
}
