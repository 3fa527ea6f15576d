//! Whatever the limits allow to be written is read back the same.

use hypersend_protocol::{
    account::{FindUser, Profile, Rename, SessionInfo, SessionPage},
    chat::{
        AddMembers, Chat, ChatIntent, ChatKind, ChatPage, ChatPosition, ChatSummary, ChatUpdate, CreateGroup,
        ListChats, Member, Message, MessagePage, Post, PostMessage, Role,
    },
    event::{Event, EventUpdate, Happening, OpenEvents},
    file::{BeginUpload, FileCard, FileInfo, FilePage, UploadState, Values},
    frame::{Body, Frame, FrameSet, Header, encode},
    hash::{ChunkValue, EntryKey, ListingId, RootHash, UploadKey},
    id::{ChatId, ClientId, Cursor, FileId, P2pId, RelayId, Revision, Seq, SessionId, UserId},
    limit::{MAX_DATAGRAM_BYTES, MAX_NAMEPLATE},
    mailbox::{ClaimMailbox, MailboxKey, MailboxOpen, Nameplate, OpenMailbox, ResumeMailbox},
    name::{ChatTitle, DisplayName, Email, FileName, MessageText, Password, RelayHost, RelayName, Token},
    p2p::{ChangeP2p, ListP2p, OfferP2p, OfferedFile, P2pPage, P2pPath, P2pSession, P2pStatus, RelayInfo, RelayList},
    peer::{
        Confirm, GetListing, GetPiece, GetSmall, ListingEntry, ListingPage, PeerRequest, PieceFollows, ReceiverState,
        Report, SmallFollows,
    },
    refusal::{ErrorCode, Refusal},
    relay::ticket::{Side, Ticket},
    session::{Auth, Hello, Tokens, Welcome},
    signal::{OpenSignals, RelaySeat, Signal, SignalValue, SignalsOpen},
    stream::{Greeting, Opening},
    time::UnixMillis,
    tunnel::{Datagram, DatagramBytes, OpenTunnel, TunnelOpen},
    update::GetUpdate,
};
use proptest::{collection::vec, option, prelude::*};
use std::fmt::Debug;
use uuid::Uuid;

/// Writes a frame and reads it back, as one of those that may arrive at its place.
fn there_and_back<S, F>(frame: F) -> Result<(), TestCaseError>
where
    S: FrameSet + From<F> + PartialEq + Debug,
    F: Frame,
{
    let bytes = encode(&frame).map_err(|e| TestCaseError::fail(e.to_string()))?;
    let (header, start) = Header::parse(&bytes).expect("a whole frame has a whole header");
    prop_assert_eq!(header.kind, F::KIND);
    prop_assert_eq!(header.admit::<S>(), Ok(Body::Read(bytes.len() - start)));
    prop_assert_eq!(S::decode(header.kind, &bytes[start..]), Ok(S::from(frame)));
    Ok(())
}

