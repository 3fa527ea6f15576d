//! Peers that mean harm or know no better: each is told, sent away or ignored, and nobody else notices.

use futures::FutureExt;
use hypersend_client::protocol::{
    account::{GetMe, Profile},
    frame::{Frame, encode},
    limit::HELLO_TIMEOUT,
    refusal::{ErrorCode, Refusal},
    session::{Auth, Hello, Welcome},
};
use hypersend_lab::{Dice, RawPeer, TestServer, TestUser, peer::refusal, user::password, users, within};
use hypersend_net::frames::{FrameReader, send};
use std::time::{Duration, Instant};

/// What an undisturbed request takes on a busy test machine, generously; a queue behind a hostile peer takes longer.
const NORMAL: Duration = Duration::from_secs(2);

fn auth(user: &TestUser) -> Auth {
    Auth::Login { email: user.email(), password: password() }
}

/// The server answers somebody else, old and new, as if nothing had happened.
async fn all_is_well(server: &TestServer, user: &TestUser) {
    let begun = Instant::now();
    assert_eq!(within("an old client is answered", user.client.me()).await.unwrap(), user.profile);
    user.client.find_user(user.email()).await.unwrap();
    RawPeer::login(server, auth(user)).await.ask(&GetMe {}).await.unwrap();
    assert!(begun.elapsed() < NORMAL, "{:?}", begun.elapsed());
}

/// What a stranger's first words lead to.
async fn sent_away_after(server: &TestServer, words: &[u8]) -> ErrorCode {
    let peer = RawPeer::connect(server).await;
    let mut answer = peer.say(words).await;
    let told = refusal(answer.expect::<Welcome>().await);
    assert_eq!(peer.closed().await, told, "the connection is closed with the refusal's code");
    told
}

async fn answer(reader: &mut FrameReader) -> ErrorCode {
    refusal(within("the server answers", reader.expect::<Profile>()).await)
}

/// A header, in the longest form of its two numbers.
fn header(kind: u64, length: u64) -> Vec<u8> {
    [kind, length].iter().flat_map(|number| (number | 3 << 62).to_be_bytes()).collect()
}

#[tokio::test]
async fn who_says_nothing_is_sent_away() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let begun = Instant::now();
    let (silent, half) = (RawPeer::connect(&server).await, RawPeer::connect(&server).await);
    let (mut stream, _answer) = half.stream().await;
    stream.write(header(Hello::KIND.0, 100).into()).await.unwrap();
    assert_eq!((silent.closed().await, half.closed().await), (ErrorCode::TimedOut, ErrorCode::TimedOut));
    assert!(begun.elapsed() >= HELLO_TIMEOUT);
    all_is_well(&server, &ann).await;
}

#[tokio::test]
async fn a_stranger_who_does_not_say_hello_is_sent_away() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    assert_eq!(sent_away_after(&server, &encode(&GetMe {}).unwrap()).await, ErrorCode::UnexpectedFrame);
    assert_eq!(sent_away_after(&server, &header(Hello::KIND.0, 1 << 40)).await, ErrorCode::FrameTooLong);
    assert_eq!(sent_away_after(&server, &header(Hello::KIND.0 | 1, 1 << 40)).await, ErrorCode::FrameTooLong);
    assert_eq!(sent_away_after(&server, &header(0x3fff_fffe, 0)).await, ErrorCode::UnexpectedFrame);
    let garbage = [header(Hello::KIND.0, 64), vec![0xff; 64]].concat();
    assert_eq!(sent_away_after(&server, &garbage).await, ErrorCode::BadFrame);
    all_is_well(&server, &ann).await;
}

#[tokio::test]
async fn an_unknown_version_and_an_unknown_token_are_refused() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let hello = |version, auth| Hello { version, features: vec!["x".to_owned()], agent: "ü".repeat(200), auth };
    let none = encode(&hello(0, auth(&ann))).unwrap();
    assert_eq!(sent_away_after(&server, &none).await, ErrorCode::UnsupportedVersion);
    let forged = Auth::Access { token: "eyJhbGciOiJub25lIn0.e30.".parse().unwrap() };
    assert_eq!(sent_away_after(&server, &encode(&hello(1, forged)).unwrap()).await, ErrorCode::BadToken);
    let forged = Auth::Refresh { token: "nonsense".parse().unwrap() };
    assert_eq!(sent_away_after(&server, &encode(&hello(1, forged)).unwrap()).await, ErrorCode::SessionEnded);
    // One from the future is spoken to in version 1.
    let mut future = RawPeer::connect(&server).await.say(&encode(&hello(99, auth(&ann))).unwrap()).await;
    assert_eq!(future.expect::<Welcome>().await.unwrap().version, 1);
}

