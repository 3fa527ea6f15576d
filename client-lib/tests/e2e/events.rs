//! The feed: everything once, by cursor.

use crate::support::text;
use hypersend_client::{
    Client, Events,
    protocol::{
        event::{Event, EventUpdate, Happening},
        id::{Cursor, Seq},
    },
};
use hypersend_lab::{TestServer, users, within};

/// A feed that has said where it begins.
async fn feed(client: &Client) -> Events {
    let mut events = client.events(None);
    assert!(matches!(within("the feed begins", events.next()).await.unwrap(), EventUpdate::EventsReset(_)));
    events
}

async fn next(events: &mut Events) -> Event {
    match within("an event comes", events.next()).await.unwrap() {
        EventUpdate::Event(event) => event,
        EventUpdate::EventsReset(reset) => panic!("events up to {} are gone", reset.cursor),
    }
}

#[tokio::test]
async fn everything_that_happens_to_a_user_is_in_their_feed() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let mut events = feed(&bob.client).await;
    let chat = ann.client.create_group("Us".parse().unwrap(), vec![bob.email()]).await.unwrap().id;
    ann.client.post(chat, text("hello"), vec![]).await.unwrap();
    bob.client.mark_read(chat, Seq(1)).await.unwrap();
    ann.client.delete_message(chat, Seq(1)).await.unwrap();
    ann.client.remove_member(chat, bob.id()).await.unwrap();
    ann.client.post(chat, text("bob does not hear this"), vec![]).await.unwrap();
    let direct = ann.client.open_direct(bob.email()).await.unwrap().id;
    ann.client.post(direct, text("but this"), vec![]).await.unwrap();

    let mut seen = Vec::new();
    while !matches!(seen.last(), Some(Happening::Posted { message }) if message.chat == direct) {
        let event = next(&mut events).await;
        assert_eq!(events.cursor(), Some(event.cursor));
        seen.push(event.what);
    }
    let in_group = |what: &&Happening| match what {
        Happening::Posted { message } => message.chat == chat,
        Happening::Changed { chat: of, .. }
        | Happening::Joined { chat: of, .. }
        | Happening::Left { chat: of, .. }
        | Happening::Read { chat: of, .. }
        | Happening::P2p { chat: of, .. } => *of == chat,
    };
    let seen: Vec<_> = seen.iter().filter(in_group).collect();
    // He may hear of more than one joining.
    let seen: Vec<_> = seen.iter().skip_while(|what| matches!(what, Happening::Joined { .. })).collect();
    let bob = bob.id();
    assert!(
        matches!(
            seen[..],
            [
                Happening::Posted { .. },
                Happening::Read { seq: Seq(1), .. },
                Happening::Changed { seq: Seq(1), .. },
                Happening::Left { user, .. }
            ] if *user == bob
        ),
        "{seen:#?}"
    );
}

#[tokio::test]
async fn no_event_is_missed_or_doubled_across_restarts() {
    let mut server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let chat = ann.client.open_direct(bob.email()).await.unwrap().id;
    let mut events = feed(&bob.client).await;
    let start = events.cursor().unwrap();
    let mut cursor = start;
    let mut posted = 0;
    for round in 0..4 {
        for _ in 0..25 {
            posted += 1;
            within("posted", ann.client.post(chat, text(format!("{posted}")), vec![])).await.unwrap();
        }
        // Read half, so that the rest waits while the server is away.
        for _ in 0..if round == 3 { 55 } else { 15 } {
            let event = next(&mut events).await;
            assert_eq!(event.cursor, cursor.next());
            cursor = event.cursor;
        }
        server.restart().await;
    }
    assert_eq!(cursor, Cursor(start.0 + 100));

    // A program that begins again goes on from where it was.
    let phone = bob.device(server.config()).await;
    let mut rest = phone.events(Some(Cursor(start.0 + 90)));
    for n in 91..=100 {
        let event = next(&mut rest).await;
        assert_eq!(event.cursor, Cursor(start.0 + n));
        assert!(matches!(event.what, Happening::Posted { message } if message.text == text(format!("{n}"))));
    }
}
