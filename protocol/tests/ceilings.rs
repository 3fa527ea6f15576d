//! For every frame the largest value that the limits allow: it fits below the frame's ceiling, and the ceiling is not
//! needlessly far above it.

use crate::examples::{self, name_of};
use hypersend_protocol::{
    account::{
        Done, EndSession, FindUser, GetMe, ListSessions, Logout, Profile, Rename, RenewTokens, SessionInfo, SessionPage,
    },
    chat::{
        AddMembers, Chat, ChatKind, ChatOpened, ChatPage, ChatPosition, ChatSummary, CreateGroup, DeleteMessage,
        GetChat, GetHistory, ListChats, MarkRead, Member, MembersChanged, Message, MessageChanged, MessagePage,
        OpenChat, OpenDirect, Post, PostMessage, PostRefused, Posted, PresenceBy, Present, Read, ReadBy, RemoveMember,
        Role, Typing, TypingBy,
    },
    event::{Event, EventsReset, Happening, OpenEvents},
    file::{
        BeginUpload, CancelUpload, DeleteFile, FileCard, FileInfo, FilePage, FinishUpload, GetFile, GetRange,
        GetValues, ListFiles, PutRange, RangeFollows, RangeStored, UploadState, Values,
    },
    frame::{Frame, Header, encode},
    hash::{ChunkValue, EntryKey, ListingId, RootHash, UploadKey},
    id::{ChatId, ChunkIndex, ClientId, Cursor, FileId, P2pId, RelayId, Revision, Seq, SessionId, UserId},
    limit::{
        MAX_CHAT_TITLE_BYTES, MAX_CHUNKS, MAX_DATAGRAM_BYTES, MAX_DISPLAY_NAME_BYTES, MAX_EMAIL_BYTES,
        MAX_ENTRIES_PER_PAGE, MAX_FILE_NAME_BYTES, MAX_FILES_PER_MESSAGE, MAX_LISTED_RELAYS, MAX_MEMBERS,
        MAX_MESSAGE_BYTES, MAX_NAMEPLATE, MAX_OFFERED_FILES, MAX_PAGE, MAX_PASSWORD_BYTES, MAX_REFUSAL_MESSAGE_BYTES,
        MAX_RELAY_HOST_BYTES, MAX_RELAY_NAME_BYTES, MAX_RELAY_PORTS, MAX_RELAYS, MAX_SIGNAL_BYTES, MAX_SMALL_FILES,
        MAX_TOKEN_BYTES, MAX_VALUES_PER_PAGE,
    },
    mailbox::{ClaimMailbox, MailboxKey, MailboxOpen, Nameplate, OpenMailbox, ResumeMailbox},
    name::{ChatTitle, DisplayName, Email, FileName, MessageText, Password, RelayHost, RelayName, Token},
    p2p::{
        ChangeP2p, GetP2p, ListP2p, ListRelays, OfferP2p, OfferedFile, P2pPage, P2pPath, P2pSession, P2pStatus,
        RelayInfo, RelayList,
    },
    peer::{
        Confirm, GetListing, GetPiece, GetSmall, ListingEntry, ListingPage, PieceFollows, ReceiverState, Report,
        SmallFollows,
    },
    refusal::{ErrorCode, Refusal},
    relay::ticket::{Side, Ticket},
    session::{AGENT_BYTES, Auth, GoingAway, Hello, Tokens, Welcome},
    signal::{OpenSignals, RelaySeat, Signal, SignalValue, SignalsOpen},
    time::UnixMillis,
    tunnel::{Datagram, DatagramBytes, OpenTunnel, TunnelOpen},
    update::{GetUpdate, Release, Update},
};
use std::{collections::BTreeSet, time::Duration};
use uuid::Uuid;

/// Below this a frame is small whatever is in it, and its room is for fields to come.
const SMALL: u32 = 256;

#[test]
fn the_largest_value_fits_and_takes_at_least_a_quarter() {
    let mut tested = BTreeSet::new();
    for (name, ceiling, body) in
        connection().into_iter().chain(records()).chain(calls()).chain(streams()).chain(between_clients())
    {
        let body = body.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(ceiling <= SMALL || body * 4 >= ceiling as usize, "{name}: {body} of {ceiling} bytes");
        tested.insert(name);
    }
    for example in examples::all() {
        assert!(tested.contains(example.name()), "{} has no largest value here", example.name());
    }
}

