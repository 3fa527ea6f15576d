//! One fixed value of every frame, and of every arm of the enums inside. A new frame gets its line here; the golden
//! test says so when it has none.

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
    frame::{Frame, FrameError, FrameSet, Header, Kind, Operation, encode},
    hash::{ChunkValue, EntryKey, ListingId, RootHash, UploadKey},
    id::{ChatId, ChunkIndex, ClientId, Cursor, FileId, P2pId, RelayId, Revision, Seq, SessionId, UserId},
    mailbox::{ClaimMailbox, MailboxKey, MailboxOpen, Nameplate, OpenMailbox, ResumeMailbox},
    name::{ChatTitle, DisplayName, Email, FileName, MessageText, Password, Token},
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
    session::{Auth, GoingAway, Hello, Tokens, Welcome},
    signal::{OpenSignals, RelaySeat, Signal, SignalValue, SignalsOpen},
    time::UnixMillis,
    tunnel::{Datagram, DatagramBytes, OpenTunnel, TunnelOpen},
    update::{GetUpdate, Release, Update},
};
use std::{any::type_name, fmt::Debug, time::Duration};
use uuid::Uuid;

type Comparison = dyn Fn(&[u8]) -> Result<bool, FrameError>;

/// A frame with its type forgotten.
pub(crate) struct Example {
    /// The frame's name, and behind a dot the arm or case when a frame has several examples.
    pub(crate) label: String,
    pub(crate) kind: Kind,
    pub(crate) ceiling: u32,
    /// The name of the frame that answers it, if it is an operation.
    pub(crate) answer: Option<&'static str>,
    /// Header and body.
    pub(crate) bytes: Vec<u8>,
    /// Reads a body as this frame: whether it is this very value.
    pub(crate) is_read_from: Box<Comparison>,
    /// Reads a body as this frame and writes what was read.
    pub(crate) rewrite: fn(&[u8]) -> Result<Vec<u8>, FrameError>,
}

impl Example {
    /// The frame's name.
    pub(crate) fn name(&self) -> &str {
        self.label.split('.').next().expect("split gives at least one part")
    }

    /// The frame's bytes without its header.
    pub(crate) fn body(&self) -> &[u8] {
        let (header, length) = Header::parse(&self.bytes).expect("the header is complete");
        assert_eq!(header.length, (self.bytes.len() - length) as u64);
        &self.bytes[length..]
    }
}

pub(crate) fn name_of<T>() -> &'static str {
    type_name::<T>().rsplit("::").next().expect("split gives at least one part")
}

fn example<F: Frame + PartialEq + Debug + 'static>(case: &str, value: F) -> Example {
    Example {
        label: format!("{}{case}", name_of::<F>()),
        kind: F::KIND,
        ceiling: F::CEILING,
        answer: None,
        bytes: encode(&value).expect("an example is small"),
        is_read_from: Box::new(move |body| F::decode(F::KIND, body).map(|read| read == value)),
        rewrite: |body| encode(&F::decode(F::KIND, body)?),
    }
}

fn plain<F: Frame + PartialEq + Debug + 'static>(value: F) -> Example {
    example("", value)
}

fn call<O: Operation + PartialEq + Debug + 'static>(value: O) -> Example {
    Example { answer: Some(name_of::<O::Answer>()), ..plain(value) }
}

/// Every frame of the protocol, in the order of kinds.
pub(crate) fn all() -> Vec<Example> {
    let mut all = connection();
    all.extend(answers());
    all.extend(calls());
    all.extend(streams());
    all.extend(between_clients());
    all.sort_by_key(|example| example.kind.0);
    all
}

fn connection() -> Vec<Example> {
    let (email, password) = (email(), Password::parse("correct horse").unwrap());
    let hello = |auth| Hello { version: 1, features: vec!["later".to_owned()], agent: "hypersend/0.1.0".into(), auth };
    let welcome = |tokens| Welcome {
        version: 1,
        features: vec![],
        me: profile(),
        session: SessionId(uuid(9)),
        tokens,
        now: UnixMillis(1_800_000_000_000),
    };
    let register = Auth::Register { email: email.clone(), name: profile().name, password: password.clone() };
    vec![
        example(".bare", Refusal::new(ErrorCode::NotFound, "no such chat")),
        example(".full", refusal()),
        example(".register", hello(register)),
        example(".login", hello(Auth::Login { email, password })),
        example(".access", hello(Auth::Access { token: tokens().access })),
        example(".refresh", hello(Auth::Refresh { token: tokens().refresh })),
        example(".new", welcome(Some(tokens()))),
        example(".known", welcome(None)),
        plain(tokens()),
        plain(GoingAway { grace_ms: 30_000 }),
    ]
}