#[tokio::test]
async fn nothing_is_answered_before_the_hello() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let peer = RawPeer::connect(&server).await;
    let (mut session, welcome) = peer.stream().await;
    let mut early = peer.say(&encode(&GetMe {}).unwrap()).await;
    let hello = Hello { version: 1, features: vec![], agent: String::new(), auth: auth(&ann) };
    send(&mut session, &hello).await.unwrap();
    let mut welcome = welcome;
    tokio::select! {
        biased;
        welcomed = within("welcomed", welcome.expect::<Welcome>()) => assert_eq!(welcomed.unwrap().me, ann.profile),
        answered = early.expect::<Profile>() => panic!("answered to a stranger: {answered:?}"),
    }
    assert_eq!(within("answered then", early.expect::<Profile>()).await.unwrap(), ann.profile);
}

#[tokio::test]
async fn a_stream_that_makes_no_sense_ends_alone() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let peer = RawPeer::login(&server, auth(&ann)).await;
    let cases = [
        (header(0x3fff_fffe, 0), ErrorCode::UnexpectedFrame),
        (header(Hello::KIND.0, 5), ErrorCode::UnexpectedFrame),
        (header(GetMe::KIND.0, 1 << 30), ErrorCode::FrameTooLong),
        (header(0x3fff_ffff, 1 << 30), ErrorCode::FrameTooLong),
        ([header(GetMe::KIND.0, 1), vec![0xff]].concat(), ErrorCode::BadFrame),
        ([header(GetMe::KIND.0, 2), vec![0xa0, 0xa0]].concat(), ErrorCode::BadFrame),
    ];
    for (words, expected) in cases {
        assert_eq!(answer(&mut peer.say(&words).await).await, expected, "{words:02x?}");
    }
    let skipped = [header(0x3fff_ffff, 3), vec![1, 2, 3], encode(&GetMe {}).unwrap()].concat();
    let answered = peer.say(&skipped).await.expect::<Profile>().await.unwrap();
    assert_eq!(answered, ann.profile, "an odd kind is overlooked");
    let said_no = encode(&Refusal::new(ErrorCode::Internal, "no")).unwrap();
    assert!(within("ended", peer.say(&said_no).await.expect::<Profile>()).await.is_err());
    peer.ask(&GetMe {}).await.unwrap();
}

#[tokio::test]
async fn noise_harms_nobody() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let mut dice = Dice::new();
    let mut noise = || {
        let length = dice.below(200) + 1;
        (0..length).map(|_| dice.roll().to_le_bytes()[0]).collect::<Vec<_>>()
    };
    for _ in 0..8 {
        let stranger = RawPeer::connect(&server).await;
        let _ = stranger.say(&noise()).await;
    }
    let member = RawPeer::login(&server, auth(&ann)).await;
    for _ in 0..200 {
        let mut said = member.say(&noise()).await;
        // Any refusal, or silence to a frame that was cut short; never an answer.
        let answered = within("the stream ends", said.expect::<Profile>()).await;
        assert!(answered.is_err(), "{answered:?}");
    }
    member.ask(&GetMe {}).await.unwrap();
    all_is_well(&server, &ann).await;
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test]
async fn as_many_streams_as_there_may_be_hold_up_nobody_else() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let peer = RawPeer::login(&server, auth(&ann)).await;
    let mut open = Vec::new();
    // The session stream is one of 256.
    for _ in 0..255 {
        let (mut stream, answer) = peer.stream().await;
        stream.write((&[0x41_u8][..]).into()).await.unwrap();
        open.push((stream, answer));
    }
    assert!(peer.connection.open_bi().now_or_never().is_none(), "the 257th stream has to wait");
    all_is_well(&server, &bob).await;
    // Each is asked what it wants, and told that it took too long.
    assert_eq!(answer(&mut open[0].1).await, ErrorCode::TimedOut);
    drop(open);
    peer.ask(&GetMe {}).await.unwrap();
}

#[tokio::test]
async fn a_crowd_of_strangers_keeps_nobody_out() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(RawPeer::connect(&server).await);
    }
    all_is_well(&server, &ann).await;
}