proptest! {
    #[test]
    fn session_frames(hello in hello(), welcome in welcome(), refusal in refusal()) {
        there_and_back::<Greeting, _>(hello)?;
        there_and_back::<Welcome, _>(welcome)?;
        there_and_back::<Refusal, _>(refusal)?;
    }

    #[test]
    fn logins(sessions in vec(login(), 0..5), more: bool) {
        there_and_back::<SessionPage, _>(SessionPage { sessions, more })?;
    }

    #[test]
    fn openings(
        email in email(), chat in id(ChatId), client_id in id(ClientId), title in title(), members in vec(email(), 0..20),
        post in post(), after in option::of(position()), limit: u32, key: [u8; 32], name in file_name(), size: u64,
        cursor in option::of(any::<u64>().prop_map(Cursor)), new_name in name(),
    ) {
        there_and_back::<Opening, _>(Rename { name: new_name })?;
        there_and_back::<Opening, _>(GetUpdate { platform: email.to_string(), current: title.to_string() })?;
        there_and_back::<Opening, _>(FindUser { email })?;
        there_and_back::<Opening, _>(CreateGroup { client_id, title, members: members.clone() })?;
        there_and_back::<Opening, _>(AddMembers { chat, members })?;
        there_and_back::<Opening, _>(PostMessage { chat, post })?;
        there_and_back::<Opening, _>(ListChats { after, limit })?;
        there_and_back::<Opening, _>(BeginUpload { key: UploadKey(key), name, size })?;
        there_and_back::<Opening, _>(OpenEvents { after: cursor })?;
    }

    #[test]
    fn chats(chat in chat(), page in chat_page(), messages in vec(message(), 0..5), more: bool) {
        there_and_back::<Chat, _>(chat)?;
        there_and_back::<ChatPage, _>(page)?;
        there_and_back::<MessagePage, _>(MessagePage { messages, more })?;
    }

    #[test]
    fn chat_and_event_streams(post in post(), message in message(), event in event()) {
        there_and_back::<ChatIntent, _>(post)?;
        there_and_back::<ChatUpdate, _>(message)?;
        there_and_back::<EventUpdate, _>(event)?;
    }

    #[test]
    fn files(
        upload in upload(), files in vec(file(), 0..10), more: bool, values in vec(any::<[u8; 32]>().prop_map(ChunkValue), 0..99),
    ) {
        there_and_back::<UploadState, _>(upload)?;
        there_and_back::<FilePage, _>(FilePage { files, more })?;
        prop_assert_eq!(Values::pack(&values).unpack(), Some(values.clone()));
        there_and_back::<Values, _>(Values::pack(&values))?;
    }

    #[test]
    fn p2p(
        session in p2p_session(), pages in vec(p2p_session(), 0..5), more: bool, client_id in id(ClientId),
        before in option::of(id(P2pId)), limit: u32, status in option::of(p2p_status()), path in option::of(p2p_path()),
    ) {
        let P2pSession { id, chat, receiver, files, .. } = session.clone();
        there_and_back::<P2pSession, _>(session)?;
        there_and_back::<P2pPage, _>(P2pPage { sessions: pages, more })?;
        there_and_back::<Opening, _>(OfferP2p { client_id, chat, receiver, files })?;
        there_and_back::<Opening, _>(ListP2p { before, limit })?;
        there_and_back::<Opening, _>(ChangeP2p { session: id, status, path })?;
        there_and_back::<Opening, _>(OpenSignals { session: id })?;
    }

    #[test]
    fn signals(seats in vec(seat(), 0..5), value in vec(any::<u8>(), 0..99)) {
        let relay = |RelaySeat { relay, name, host, ports, .. }| RelayInfo { relay, name, host, ports };
        there_and_back::<RelayList, _>(RelayList { relays: seats.iter().cloned().map(relay).collect() })?;
        there_and_back::<SignalsOpen, _>(SignalsOpen { relays: seats })?;
        prop_assert_eq!(SignalValue::new(value.clone()).is_ok(), !value.is_empty());
        if let Ok(value) = SignalValue::new(value) {
            there_and_back::<Signal, _>(Signal { value })?;
        }
    }

    #[test]
    fn mailboxes(
        version: u32, key: [u8; 16], number: u32, mailbox in id(P2pId), lasts_ms: u64, relays in vec(seat(), 0..5),
    ) {
        let (key, nameplate) = (MailboxKey(key), Nameplate::new(number % MAX_NAMEPLATE + 1).unwrap());
        there_and_back::<Greeting, _>(OpenMailbox { version, key })?;
        there_and_back::<Greeting, _>(ClaimMailbox { version, nameplate, key })?;
        there_and_back::<Greeting, _>(ResumeMailbox { version, mailbox, key })?;
        there_and_back::<MailboxOpen, _>(MailboxOpen { mailbox, nameplate, lasts_ms, relays })?;
    }

    #[test]
    fn tunnels(relay in id(RelayId), bytes in vec(any::<u8>(), 0..MAX_DATAGRAM_BYTES + 2)) {
        there_and_back::<Opening, _>(OpenTunnel { relay })?;
        there_and_back::<TunnelOpen, _>(TunnelOpen {})?;
        let fits = (1..=MAX_DATAGRAM_BYTES).contains(&bytes.len());
        prop_assert_eq!(DatagramBytes::new(bytes.clone()).is_ok(), fits);
        if let Ok(bytes) = DatagramBytes::new(bytes) {
            there_and_back::<Datagram, _>(Datagram { bytes })?;
        }
    }

    #[test]
    fn between_clients(
        hash: [u8; 32], entries in vec(listing_entry(), 0..5), numbers in vec(any::<u32>(), 0..300), entry: u32, length: u32,
        offset: u64, total_bytes: u64, state in receiver_state(),
    ) {
        let (listing, entries_asked) = (ListingId(hash), numbers);
        there_and_back::<PeerRequest, _>(GetListing { first: entry, count: length })?;
        there_and_back::<ListingPage, _>(ListingPage { listing, total_entries: entry, total_bytes, entries })?;
        there_and_back::<PeerRequest, _>(GetPiece { listing, entry, offset, length })?;
        there_and_back::<PieceFollows, _>(PieceFollows { length, value: ChunkValue(hash) })?;
        there_and_back::<PeerRequest, _>(GetSmall { listing, entries: entries_asked })?;
        there_and_back::<SmallFollows, _>(SmallFollows { entry, length, root: RootHash(hash) })?;
        there_and_back::<PeerRequest, _>(Confirm { listing, entry })?;
        there_and_back::<PeerRequest, _>(Report { stored: offset, total: total_bytes, state })?;
    }

    #[test]
    fn values_that_are_cut_are_none(values in vec(any::<u8>(), 0..99)) {
        let whole = values.len() % 32 == 0;
        prop_assert_eq!(Values { values }.unpack().is_some(), whole);
    }
}