fn answers() -> Vec<Example> {
    let upload =
        |finished| UploadState { file: FileId(uuid(3)), chunk_size: 1 << 20, stored: vec![0b101, 1], finished };
    let position = ChatPosition { active: UnixMillis(1_800_000_000_007), id: ChatId(uuid(2)) };
    let summary = ChatSummary {
        id: ChatId(uuid(2)),
        kind: ChatKind::Direct,
        title: "Ann".to_owned(),
        peer: Some(profile()),
        last_message: Some(message()),
        unread: 3,
        active: position.active,
    };
    let login = SessionInfo {
        id: SessionId(uuid(9)),
        agent: "hypersend/0.1.0".to_owned(),
        created: UnixMillis(1_800_000_000_000),
        renewed: UnixMillis(1_800_000_000_007),
        expires: UnixMillis(1_802_592_000_007),
        current: true,
    };
    let empty = ChatSummary { kind: ChatKind::Group, peer: None, last_message: None, ..summary.clone() };
    vec![
        plain(profile()),
        plain(Done {}),
        example(".group", chat()),
        example(".direct", Chat { kind: ChatKind::Direct, title: None, ..chat() }),
        plain(ChatPage { chats: vec![summary, empty], next: Some(position) }),
        example(".posted", message()),
        example(".deleted", tombstone()),
        plain(MessagePage { messages: vec![message(), tombstone()], more: true }),
        plain(file()),
        example(".begun", upload(None)),
        example(".finished", upload(Some(file()))),
        plain(FilePage { files: vec![file()], more: false }),
        plain(Values::pack(&[ChunkValue([0xc1; 32]), ChunkValue([0xc2; 32])])),
        plain(SessionPage { sessions: vec![login], more: true }),
        plain(p2p(P2pStatus::Accepted, Some(P2pPath::Direct))),
        example(".newer", Update { newer: Some(release()) }),
        example(".none", Update { newer: None }),
        plain(P2pPage { sessions: vec![p2p(P2pStatus::Offered, None)], more: true }),
        plain(RelayList { relays: relays() }),
    ]
}

fn calls() -> Vec<Example> {
    let (chat, user, file) = (ChatId(uuid(2)), UserId(uuid(1)), FileId(uuid(3)));
    let after = Some(ChatPosition { active: UnixMillis(1_800_000_000_007), id: chat });
    vec![
        call(GetMe {}),
        call(Logout {}),
        call(RenewTokens { refresh: tokens().refresh }),
        call(FindUser { email: email() }),
        call(ListSessions { before: Some(SessionId(uuid(9))), limit: 200 }),
        call(EndSession { session: SessionId(uuid(9)) }),
        call(Rename { name: profile().name }),
        call(GetUpdate { platform: "linux-x86_64".to_owned(), current: "1.0.0".to_owned() }),
        call(ListChats { after, limit: 50 }),
        call(OpenDirect { email: email() }),
        call(CreateGroup { client_id: ClientId(uuid(4)), title: title(), members: vec![email()] }),
        call(GetChat { chat }),
        call(AddMembers { chat, members: vec![email()] }),
        call(RemoveMember { chat, user }),
        call(GetHistory { chat, before: Some(Seq(300)), limit: 200 }),
        call(PostMessage { chat, post: post() }),
        call(DeleteMessage { chat, seq: Seq(7) }),
        call(MarkRead { chat, seq: Seq(7) }),
        call(BeginUpload { key: UploadKey([0xab; 32]), name: file_name(), size: 40 << 30 }),
        call(FinishUpload { file, root: RootHash([0xef; 32]) }),
        call(CancelUpload { file }),
        call(GetFile { file }),
        call(GetValues { file, first: ChunkIndex(8_192), count: 8_192 }),
        call(ListFiles { before: Some(file), limit: 200 }),
        call(DeleteFile { file }),
        call(OfferP2p { client_id: ClientId(uuid(4)), chat, receiver: user, files: offered() }),
        call(GetP2p { session: P2pId(uuid(5)) }),
        call(ListP2p { before: Some(P2pId(uuid(5))), limit: 200 }),
        call(ChangeP2p { session: P2pId(uuid(5)), status: Some(P2pStatus::Finished), path: Some(P2pPath::Relayed) }),
        call(ListRelays {}),
    ]
}

