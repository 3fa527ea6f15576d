//! A chat in which people post without pause, over both doors, while others listen. Whatever becomes of the server's
//! database meanwhile: what was acknowledged is there, nothing is there twice, and whoever listens hears all of it once and
//! in order.

use crate::support::{text, tokens_in};
use hypersend_client::{
    ChatEvent, Client, ClientError,
    protocol::{
        chat::{Message, Post, PostMessage},
        event::{EventUpdate, Happening},
        id::{ChatId, ClientId, Cursor, Revision, Seq},
        limit::MAX_PAGE,
        refusal::ErrorCode,
        session::Auth,
    },
};
use hypersend_lab::{HttpPeer, RawPeer, TestServer, TestUser, eventually, peer::refusal, users, within};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinSet,
    time::sleep,
};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// Messages that the one who posts on a chat stream has under way at once.
const UNDER_WAY: usize = 8;

/// What each has to get through, for posting to go on.
const SOME: u64 = 20;

/// What one of those who post has been answered.
type Answers = Vec<(ClientId, Option<Seq>)>;

pub(crate) struct Load {
    pub(crate) ann: TestUser,
    chat: ChatId,
    progress: Arc<Progress>,
    posting: JoinSet<Answers>,
    listeners: Vec<Listener>,
    /// See what the server answers over each door, without trying again.
    native: RawPeer,
    http: HttpPeer,
    /// What they were refused.
    given_up: Answers,
}

#[derive(Default)]
struct Progress {
    done: AtomicBool,
    /// Messages acknowledged, to each of those who post.
    posted: [AtomicU64; POSTERS],
    /// Answers that said to try again.
    refused: AtomicU64,
}

const POSTERS: usize = 5;

/// Somebody who hears messages, and what they have heard.
struct Listener {
    heard: UnboundedReceiver<Message>,
    _listening: AbortOnDropHandle<()>,
}

impl Progress {
    fn goes_on(&self) -> bool {
        !self.done.load(Relaxed)
    }

    fn acknowledged(&self, me: usize, id: ClientId, seq: Seq) -> (ClientId, Option<Seq>) {
        self.posted[me].fetch_add(1, Relaxed);
        (id, Some(seq))
    }

    fn posted(&self) -> [u64; POSTERS] {
        self.posted.each_ref().map(|posted| posted.load(Relaxed))
    }
}

impl Load {
    /// Begins on a server with nobody on it yet.
    pub(crate) async fn begin(server: &TestServer) -> Self {
        let [ann, bob] = users(server).await;
        let chat = ann.client.open_direct(bob.email()).await.unwrap().id;
        let begins = bob.client.events(None).next().await.unwrap();
        let EventUpdate::EventsReset(head) = begins else { panic!("{begins:?}") };
        let listeners =
            vec![feed(bob.client.clone(), chat, head.cursor), open_chat(bob.device(server.config()).await, chat)];
        let progress = Arc::new(Progress::default());
        let mut posting = JoinSet::new();
        posting.spawn(by_request(ann.client.clone(), chat, progress.clone(), 0));
        posting.spawn(by_request(bob.device(server.config()).await, chat, progress.clone(), 1));
        posting.spawn(on_a_stream(ann.device(server.config()).await, chat, progress.clone(), 2));
        let http = async |user: &TestUser| HttpPeer::connect(server, tokens_in(&user.tokens).access).await;
        posting.spawn(by_http(http(&ann).await, chat, progress.clone(), 3, true));
        posting.spawn(by_http(http(&bob).await, chat, progress.clone(), 4, false));
        let native = RawPeer::login(server, Auth::Access { token: tokens_in(&ann.tokens).access }).await;
        let http = http(&ann).await;
        Self { ann, chat, progress, posting, listeners, native, http, given_up: Vec::new() }
    }

    /// Waits until everybody has posted some more.
    pub(crate) async fn goes_on(&self) {
        self.goes_on_by(SOME).await;
    }

    /// Waits until everybody has posted so many more.
    pub(crate) async fn goes_on_by(&self, some: u64) {
        let before = self.progress.posted();
        let look = async || {
            let mut pairs = self.progress.posted().into_iter().zip(before);
            pairs.all(|(now, before)| now >= before + some).then_some(())
        };
        eventually("everybody gets messages through", look).await;
    }

    /// Makes sure that who posts now is told to try again, over both doors.
    pub(crate) async fn is_told_to_try_again(&mut self) {
        let client_id = fresh_id();
        let post = Post { client_id, text: text("over both"), files: vec![], reply_to: None };
        let request = PostMessage { chat: self.chat, post };
        let native = self.native.ask(&request);
        let (native, http) = tokio::join!(native, self.http.post(self.chat, client_id, "over both"));
        assert_eq!(refusal(native), ErrorCode::Unavailable);
        assert!(http.try_again_after().is_some(), "{http:?}");
        self.given_up.push((client_id, None));
    }

    /// How often somebody was told to try again.
    pub(crate) fn refused(&self) -> u64 {
        self.progress.refused.load(Relaxed)
    }

