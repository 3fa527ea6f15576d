//! What servers on one database hear of each other, and settle among themselves.

use super::{
    MongodbStore,
    tests::{deaf, direct, open, post},
};
use crate::store::{
    Store,
    conformance::user,
    events::{Fanout, Happening},
    mailboxes::{KeyHash, NewMailbox},
    news::{Attempt, Duty, News, NewsStream},
    sessions::{Session, TokenHash},
};
use futures::StreamExt;
use hypersend_lab::{
    mongod::{self, Mongod},
    within,
};
use hypersend_protocol::{
    id::{Cursor, P2pId, Seq, SessionId, UserId},
    time::UnixMillis,
};
use std::{num::NonZeroU32, time::Duration};
use uuid::Uuid;

async fn next(news: &mut NewsStream) -> News {
    within("there is news", news.next()).await.expect("news never end")
}

async fn next_act(news: &mut NewsStream) -> Fanout {
    match next(news).await {
        News::Committed(fanout) => fanout,
        other => panic!("{other:?}"),
    }
}

/// The number of the message that is posted next, and its places in feeds.
async fn next_post(news: &mut NewsStream) -> (u64, Vec<(UserId, Cursor)>) {
    let fanout = next_act(news).await;
    match fanout.what {
        Happening::Posted(message) => (message.seq.0, fanout.to),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_hears_what_others_do_and_not_what_it_does_itself() {
    let database = mongod::database().await;
    let (here, there) = (open(&database.uri(), deaf()).await.unwrap(), open(&database.uri(), deaf()).await.unwrap());
    let mut news = there.news().await.unwrap().unwrap();
    let (ann, bob) = (user(&here, "ann").await, user(&there, "bob").await);
    let chat = direct(&there, ann, bob).await;
    there.typing(chat, bob).await.unwrap();
    here.append_message(post(chat, ann)).await.unwrap();
    // The chat's first two places are of its making.
    assert_eq!(next_post(&mut news).await, (1, vec![(ann, Cursor(2)), (bob, Cursor(2))]));
    here.typing(chat, ann).await.unwrap();
    assert!(matches!(next(&mut news).await, News::Typing(of, by) if (of, by) == (chat, ann)));
    here.delete_message(chat, Seq(1), ann, UnixMillis(3)).await.unwrap();
    let changed = next_act(&mut news).await;
    assert!(matches!(changed.what, Happening::Changed(message) if message.deleted.is_some() && message.seq.0 == 1));

    let mailbox = open_mailbox(&here).await;
    here.hold_mailbox(mailbox, MAILBOX_KEY, UnixMillis(3)).await.unwrap().unwrap();
    here.leave_mailbox(mailbox, UnixMillis(4)).await.unwrap().unwrap();
    assert!(matches!(next(&mut news).await, News::MailboxLeft(left) if left == mailbox));

    let session = session(ann);
    here.create_session(session.clone()).await.unwrap();
    here.end_session(session.id, ann, UnixMillis(4)).await.unwrap();
    assert!(matches!(next(&mut news).await, News::SessionEnded(ended) if ended == session.id));
}

const MAILBOX_KEY: KeyHash = KeyHash([1; 32]);

async fn open_mailbox(store: &MongodbStore) -> P2pId {
    let (id, from) = (P2pId(Uuid::now_v7()), UserId(Uuid::now_v7()));
    let (key, now) = (MAILBOX_KEY, UnixMillis(3));
    let new = NewMailbox { id, key, from, draw: 7, max_open: 1, max_open_from_there: 1, now };
    store.open_mailbox(new).await.unwrap();
    id
}

fn session(user: UserId) -> Session {
    Session {
        id: SessionId(Uuid::now_v7()),
        user,
        agent: "test".to_owned(),
        created: UnixMillis(1),
        current: TokenHash([1; 32]),
        previous: None,
        rotated: UnixMillis(1),
        expires: UnixMillis(1_000_000),
        ended: None,
    }
}

/// kill -9 of the database between: what was done before it was noticed, and after, is heard once and in order.
#[tokio::test]
async fn news_go_on_where_they_broke() {
    let mut mongod = Mongod::start().await;
    let (here, there) = (open(&mongod.uri(), deaf()).await.unwrap(), open(&mongod.uri(), deaf()).await.unwrap());
    let (ann, bob) = (user(&here, "ann").await, user(&here, "bob").await);
    let chat = direct(&here, ann, bob).await;
    let mut news = there.news().await.unwrap().unwrap();
    here.append_message(post(chat, ann)).await.unwrap();
    assert_eq!(next_post(&mut news).await.0, 1);
    here.append_message(post(chat, ann)).await.unwrap();
    mongod.kill();
    mongod.restart().await;
    // Follows while the other posts: the stream is only driven when it is waited for.
    let posting = async {
        let mut posted = 0;
        while posted < 3 {
            posted += usize::from(here.append_message(post(chat, ann)).await.is_ok());
        }
    };
    let hearing = async {
        for seq in 2..=5 {
            assert_eq!(next_post(&mut news).await.0, seq);
        }
    };
    tokio::join!(posting, hearing);
}

#[tokio::test]
async fn attempts_are_counted_by_all_together() {
    let database = mongod::database().await;
    let (here, there) = (open(&database.uri(), deaf()).await.unwrap(), open(&database.uri(), deaf()).await.unwrap());
    let three = NonZeroU32::new(3).unwrap();
    let count = async |store: &MongodbStore, from: u8| {
        store.count_attempt(Attempt::LoginFrom([127, 0, 0, from].into()), three).await.unwrap()
    };
    assert_eq!((count(&here, 1).await, count(&there, 1).await, count(&here, 1).await), (None, None, None));
    let wait = count(&there, 1).await.expect("a fourth is one too many");
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(20), "{wait:?}");
    assert!(count(&here, 1).await.is_some(), "being refused does not help");
    assert_eq!(count(&here, 2).await, None, "another address is counted apart");
}

#[tokio::test]
async fn a_duty_is_one_servers_at_a_time() {
    let database = mongod::database().await;
    let (here, there) = (open(&database.uri(), deaf()).await.unwrap(), open(&database.uri(), deaf()).await.unwrap());
    let long = Duration::from_hours(1);
    assert!(here.lead(Duty::Tidying, long).await.unwrap());
    assert!(!there.lead(Duty::Tidying, long).await.unwrap());
    assert!(here.lead(Duty::Tidying, Duration::ZERO).await.unwrap(), "it may go on, and say until when");
    assert!(there.lead(Duty::Tidying, long).await.unwrap(), "what is over is free");
    assert!(!here.lead(Duty::Tidying, long).await.unwrap());
}
