//! Streams as they are held, renewed and ended.

use super::*;
use crate::{
    hub::Hub,
    services::{
        Caller,
        relays::{Relays, TicketKey},
        signals::OPEN_AGAIN,
    },
    settings::SecretKey,
    store::{
        self, Place,
        conformance::user,
        mailboxes::{Claim, NewMailbox, Opened},
        p2p::{NewP2p, Offered},
    },
};
use hypersend_protocol::{
    account::Profile,
    id::{ChatId, ClientId, SessionId},
    p2p::OfferedFile,
    refusal::{ErrorCode, Refusal},
    time::UnixMillis,
};
use std::sync::Arc;

#[tokio::test]
async fn a_stream_ends_before_its_tickets_do_and_says_that_it_is_to_be_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = store::open(&Place::File(folder.path().join("test.db")), Arc::new(|_| ())).await.unwrap();
    let (ann, bob) = (user(&*store, "ann").await, user(&*store, "bob").await);
    let chat = store.open_direct(ann, bob, ChatId(Uuid::now_v7()), UnixMillis(1)).await.unwrap().id;
    let new = NewP2p {
        id: P2pId(Uuid::now_v7()),
        client_id: ClientId(Uuid::now_v7()),
        chat,
        sender: ann,
        receiver: bob,
        files: vec![OfferedFile { name: "film.mkv".parse().unwrap(), size: 1, folder: false }],
        max_open: 1,
        now: UnixMillis(1),
    };
    let Offered::Made(session) = store.offer_p2p(new).await.unwrap() else { panic!("it is offered") };
    let key = TicketKey::new(&SecretKey::parse(&"k".repeat(64)).unwrap());
    let signals = Signals::new(store.clone(), Hub::default(), Relays::new(store, key, None));
    let profile = Profile { id: ann, email: "ann@example.org".parse().unwrap(), name: "Ann".parse().unwrap() };
    let me = Caller { profile, session: SessionId(Uuid::nil()), session_expires: UnixMillis(u64::MAX) };
    let mut line = signals.open(&me, session.id).await.unwrap();
    assert!(line.ends > Instant::now() && line.ends <= Instant::now() + TICKETS_RENEWED_AFTER);
    line.ends = Instant::now();
    let refusal = Refusal::from(line.next().await.unwrap_err());
    assert_eq!((refusal.code, refusal.retry_after()), (ErrorCode::Unavailable, Some(OPEN_AGAIN)));
    signals.open(&me, session.id).await.unwrap();
}

#[tokio::test]
async fn a_mailbox_is_held_in_time_whatever_is_set_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let store = store::open(&Place::File(folder.path().join("test.db")), Arc::new(|_| ())).await.unwrap();
    let (id, from, key) = (P2pId(Uuid::now_v7()), UserId(Uuid::now_v7()), KeyHash([1; 32]));
    let opened = UnixMillis(clock::now().0 - 1_000);
    let new = NewMailbox { id, key, from, draw: 7, max_open: 1, max_open_from_there: 1, now: opened };
    store.open_mailbox(new).await.unwrap();
    let tickets = TicketKey::new(&SecretKey::parse(&"k".repeat(64)).unwrap());
    let signals = Signals::new(store.clone(), Hub::default(), Relays::new(store.clone(), tickets, None));
    let mut line = signals.open_mailbox((id, Side::Sender), key, from).await.unwrap();
    // As it is when it has looked for the first time.
    line.look = Look::default();
    let due = line.renew;
    assert!(due <= Instant::now() + MAILBOX_UNCLAIMED_ABSENCE / 2);
    line.set(SignalValue::new(b"said".to_vec()).unwrap()).await.unwrap();
    assert_eq!(line.renew, due);
    line.renew = Instant::now();
    let held = async {
        while store.mailbox(id, clock::now()).await.unwrap().unwrap().sender.last_held == opened {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        ended = line.next() => panic!("{ended:?}"),
        held = tokio::time::timeout(Duration::from_secs(30), held) => held.unwrap(),
    }
    assert!(line.renew > Instant::now());
}

#[tokio::test]
async fn a_mailbox_whose_claimant_says_nothing_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = store::open(&Place::File(folder.path().join("test.db")), Arc::new(|_| ())).await.unwrap();
    let (id, from, keys) = (P2pId(Uuid::now_v7()), UserId(Uuid::now_v7()), [KeyHash([1; 32]), KeyHash([2; 32])]);
    let now = clock::now();
    let new = NewMailbox { id, key: keys[0], from, draw: 7, max_open: 1, max_open_from_there: 1, now };
    let Opened::Open(mailbox) = store.open_mailbox(new).await.unwrap() else { panic!("there is room") };
    let claim = Claim { nameplate: mailbox.nameplate, key: keys[1], now };
    store.claim_mailbox(claim).await.unwrap().unwrap();
    let tickets = TicketKey::new(&SecretKey::parse(&"k".repeat(64)).unwrap());
    let signals = Signals::new(store.clone(), Hub::default(), Relays::new(store.clone(), tickets, None));
    let mut sender = signals.open_mailbox((id, Side::Sender), keys[0], from).await.unwrap();
    let mut receiver = signals.open_mailbox((id, Side::Receiver), keys[1], from).await.unwrap();
    assert_eq!(sender.speaks_by, None);
    assert!(receiver.speaks_by.is_some_and(|by| by <= Instant::now() + MAILBOX_SILENCE));
    receiver.speaks_by = Some(Instant::now());
    for line in [&mut receiver, &mut sender] {
        let ended = tokio::time::timeout(Duration::from_secs(30), line.next()).await.unwrap();
        assert!(matches!(ended, Err(SignalError::Over(End::Mailbox))), "{ended:?}");
    }
    // Who has spoken may take their time.
    let mut spoken = signals.open_mailbox((id, Side::Receiver), keys[1], from).await.unwrap();
    assert!(spoken.speaks_by.is_some());
    spoken.set(SignalValue::new(b"said".to_vec()).unwrap()).await.unwrap();
    assert_eq!(spoken.speaks_by, None);
    let again = signals.open_mailbox((id, Side::Receiver), keys[1], from).await.unwrap();
    assert_eq!(again.speaks_by, None);
}