    /// Ends it, and makes sure of what the module promises.
    pub(crate) async fn end(self) {
        let Self { ann, chat, progress, posting, listeners, given_up, .. } = self;
        progress.done.store(true, Relaxed);
        let answers = within("everybody is answered", posting.join_all()).await;
        let answers: Answers = answers.into_iter().flatten().chain(given_up).collect();
        let history = history(&ann.client, chat).await;
        assert!(history.iter().map(|message| message.seq.0).eq(1..=history.len() as u64), "the numbers have gaps");
        let by_id: BTreeMap<Uuid, Seq> = history.iter().map(|message| (message.client_id.0, message.seq)).collect();
        assert_eq!(by_id.len(), history.len(), "a message is there twice");
        for (id, seq) in &answers {
            if let Some(seq) = seq {
                assert_eq!(by_id.get(&id.0), Some(seq), "a message that was acknowledged is lost or another");
            }
        }
        let ids: BTreeMap<Uuid, _> = answers.iter().map(|(id, seq)| (id.0, seq)).collect();
        assert!(by_id.keys().all(|id| ids.contains_key(id)), "a message that nobody posted");
        for mut listener in listeners {
            for message in &history {
                let heard = within("everything is heard", listener.heard.recv()).await.unwrap();
                assert_eq!((heard.seq, heard.client_id), (message.seq, message.client_id));
            }
            assert!(listener.heard.try_recv().is_err(), "more was heard than was posted");
        }
    }
}

/// All of a chat, oldest first.
async fn history(client: &Client, chat: ChatId) -> Vec<Message> {
    let mut pages = VecDeque::new();
    let mut before = None;
    loop {
        let page = client.history(chat, before, MAX_PAGE).await.unwrap();
        before = page.messages.first().map(|message| message.seq);
        pages.push_front(page.messages);
        if !page.more {
            return pages.into_iter().flatten().collect();
        }
    }
}

/// Hears of messages in a user's feed.
fn feed(client: Client, chat: ChatId, after: Cursor) -> Listener {
    let (tell, heard) = unbounded_channel();
    let listening = async move {
        let mut events = client.events(Some(after));
        loop {
            match events.next().await.unwrap() {
                EventUpdate::Event(event) => {
                    if let Happening::Posted { message } = event.what
                        && message.chat == chat
                    {
                        let _ = tell.send(message);
                    }
                }
                EventUpdate::EventsReset(reset) => panic!("events up to {} are gone", reset.cursor),
            }
        }
    };
    Listener { heard, _listening: AbortOnDropHandle::new(tokio::spawn(listening)) }
}

/// Hears of messages in an open chat.
fn open_chat(client: Client, chat: ChatId) -> Listener {
    let (tell, heard) = unbounded_channel();
    let listening = async move {
        let mut handle = client.open_chat(chat, Seq(0), Revision(0));
        loop {
            if let ChatEvent::Message(message) = handle.next().await.unwrap() {
                let _ = tell.send(message);
            }
        }
    };
    Listener { heard, _listening: AbortOnDropHandle::new(tokio::spawn(listening)) }
}

/// Posts one message after the other, each until it is acknowledged.
async fn by_request(client: Client, chat: ChatId, progress: Arc<Progress>, me: usize) -> Answers {
    let mut answers = Vec::new();
    while progress.goes_on() {
        let post = Post { client_id: fresh_id(), text: text("by request"), files: vec![], reply_to: None };
        let posted = loop {
            match client.post_as(chat, post.clone()).await {
                Ok(posted) => break posted,
                Err(ClientError::Refused(refusal)) if refusal.code.is_transient() => {
                    progress.refused.fetch_add(1, Relaxed);
                }
                Err(error) => panic!("{error}"),
            }
        };
        answers.push(progress.acknowledged(me, post.client_id, posted.seq));
    }
    answers
}

/// Posts on a chat's stream, several at a time; they have to come in the order in which they were posted.
async fn on_a_stream(client: Client, chat: ChatId, progress: Arc<Progress>, me: usize) -> Answers {
    let mut handle = client.open_chat(chat, Seq(0), Revision(0));
    let poster = handle.poster();
    let posting = async {
        let (mut under_way, mut answers) = (VecDeque::new(), Answers::new());
        while progress.goes_on() || !under_way.is_empty() {
            while progress.goes_on() && under_way.len() < UNDER_WAY {
                under_way.push_back(poster.begin_post(text("on a stream"), vec![]).await.unwrap());
            }
            let Some(posting) = under_way.pop_front() else { break };
            let posted = posting.posted().await.unwrap();
            let answer = progress.acknowledged(me, posted.client_id, posted.seq);
            assert!(answers.last().is_none_or(|last| last.1 < answer.1), "one message has overtaken another");
            answers.push(answer);
        }
        answers
    };
    // Somebody has to take what comes.
    let reading = async {
        loop {
            handle.next().await.unwrap();
        }
    };
    tokio::select! {
        answers = posting => answers,
        () = reading => unreachable!("it goes on"),
    }
}

/// Posts over HTTP, each until it is acknowledged; or, without patience, gives a message up that was refused.
async fn by_http(peer: HttpPeer, chat: ChatId, progress: Arc<Progress>, me: usize, patient: bool) -> Answers {
    let mut answers = Vec::new();
    'next: while progress.goes_on() {
        let client_id = fresh_id();
        let mut answer = peer.post(chat, client_id, "over HTTP").await;
        while let Some(wait) = answer.try_again_after() {
            progress.refused.fetch_add(1, Relaxed);
            sleep(wait).await;
            if !patient {
                answers.push((client_id, None));
                continue 'next;
            }
            answer = peer.post(chat, client_id, "over HTTP").await;
        }
        let seq = answer.body["seq"].as_u64().unwrap_or_else(|| panic!("{answer:?}"));
        answers.push(progress.acknowledged(me, client_id, Seq(seq)));
    }
    answers
}

fn fresh_id() -> ClientId {
    ClientId(Uuid::new_v4())
}