fn id<I: Debug>(make: fn(Uuid) -> I) -> impl Strategy<Value = I> {
    any::<[u8; 16]>().prop_map(move |bytes| make(Uuid::from_bytes(bytes)))
}

fn at() -> impl Strategy<Value = UnixMillis> {
    any::<u64>().prop_map(UnixMillis)
}

fn seq() -> impl Strategy<Value = Seq> {
    any::<u64>().prop_map(Seq)
}

fn listing_entry() -> impl Strategy<Value = ListingEntry> {
    let flags = (any::<bool>(), any::<bool>());
    (file_name(), option::of(any::<u32>()), flags, any::<u64>(), at(), any::<[u8; 32]>()).prop_map(
        |(name, parent, (folder, executable), size, modified, key)| {
            let key = EntryKey(key);
            ListingEntry { name, parent, folder, size, modified, executable, key }
        },
    )
}

fn receiver_state() -> impl Strategy<Value = ReceiverState> {
    prop_oneof![
        Just(ReceiverState::Receiving),
        Just(ReceiverState::Finished),
        Just(ReceiverState::Cancelled),
        "\\PC{0,600}".prop_map(|message| ReceiverState::Failed { message }),
    ]
}

fn email() -> impl Strategy<Value = Email> {
    let raw = "[\\PC]{1,12}@[\\p{L}\\p{N}]{1,12}(\\.[a-zA-Z0-9]{1,8}){0,3}";
    raw.prop_filter_map("an email address", |raw| Email::parse(&raw).ok())
}

fn name() -> impl Strategy<Value = DisplayName> {
    "\\PC{1,25}".prop_filter_map("a display name", |raw| DisplayName::parse(&raw).ok())
}

fn title() -> impl Strategy<Value = ChatTitle> {
    "\\PC{1,50}".prop_filter_map("a title", |raw| ChatTitle::parse(&raw).ok())
}

fn file_name() -> impl Strategy<Value = FileName> {
    "[^/\\\\\\p{Cc}]{1,60}".prop_filter_map("a file name", |raw| FileName::parse(&raw).ok())
}

fn text() -> impl Strategy<Value = MessageText> {
    "[\\PC\n\r\t]{1,400}".prop_filter_map("a message", |raw| MessageText::parse(&raw).ok())
}

