//! Chats that outlive their connections: while both sides go on posting, nothing is lost and nothing comes twice.

use crate::support::{disconnected, next_message, text};
use hypersend_client::{
    ChatHandle, Client,
    protocol::{
        chat::Message,
        id::{ChatId, Revision, Seq, UserId},
    },
};
use hypersend_lab::{Dice, Proxy, TestServer, TestUser, user::email, within};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::task::JoinHandle;

/// Each posts so many.
const POSTS: u64 = 150;

/// Two users who talk without a pause, each by a path of their own.
struct Conversation {
    server: TestServer,
    paths: [Proxy; 2],
    users: [TestUser; 2],
    posted: Arc<AtomicU64>,
    posting: Vec<JoinHandle<()>>,
    reading: Vec<JoinHandle<Vec<Message>>>,
}

impl Conversation {
    async fn begin() -> Self {
        let server = TestServer::start().await;
        let paths = [Proxy::start(server.socket_address()), Proxy::start(server.socket_address())];
        let ann = TestUser::register(server.config_via(paths[0].address()), "ann").await;
        let bob = TestUser::register(server.config_via(paths[1].address()), "bob").await;
        let chat = ann.client.open_direct(email("bob")).await.unwrap().id;
        let posted = Arc::new(AtomicU64::new(0));
        let users = [ann, bob];
        let posting = users.iter().map(|user| tokio::spawn(post_all(user.client.clone(), chat, posted.clone())));
        let posting = posting.collect();
        let reading = users.iter().map(|user| {
            let handle = user.client.open_chat(chat, Seq(0), Revision(0));
            tokio::spawn(read_all(handle))
        });
        let reading = reading.collect();
        Self { server, paths, users, posted, posting, reading }
    }

    /// Waits until so many messages of all were posted.
    async fn reaches(&self, count: u64) {
        let look = async || (self.posted.load(Ordering::SeqCst) >= count).then_some(());
        hypersend_lab::eventually("the conversation goes on", look).await;
    }

    /// What each has seen at the end is the same, whole, and in the order in which each posted.
    async fn end(self) {
        for posting in self.posting {
            within("all is posted", posting).await.unwrap();
        }
        let mut seen = Vec::new();
        for reading in self.reading {
            seen.push(within("all is read", reading).await.unwrap());
        }
        assert_eq!(seen[0], seen[1]);
        assert!(seen[0].iter().map(|message| message.seq.0).eq(1..=2 * POSTS));
        for user in &self.users {
            assert_eq!(said_by(user.id(), &seen[0]), (0..POSTS).map(|n| n.to_string()).collect::<Vec<_>>());
        }
    }
}

fn said_by(user: UserId, messages: &[Message]) -> Vec<String> {
    let said = messages.iter().filter(|message| message.sender == user);
    said.map(|message| message.text.as_ref().unwrap().to_string()).collect()
}

/// Posts by a handle of its own, four at a time.
async fn post_all(client: Client, chat: ChatId, posted: Arc<AtomicU64>) {
    let mut handle = client.open_chat(chat, Seq(0), Revision(0));
    let poster = handle.poster();
    let drain = async { while handle.next().await.is_ok() {} };
    let post = async {
        for first in (0..POSTS).step_by(4) {
            let some = (first..POSTS.min(first + 4)).map(|n| poster.post(text(n.to_string()), vec![]));
            for answer in futures::future::join_all(some).await {
                answer.unwrap();
                posted.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    tokio::select! {
        () = post => {}
        () = drain => panic!("the chat ended"),
    }
}

async fn read_all(mut handle: ChatHandle) -> Vec<Message> {
    let mut messages = Vec::new();
    while messages.len() < usize::try_from(2 * POSTS).unwrap() {
        messages.push(next_message(&mut handle).await);
    }
    messages
}

#[tokio::test]
async fn a_server_killed_three_times_loses_and_doubles_nothing() {
    let mut talk = Conversation::begin().await;
    for third in 1..=3 {
        talk.reaches(third * POSTS / 2).await;
        talk.server.restart().await;
    }
    talk.end().await;
}

#[tokio::test]
async fn a_server_stopped_in_good_order_loses_and_doubles_nothing() {
    let mut talk = Conversation::begin().await;
    talk.reaches(POSTS / 2).await;
    talk.server.stop().await;
    talk.server.start_again().await;
    talk.end().await;
}

#[tokio::test]
async fn a_path_cut_until_it_is_noticed_loses_and_doubles_nothing() {
    let talk = Conversation::begin().await;
    talk.reaches(POSTS / 2).await;
    talk.paths[1].cut();
    disconnected(&talk.users[1].client).await;
    talk.paths[1].restore();
    talk.end().await;
}

#[tokio::test]
async fn a_bad_path_behind_a_forgetful_nat_loses_and_doubles_nothing() {
    let talk = Conversation::begin().await;
    talk.paths[0].lose(50);
    let mut dice = Dice::new();
    let mut count = 0;
    while count < POSTS {
        count += 1 + dice.below(POSTS / 3);
        talk.reaches(count).await;
        talk.paths[usize::from(dice.below(2) == 1)].rebind();
    }
    talk.end().await;
}