fn streams() -> Vec<Example> {
    let (id, user, file) = (ChatId(uuid(2)), UserId(uuid(1)), FileId(uuid(3)));
    let (client_id, seq, revision) = (ClientId(uuid(4)), Seq(7), Revision(2));
    let (mailbox, nameplate, key) = (P2pId(uuid(5)), Nameplate::new(700).unwrap(), MailboxKey([0xac; 16]));
    let event = |what| Event { cursor: Cursor(70_000), at: UnixMillis(1_800_000_000_009), what };
    vec![
        plain(OpenChat { chat: id, after: seq, revision }),
        plain(ChatOpened { chat: chat() }),
        plain(post()),
        plain(Posted { client_id, seq, at: UnixMillis(1_800_000_000_007) }),
        plain(PostRefused { client_id, refusal: refusal() }),
        plain(MessageChanged { message: tombstone() }),
        plain(Typing {}),
        plain(TypingBy { user }),
        plain(Read { seq }),
        plain(ReadBy { user, seq }),
        plain(MembersChanged { chat: chat() }),
        plain(Present { users: vec![user, UserId(uuid(6))] }),
        plain(PresenceBy { user, present: true }),
        plain(OpenEvents { after: Some(Cursor(69_999)) }),
        plain(EventsReset { cursor: Cursor(70_000) }),
        example(".posted", event(Happening::Posted { message: message() })),
        example(".changed", event(Happening::Changed { chat: id, seq, revision })),
        example(".joined", event(Happening::Joined { chat: id, user })),
        example(".left", event(Happening::Left { chat: id, user })),
        example(".read", event(Happening::Read { chat: id, seq })),
        example(".p2p", event(Happening::P2p { chat: id, session: P2pId(uuid(5)) })),
        plain(OpenSignals { session: P2pId(uuid(5)) }),
        plain(SignalsOpen { relays: seats() }),
        plain(Signal { value: SignalValue::new(b"a1".to_vec()).unwrap() }),
        plain(OpenMailbox { version: 1, key }),
        plain(ClaimMailbox { version: 1, nameplate, key }),
        plain(ResumeMailbox { version: 1, mailbox, key }),
        plain(MailboxOpen { mailbox, nameplate, lasts_ms: 86_400_000, relays: seats() }),
        plain(OpenTunnel { relay: RelayId(uuid(7)) }),
        plain(TunnelOpen {}),
        plain(Datagram { bytes: DatagramBytes::new(vec![0x40, 0xaf]).unwrap() }),
        plain(PutRange { file, offset: 5 << 30, length: 1 << 20, value: ChunkValue([0xcd; 32]) }),
        plain(RangeStored { chunk_complete: true }),
        plain(GetRange { file, offset: 5 << 30, length: 1 << 20 }),
        plain(RangeFollows { length: 1 << 20 }),
    ]
}

fn between_clients() -> Vec<Example> {
    let listing = ListingId([0x1d; 32]);
    let folder = ListingEntry {
        name: FileName::parse("Holidays").unwrap(),
        parent: None,
        folder: true,
        size: 0,
        modified: UnixMillis(1_800_000_000_009),
        executable: false,
        key: EntryKey([0xfd; 32]),
    };
    let file = ListingEntry {
        name: file_name(),
        parent: Some(0),
        folder: false,
        size: 40 << 30,
        executable: true,
        key: EntryKey([0xfe; 32]),
        ..folder.clone()
    };
    let report = |state| Report { stored: 5 << 30, total: 40 << 30, state };
    vec![
        call(GetListing { first: 1_000, count: 1_000 }),
        plain(ListingPage { listing, total_entries: 2, total_bytes: 40 << 30, entries: vec![folder, file] }),
        plain(GetPiece { listing, entry: 1, offset: 5 << 30, length: 1 << 20 }),
        plain(PieceFollows { length: 1 << 20, value: ChunkValue([0xcd; 32]) }),
        plain(GetSmall { listing, entries: vec![2, 300] }),
        plain(SmallFollows { entry: 300, length: 10_000, root: RootHash([0xef; 32]) }),
        call(Confirm { listing, entry: 1 }),
        Example { label: "Report.receiving".to_owned(), ..call(report(ReceiverState::Receiving)) },
        Example { label: "Report.finished".to_owned(), ..call(report(ReceiverState::Finished)) },
        Example {
            label: "Report.failed".to_owned(),
            ..call(report(ReceiverState::Failed { message: "the disk is full".to_owned() }))
        },
        Example { label: "Report.cancelled".to_owned(), ..call(report(ReceiverState::Cancelled)) },
    ]
}

/// A UUID that shows in a hex dump.
fn uuid(n: u8) -> Uuid {
    Uuid::from_bytes([0x01, 0x9a, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, n])
}