fn token() -> impl Strategy<Value = Token> {
    "[!-~]{1,1024}".prop_map(|raw| Token::parse(&raw).expect("printable ASCII"))
}

fn tokens() -> impl Strategy<Value = Tokens> {
    (token(), at(), token(), at()).prop_map(|(access, access_expires, refresh, refresh_expires)| Tokens {
        access,
        access_expires,
        refresh,
        refresh_expires,
    })
}

fn profile() -> impl Strategy<Value = Profile> {
    (id(UserId), email(), name()).prop_map(|(id, email, name)| Profile { id, email, name })
}

fn login() -> impl Strategy<Value = SessionInfo> {
    (id(SessionId), "\\PC{0,25}", at(), at(), at(), any::<bool>()).prop_map(
        |(id, agent, created, renewed, expires, current)| SessionInfo { id, agent, created, renewed, expires, current },
    )
}

fn hello() -> impl Strategy<Value = Hello> {
    let password = || "[^\0]{1,18}".prop_map(|raw| Password::parse(&raw).expect("no NUL and at most 72 bytes"));
    let auth = prop_oneof![
        (email(), name(), password()).prop_map(|(email, name, password)| Auth::Register { email, name, password }),
        (email(), password()).prop_map(|(email, password)| Auth::Login { email, password }),
        token().prop_map(|token| Auth::Access { token }),
        token().prop_map(|token| Auth::Refresh { token }),
    ];
    let words = (any::<u32>(), vec("[a-z]{1,20}", 0..5), "\\PC{0,25}", auth);
    words.prop_map(|(version, features, agent, auth)| Hello { version, features, agent, auth })
}

fn welcome() -> impl Strategy<Value = Welcome> {
    let features = vec("[a-z]{1,20}", 0..5);
    (any::<u32>(), features, profile(), id(SessionId), option::of(tokens()), at()).prop_map(
        |(version, features, me, session, tokens, now)| Welcome { version, features, me, session, tokens, now },
    )
}

fn refusal() -> impl Strategy<Value = Refusal> {
    (any::<u16>(), "\\PC{0,600}", option::of(any::<u64>()), option::of(any::<u64>())).prop_map(
        |(code, message, retry_after_ms, limit)| Refusal {
            retry_after_ms,
            limit,
            ..Refusal::new(ErrorCode::from(code), message)
        },
    )
}

fn kind() -> impl Strategy<Value = ChatKind> {
    prop_oneof![Just(ChatKind::Direct), Just(ChatKind::Group)]
}

fn chat() -> impl Strategy<Value = Chat> {
    let role = prop_oneof![Just(Role::Member), Just(Role::Owner)];
    let member = (profile(), role, seq()).prop_map(|(profile, role, read)| Member { profile, role, read });
    (id(ChatId), kind(), option::of(title()), vec(member, 0..8), seq(), any::<u64>().prop_map(Revision))
        .prop_map(|(id, kind, title, members, last, revision)| Chat { id, kind, title, members, last, revision })
}

fn position() -> impl Strategy<Value = ChatPosition> {
    (at(), id(ChatId)).prop_map(|(active, id)| ChatPosition { active, id })
}

fn chat_page() -> impl Strategy<Value = ChatPage> {
    let summary = (id(ChatId), kind(), title(), option::of(profile()), option::of(message()), any::<u64>(), at())
        .prop_map(|(id, kind, title, peer, last_message, unread, active)| ChatSummary {
            id,
            kind,
            title: title.into(),
            peer,
            last_message,
            unread,
            active,
        });
    (vec(summary, 0..5), option::of(position())).prop_map(|(chats, next)| ChatPage { chats, next })
}

fn message() -> impl Strategy<Value = Message> {
    let card = (id(FileId), file_name(), any::<u64>()).prop_map(|(id, name, size)| FileCard { id, name, size });
    let place = (id(ChatId), seq(), id(UserId), id(ClientId), at());
    let content = (option::of(text()), vec(card, 0..5), option::of(seq()), option::of(at()), any::<u64>());
    (place, content).prop_map(|((chat, seq, sender, client_id, at), (text, files, reply_to, deleted, revision))| {
        let revision = Revision(revision);
        Message { chat, seq, sender, client_id, at, text, files, reply_to, deleted, revision }
    })
}