/// Name, ceiling and the length of the body, or why the value cannot be written.
type Largest = (&'static str, u32, Result<usize, String>);

fn largest<F: Frame>(value: &F) -> Largest {
    let body = encode(value).map_err(|e| e.to_string()).map(|bytes| {
        let (_, start) = Header::parse(&bytes).expect("encode writes a header");
        bytes.len() - start
    });
    (name_of::<F>(), F::CEILING, body)
}

fn connection() -> Vec<Largest> {
    // The longest a well-behaved client says: features are as yet none.
    let auth = Auth::Register {
        email: email(),
        name: profile().name,
        password: Password::parse(&"p".repeat(MAX_PASSWORD_BYTES)).unwrap(),
    };
    let hello = |auth| Hello { version: u32::MAX, features: vec![], agent: "a".repeat(AGENT_BYTES), auth };
    let welcome = Welcome {
        version: u32::MAX,
        features: vec![],
        me: profile(),
        session: SESSION,
        tokens: Some(tokens()),
        now: END,
    };
    assert!(largest(&hello(auth)).2.is_ok());
    vec![
        largest(&refusal()),
        largest(&hello(Auth::Refresh { token: token() })),
        largest(&welcome),
        largest(&tokens()),
        largest(&GoingAway { grace_ms: u64::MAX }),
    ]
}

fn records() -> Vec<Largest> {
    let summary = ChatSummary {
        id: CHAT,
        kind: ChatKind::Direct,
        title: title().as_str().to_owned(),
        peer: Some(profile()),
        last_message: Some(message()),
        unread: u64::MAX,
        active: END,
    };
    let login = SessionInfo {
        id: SESSION,
        agent: "a".repeat(AGENT_BYTES),
        created: END,
        renewed: END,
        expires: END,
        current: true,
    };
    let page = MAX_PAGE as usize;
    let value = ChunkValue([0xff; 32]);
    let stored = vec![0xff; MAX_CHUNKS as usize / 8];
    vec![
        largest(&profile()),
        largest(&Done {}),
        largest(&chat()),
        largest(&ChatPage { chats: vec![summary; page], next: Some(ChatPosition { active: END, id: CHAT }) }),
        largest(&message()),
        largest(&MessagePage { messages: vec![message(); page], more: true }),
        largest(&file()),
        largest(&UploadState { file: FILE, chunk_size: u64::MAX, stored, finished: Some(file()) }),
        largest(&FilePage { files: vec![file(); page], more: true }),
        largest(&Values::pack(&vec![value; MAX_VALUES_PER_PAGE as usize])),
        largest(&SessionPage { sessions: vec![login; page], more: true }),
        largest(&p2p()),
        largest(&Update { newer: Some(release()) }),
        largest(&P2pPage { sessions: vec![p2p(); page], more: true }),
        largest(&RelayList { relays: vec![relay(); MAX_LISTED_RELAYS] }),
    ]
}

fn calls() -> Vec<Largest> {
    let members = vec![email(); MAX_MEMBERS];
    let after = Some(ChatPosition { active: END, id: CHAT });
    vec![
        largest(&GetMe {}),
        largest(&Logout {}),
        largest(&RenewTokens { refresh: token() }),
        largest(&FindUser { email: email() }),
        largest(&ListSessions { before: Some(SESSION), limit: u32::MAX }),
        largest(&EndSession { session: SESSION }),
        largest(&Rename { name: profile().name }),
        largest(&GetUpdate { platform: "p".repeat(256), current: "1".repeat(256) }),
        largest(&ListChats { after, limit: u32::MAX }),
        largest(&OpenDirect { email: email() }),
        largest(&CreateGroup { client_id: CLIENT, title: title(), members: members.clone() }),
        largest(&GetChat { chat: CHAT }),
        largest(&AddMembers { chat: CHAT, members }),
        largest(&RemoveMember { chat: CHAT, user: USER }),
        largest(&GetHistory { chat: CHAT, before: Some(SEQ), limit: u32::MAX }),
        largest(&PostMessage { chat: CHAT, post: post() }),
        largest(&DeleteMessage { chat: CHAT, seq: SEQ }),
        largest(&MarkRead { chat: CHAT, seq: SEQ }),
        largest(&BeginUpload { key: UploadKey([0xff; 32]), name: file().name, size: u64::MAX }),
        largest(&FinishUpload { file: FILE, root: file().root }),
        largest(&CancelUpload { file: FILE }),
        largest(&GetFile { file: FILE }),
        largest(&GetValues { file: FILE, first: ChunkIndex(u32::MAX), count: u32::MAX }),
        largest(&ListFiles { before: Some(FILE), limit: u32::MAX }),
        largest(&DeleteFile { file: FILE }),
        largest(&OfferP2p { client_id: CLIENT, chat: CHAT, receiver: USER, files: p2p().files }),
        largest(&ListRelays {}),
        largest(&GetP2p { session: P2P }),
        largest(&ListP2p { before: Some(P2P), limit: u32::MAX }),
        largest(&ChangeP2p { session: P2P, status: Some(P2pStatus::Cancelled), path: Some(P2pPath::Relayed) }),
    ]
}

fn streams() -> Vec<Largest> {
    let what = Happening::Posted { message: message() };
    let (offset, length) = (u64::MAX, u32::MAX);
    let (nameplate, key) = (Nameplate::new(MAX_NAMEPLATE).unwrap(), MailboxKey([0xff; 16]));
    vec![
        largest(&OpenChat { chat: CHAT, after: SEQ, revision: Revision(u64::MAX) }),
        largest(&ChatOpened { chat: chat() }),
        largest(&post()),
        largest(&Posted { client_id: CLIENT, seq: SEQ, at: END }),
        largest(&PostRefused { client_id: CLIENT, refusal: refusal() }),
        largest(&MessageChanged { message: message() }),
        largest(&Typing {}),
        largest(&TypingBy { user: USER }),
        largest(&Read { seq: SEQ }),
        largest(&ReadBy { user: USER, seq: SEQ }),
        largest(&MembersChanged { chat: chat() }),
        largest(&Present { users: vec![USER; MAX_MEMBERS] }),
        largest(&PresenceBy { user: USER, present: false }),
        largest(&OpenEvents { after: Some(Cursor(u64::MAX)) }),
        largest(&EventsReset { cursor: Cursor(u64::MAX) }),
        largest(&Event { cursor: Cursor(u64::MAX), at: END, what }),
        largest(&OpenSignals { session: P2P }),
        largest(&SignalsOpen { relays: vec![seat(); MAX_RELAYS] }),
        largest(&Signal { value: SignalValue::new(vec![0xff; MAX_SIGNAL_BYTES]).unwrap() }),
        largest(&OpenMailbox { version: u32::MAX, key }),
        largest(&ClaimMailbox { version: u32::MAX, nameplate, key }),
        largest(&ResumeMailbox { version: u32::MAX, mailbox: P2P, key }),
        largest(&MailboxOpen { mailbox: P2P, nameplate, lasts_ms: u64::MAX, relays: vec![seat(); MAX_RELAYS] }),
        largest(&OpenTunnel { relay: seat().relay }),
        largest(&TunnelOpen {}),
        largest(&Datagram { bytes: DatagramBytes::new(vec![0xff; MAX_DATAGRAM_BYTES]).unwrap() }),
        largest(&PutRange { file: FILE, offset, length, value: ChunkValue([0xff; 32]) }),
        largest(&RangeStored { chunk_complete: true }),
        largest(&GetRange { file: FILE, offset, length }),
        largest(&RangeFollows { length }),
    ]
}

fn between_clients() -> Vec<Largest> {
    let listing = ListingId([0xff; 32]);
    let (entry, length) = (u32::MAX, u32::MAX);
    let item = ListingEntry {
        name: file().name,
        parent: Some(u32::MAX),
        folder: false,
        size: u64::MAX,
        modified: END,
        executable: false,
        key: EntryKey([0xff; 32]),
    };
    let entries = vec![item; MAX_ENTRIES_PER_PAGE as usize];
    let message = "m".repeat(MAX_REFUSAL_MESSAGE_BYTES);
    vec![
        largest(&GetListing { first: u32::MAX, count: u32::MAX }),
        largest(&ListingPage { listing, total_entries: u32::MAX, total_bytes: u64::MAX, entries }),
        largest(&GetPiece { listing, entry, offset: u64::MAX, length }),
        largest(&PieceFollows { length, value: ChunkValue([0xff; 32]) }),
        largest(&GetSmall { listing, entries: vec![u32::MAX; MAX_SMALL_FILES] }),
        largest(&SmallFollows { entry, length, root: RootHash([0xff; 32]) }),
        largest(&Confirm { listing, entry }),
        largest(&Report { stored: u64::MAX, total: u64::MAX, state: ReceiverState::Failed { message } }),
    ]
}

const USER: UserId = UserId(Uuid::max());
const CHAT: ChatId = ChatId(Uuid::max());
const FILE: FileId = FileId(Uuid::max());
const P2P: P2pId = P2pId(Uuid::max());
const SESSION: SessionId = SessionId(Uuid::max());
const CLIENT: ClientId = ClientId(Uuid::max());
const SEQ: Seq = Seq(u64::MAX);
const END: UnixMillis = UnixMillis(u64::MAX);

/// As much as the operator's file may hold in all.
fn release() -> Release {
    Release {
        version: "1.0.0".to_owned(),
        notes: "n".repeat(1 << 20),
        platform: "linux-x86_64".to_owned(),
        url: "https://example.org/hypersend".to_owned(),
        sha256: "ab".repeat(32),
        size: u64::MAX,
    }
}

fn p2p() -> P2pSession {
    P2pSession {
        id: P2P,
        chat: CHAT,
        sender: USER,
        receiver: USER,
        files: vec![OfferedFile { name: file().name, size: u64::MAX, folder: true }; MAX_OFFERED_FILES],
        status: P2pStatus::Cancelled,
        path: Some(P2pPath::Relayed),
        created: END,
        updated: END,
    }
}

fn relay() -> RelayInfo {
    RelayInfo {
        relay: RelayId(Uuid::max()),
        name: RelayName::parse(&"x".repeat(MAX_RELAY_NAME_BYTES)).unwrap(),
        host: Some(RelayHost::parse(&"x".repeat(MAX_RELAY_HOST_BYTES)).unwrap()),
        ports: vec![u16::MAX; MAX_RELAY_PORTS],
    }
}

fn seat() -> RelaySeat {
    let RelayInfo { relay, name, host, ports } = relay();
    let ticket = Ticket { relay, session: P2P, user: USER, expires: END, side: Side::Receiver };
    RelaySeat { relay, name, host, ports, ticket: ticket.signed([0xff; 64]) }
}

fn email() -> Email {
    let local = "l".repeat(64);
    let domain = "d".repeat(MAX_EMAIL_BYTES - local.len() - "@".len());
    Email::parse(&format!("{local}@{domain}")).unwrap()
}

fn title() -> ChatTitle {
    ChatTitle::parse(&"t".repeat(MAX_CHAT_TITLE_BYTES)).unwrap()
}

fn token() -> Token {
    Token::parse(&"t".repeat(MAX_TOKEN_BYTES)).unwrap()
}

fn tokens() -> Tokens {
    Tokens { access: token(), access_expires: END, refresh: token(), refresh_expires: END }
}

fn profile() -> Profile {
    let name = DisplayName::parse(&"n".repeat(MAX_DISPLAY_NAME_BYTES)).unwrap();
    Profile { id: USER, email: email(), name }
}

fn refusal() -> Refusal {
    Refusal::new(ErrorCode::Other(u16::MAX), "m".repeat(MAX_REFUSAL_MESSAGE_BYTES))
        .with_limit(u64::MAX)
        .with_retry_after(Duration::from_millis(u64::MAX))
}

fn chat() -> Chat {
    let member = Member { profile: profile(), role: Role::Member, read: SEQ };
    Chat {
        id: CHAT,
        kind: ChatKind::Direct,
        title: Some(title()),
        members: vec![member; MAX_MEMBERS],
        last: SEQ,
        revision: Revision(u64::MAX),
    }
}

fn text() -> MessageText {
    MessageText::parse(&"m".repeat(MAX_MESSAGE_BYTES)).unwrap()
}

fn file() -> FileInfo {
    FileInfo {
        id: FILE,
        name: FileName::parse(&"f".repeat(MAX_FILE_NAME_BYTES)).unwrap(),
        size: u64::MAX,
        chunk_size: u64::MAX,
        root: RootHash([0xff; 32]),
        owner: USER,
        at: END,
    }
}

fn message() -> Message {
    let card = FileCard { id: FILE, name: file().name, size: u64::MAX };
    Message {
        chat: CHAT,
        seq: SEQ,
        sender: USER,
        client_id: CLIENT,
        at: END,
        text: Some(text()),
        files: vec![card; MAX_FILES_PER_MESSAGE],
        reply_to: Some(SEQ),
        deleted: Some(END),
        revision: Revision(u64::MAX),
    }
}

fn post() -> Post {
    Post { client_id: CLIENT, text: Some(text()), files: vec![FILE; MAX_FILES_PER_MESSAGE], reply_to: Some(SEQ) }
}