fn release() -> Release {
    Release {
        version: "1.1.0".to_owned(),
        notes: "Faster.".to_owned(),
        platform: "linux-x86_64".to_owned(),
        url: "https://example.org/hypersend".to_owned(),
        sha256: "ab".repeat(32),
        size: 9_000_000,
    }
}

fn offered() -> Vec<OfferedFile> {
    vec![OfferedFile { name: file_name(), size: 40 << 30, folder: false }]
}

fn p2p(status: P2pStatus, path: Option<P2pPath>) -> P2pSession {
    P2pSession {
        id: P2pId(uuid(5)),
        chat: ChatId(uuid(2)),
        sender: UserId(uuid(1)),
        receiver: UserId(uuid(7)),
        files: offered(),
        status,
        path,
        created: UnixMillis(1_800_000_000_000),
        updated: UnixMillis(1_800_000_000_007),
    }
}

fn seats() -> Vec<RelaySeat> {
    let seat = |n, name: &str, host: Option<&str>, ports| {
        let (relay, session, user) = (RelayId(uuid(n)), P2pId(uuid(5)), UserId(uuid(1)));
        let ticket = Ticket { relay, session, user, expires: UnixMillis(1_800_000_000_010), side: Side::Receiver };
        RelaySeat {
            relay,
            name: name.parse().unwrap(),
            host: host.map(|host| host.parse().unwrap()),
            ports,
            ticket: ticket.signed([0xcd; 64]),
        }
    };
    vec![seat(7, "own", None, vec![8_444, 8_445]), seat(8, "fra1", Some("fra1.example.org"), vec![8_444])]
}

fn relays() -> Vec<RelayInfo> {
    let relay = |RelaySeat { relay, name, host, ports, .. }| RelayInfo { relay, name, host, ports };
    seats().into_iter().map(relay).collect()
}

fn email() -> Email {
    Email::parse("ann@example.org").unwrap()
}

fn title() -> ChatTitle {
    ChatTitle::parse("Holidays").unwrap()
}

fn file_name() -> FileName {
    FileName::parse("überraschung.pdf").unwrap()
}

fn profile() -> Profile {
    Profile { id: UserId(uuid(1)), email: email(), name: DisplayName::parse("Ann").unwrap() }
}

fn tokens() -> Tokens {
    Tokens {
        access: Token::parse("eyJhbGciOiJIUzI1NiJ9.e30.c2ln").unwrap(),
        access_expires: UnixMillis(1_800_000_900_000),
        refresh: Token::parse("r-0123456789abcdef").unwrap(),
        refresh_expires: UnixMillis(1_802_592_000_000),
    }
}

fn refusal() -> Refusal {
    Refusal::new(ErrorCode::RateLimited, "too many attempts; wait a minute")
        .with_limit(10)
        .with_retry_after(Duration::from_mins(1))
}

fn chat() -> Chat {
    Chat {
        id: ChatId(uuid(2)),
        kind: ChatKind::Group,
        title: Some(title()),
        members: vec![
            Member { profile: profile(), role: Role::Owner, read: Seq(7) },
            Member { profile: profile(), role: Role::Member, read: Seq(0) },
        ],
        last: Seq(7),
        revision: Revision(2),
    }
}

fn message() -> Message {
    Message {
        chat: ChatId(uuid(2)),
        seq: Seq(7),
        sender: UserId(uuid(1)),
        client_id: ClientId(uuid(4)),
        at: UnixMillis(1_800_000_000_007),
        text: Some(MessageText::parse("Grüße\nfrom the beach").unwrap()),
        files: vec![FileCard { id: FileId(uuid(3)), name: file_name(), size: 40 << 30 }],
        reply_to: Some(Seq(6)),
        deleted: None,
        revision: Revision(0),
    }
}

fn tombstone() -> Message {
    Message {
        text: None,
        files: vec![],
        reply_to: None,
        deleted: Some(UnixMillis(1_800_000_000_008)),
        revision: Revision(2),
        ..message()
    }
}

fn post() -> Post {
    Post { client_id: ClientId(uuid(4)), text: message().text, files: vec![FileId(uuid(3))], reply_to: Some(Seq(6)) }
}

fn file() -> FileInfo {
    FileInfo {
        id: FileId(uuid(3)),
        name: file_name(),
        size: 40 << 30,
        chunk_size: 1 << 20,
        root: RootHash([0xef; 32]),
        owner: UserId(uuid(1)),
        at: UnixMillis(1_800_000_000_009),
    }
}