fn post() -> impl Strategy<Value = Post> {
    (id(ClientId), option::of(text()), vec(id(FileId), 0..5), option::of(seq()))
        .prop_map(|(client_id, text, files, reply_to)| Post { client_id, text, files, reply_to })
}

fn event() -> impl Strategy<Value = Event> {
    let (chat, user) = (|| id(ChatId), || id(UserId));
    let revision = any::<u64>().prop_map(Revision);
    let what = prop_oneof![
        message().prop_map(|message| Happening::Posted { message }),
        (chat(), seq(), revision).prop_map(|(chat, seq, revision)| Happening::Changed { chat, seq, revision }),
        (chat(), user()).prop_map(|(chat, user)| Happening::Joined { chat, user }),
        (chat(), user()).prop_map(|(chat, user)| Happening::Left { chat, user }),
        (chat(), seq()).prop_map(|(chat, seq)| Happening::Read { chat, seq }),
        (chat(), id(P2pId)).prop_map(|(chat, session)| Happening::P2p { chat, session }),
    ];
    (any::<u64>(), at(), what).prop_map(|(cursor, at, what)| Event { cursor: Cursor(cursor), at, what })
}

fn p2p_status() -> impl Strategy<Value = P2pStatus> {
    use P2pStatus::{Accepted, Cancelled, Declined, Failed, Finished, Offered};
    proptest::sample::select(vec![Offered, Accepted, Declined, Cancelled, Finished, Failed])
}

fn p2p_path() -> impl Strategy<Value = P2pPath> {
    proptest::sample::select(vec![P2pPath::Direct, P2pPath::Relayed, P2pPath::Stored])
}

fn p2p_session() -> impl Strategy<Value = P2pSession> {
    let file = (file_name(), any::<u64>(), any::<bool>());
    let file = file.prop_map(|(name, size, folder)| OfferedFile { name, size, folder });
    let who = (id(P2pId), id(ChatId), id(UserId), id(UserId));
    (who, vec(file, 0..5), p2p_status(), option::of(p2p_path()), at(), at()).prop_map(
        |((id, chat, sender, receiver), files, status, path, created, updated)| P2pSession {
            id,
            chat,
            sender,
            receiver,
            files,
            status,
            path,
            created,
            updated,
        },
    )
}

fn seat() -> impl Strategy<Value = RelaySeat> {
    let ticket = (id(RelayId), id(P2pId), id(UserId), at(), any::<bool>(), any::<[u8; 64]>()).prop_map(
        |(relay, session, user, expires, is_sender, signature)| {
            let side = if is_sender { Side::Sender } else { Side::Receiver };
            Ticket { relay, session, user, expires, side }.signed(signature)
        },
    );
    let name = "[a-zü ]{0,9}x".prop_map(|name| RelayName::parse(&name).unwrap());
    let host = "[a-z.:0-9-]{1,20}".prop_map(|host| RelayHost::parse(&host).unwrap());
    (id(RelayId), name, option::of(host), vec(any::<u16>(), 0..3), ticket)
        .prop_map(|(relay, name, host, ports, ticket)| RelaySeat { relay, name, host, ports, ticket })
}

fn file() -> impl Strategy<Value = FileInfo> {
    (id(FileId), file_name(), any::<u64>(), any::<u64>(), any::<[u8; 32]>(), id(UserId), at()).prop_map(
        |(id, name, size, chunk_size, root, owner, at)| {
            let root = RootHash(root);
            FileInfo { id, name, size, chunk_size, root, owner, at }
        },
    )
}

fn upload() -> impl Strategy<Value = UploadState> {
    (id(FileId), any::<u64>(), vec(any::<u8>(), 0..300), option::of(file()))
        .prop_map(|(file, chunk_size, stored, finished)| UploadState { file, chunk_size, stored, finished })
}
