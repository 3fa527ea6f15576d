//! Two people without accounts meet at a mailbox.

use crate::support::{code, hears, refusal, says};
use futures::future::join_all;
use hypersend_client::{
    ClientError, Config, Status, Transport, Transports,
    mailbox::{Guest, MailboxChannel},
    protocol::{
        limit::{MAILBOX_UNCLAIMED_ABSENCE, MAX_MAILBOXES_PER_ADDRESS, MAX_NAMEPLATE, MAX_SIGNAL_BYTES},
        mailbox::Nameplate,
        refusal::ErrorCode,
        relay::ticket::Side,
    },
};
use hypersend_lab::{Proxy, TestServer, Ways, eventually, mongod, within};
use std::{collections::HashSet, time::Duration};

async fn open(config: Config) -> MailboxChannel {
    within("a mailbox opens", MailboxChannel::open(config)).await.unwrap()
}

pub(crate) async fn claim(config: Config, nameplate: Nameplate) -> Result<MailboxChannel, ClientError> {
    within("the server answers", MailboxChannel::claim(config, nameplate)).await
}

/// Both sides of a mailbox.
async fn pair(hers: Config, his: Config) -> (MailboxChannel, MailboxChannel) {
    let sender = open(hers).await;
    let receiver = claim(his, sender.nameplate()).await.unwrap();
    (sender, receiver)
}

async fn is_over(channel: &mut MailboxChannel) {
    assert_eq!(within("the mailbox is over", channel.next()).await.unwrap(), None);
}

/// Waits until a guest knows that it has no connection.
async fn is_away(guest: &Guest) {
    let look = || std::future::ready(matches!(guest.status(), Status::Connecting { .. }).then_some(()));
    eventually("the connection is given up", look).await;
}

/// A nameplate that nobody was given.
fn unknown(of: &MailboxChannel) -> Nameplate {
    Nameplate::new(of.nameplate().get() % MAX_NAMEPLATE + 1).unwrap()
}

#[tokio::test]
async fn who_claims_a_mailbox_hears_its_sender_and_is_heard() {
    let server = TestServer::start().await;
    let mut sender = open(server.config()).await;
    sender.set(b"before anybody came".to_vec()).unwrap();
    assert_eq!(sender.side(), Side::Sender);
    assert!(sender.nameplate().get() <= 999, "short");
    assert!(sender.lasts() > Duration::ZERO && sender.lasts() <= MAILBOX_UNCLAIMED_ABSENCE, "{:?}", sender.lasts());
    let mut receiver = claim(server.config(), sender.nameplate()).await.unwrap();
    assert_eq!(
        (receiver.side(), receiver.id(), receiver.nameplate()),
        (Side::Receiver, sender.id(), sender.nameplate())
    );
    hears(&mut receiver, b"before anybody came").await;
    says(&receiver, &mut sender, b"\0").await;
    says(&sender, &mut receiver, &vec![0xff; MAX_SIGNAL_BYTES]).await;
}

#[tokio::test]
async fn a_nameplate_is_used_up_by_its_claim() {
    let server = TestServer::start().await;
    let (mut sender, receiver) = pair(server.config(), server.config()).await;
    let used = refusal(claim(server.config(), sender.nameplate()).await);
    let unknown = refusal(claim(server.config(), unknown(&sender)).await);
    assert_eq!(used.code, ErrorCode::NotFound);
    assert_eq!(used, unknown, "which of the two it is, nobody is told");
    says(&receiver, &mut sender, b"not disturbed").await;
    // Of many at once one is let in.
    let sender = open(server.config()).await;
    let claims = (0..8).map(|_| claim(server.config(), sender.nameplate()));
    assert_eq!(join_all(claims).await.into_iter().flatten().count(), 1);
}

#[tokio::test]
async fn leaving_ends_the_mailbox_behind_the_last_value() {
    let server = TestServer::start().await;
    for receiver_leaves in [false, true] {
        let (mut leaves, mut stays) = pair(server.config(), server.config()).await;
        let nameplate = leaves.nameplate();
        if receiver_leaves {
            (leaves, stays) = (stays, leaves);
        }
        says(&stays, &mut leaves, b"hello").await;
        leaves.set(b"last words".to_vec()).unwrap();
        within("it leaves", leaves.leave()).await;
        hears(&mut stays, b"last words").await;
        is_over(&mut stays).await;
        is_over(&mut stays).await;
        assert_eq!(code(claim(server.config(), nameplate).await), ErrorCode::NotFound);
    }
    // Before anybody has come.
    let sender = open(server.config()).await;
    let nameplate = sender.nameplate();
    within("it leaves", sender.leave()).await;
    assert_eq!(code(claim(server.config(), nameplate).await), ErrorCode::NotFound);
}

#[tokio::test]
async fn a_side_that_was_away_hears_the_last_value_and_the_end() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let sender = open(server.config()).await;
    let guest = Guest::start(server.config_via(proxy.address())).unwrap();
    let watched = guest.clone();
    let mut receiver = within("it is claimed", guest.claim(sender.nameplate())).await.unwrap();
    says(&sender, &mut receiver, b"hello").await;
    proxy.cut();
    // Else what is said now would only be late.
    is_away(&watched).await;
    sender.set(b"last words".to_vec()).unwrap();
    within("it leaves", sender.leave()).await;
    proxy.restore();
    hears(&mut receiver, b"last words").await;
    is_over(&mut receiver).await;
}

#[tokio::test]
async fn a_lost_connection_is_no_end() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let guest = Guest::start(server.config_via(proxy.address())).unwrap();
    let watched = guest.clone();
    let mut sender = within("a mailbox opens", guest.open()).await.unwrap();
    let (nameplate, id) = (sender.nameplate(), sender.id());
    proxy.cut();
    is_away(&watched).await;
    sender.set(b"set while away".to_vec()).unwrap();
    let mut receiver = claim(server.config(), nameplate).await.unwrap();
    receiver.set(b"claimed meanwhile".to_vec()).unwrap();
    proxy.restore();
    hears(&mut sender, b"claimed meanwhile").await;
    hears(&mut receiver, b"set while away").await;
    assert_eq!((sender.nameplate(), sender.id()), (nameplate, id));
    says(&sender, &mut receiver, b"again").await;
}

#[tokio::test]
async fn a_server_that_was_killed_finds_its_mailboxes_again() {
    let mut server = TestServer::start().await;
    let mut waiting = open(server.config()).await;
    let (mut sender, mut receiver) = pair(server.config(), server.config()).await;
    says(&sender, &mut receiver, b"before").await;
    server.restart().await;
    // What was set is not in any file of the server: the clients set it again.
    says(&receiver, &mut sender, b"after").await;
    says(&sender, &mut receiver, b"after too").await;
    assert_eq!(code(claim(server.config(), sender.nameplate()).await), ErrorCode::NotFound);
    let late = claim(server.config(), waiting.nameplate()).await.unwrap();
    says(&late, &mut waiting, b"late").await;
    // Told to stop, it tells its guests to come back.
    server.stop().await;
    server.start_again().await;
    says(&late, &mut waiting, b"and again").await;
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test]
async fn mailboxes_are_where_quic_does_not_get_through_and_move_when_it_does() {
    let server = TestServer::start().await;
    let ways = Ways::to(server.socket_address(), server.socket_address()).await;
    ways.udp.cut();
    let guest = Guest::start(server.config_via(ways.address())).unwrap();
    let watched = guest.clone();
    let over = |transport| {
        let look = move |status| matches!(status, Status::Connected { over } if over == transport);
        let watched = watched.clone();
        async move { eventually("it is connected so", async || look(watched.status()).then_some(())).await }
    };
    let mut sender = within("a mailbox opens", guest.open()).await.unwrap();
    over(Transport::Tcp).await;
    let tcp = Config { transports: Transports::Only(Transport::Tcp), ..server.config() };
    let mut receiver = claim(tcp, sender.nameplate()).await.unwrap();
    says(&sender, &mut receiver, b"over TCP").await;
    says(&receiver, &mut sender, b"both").await;
    ways.udp.restore();
    over(Transport::Quic).await;
    says(&sender, &mut receiver, b"over QUIC").await;
    receiver.set(b"last words".to_vec()).unwrap();
    within("it leaves", receiver.leave()).await;
    hears(&mut sender, b"last words").await;
    is_over(&mut sender).await;
}

#[tokio::test]
async fn claims_and_openings_are_counted_by_the_minute() {
    let settings = [("CODE_CLAIMS_PER_ADDRESS_PER_MINUTE", "4"), ("CODE_OPENINGS_PER_ADDRESS_PER_MINUTE", "2")];
    let server = TestServer::with(settings).await;
    let sender = open(server.config()).await;
    let unknown = unknown(&sender);
    claim(server.config(), sender.nameplate()).await.unwrap();
    // A right one counts like a wrong one, and so does one that was right before.
    for nameplate in [unknown, sender.nameplate(), unknown] {
        assert_eq!(code(claim(server.config(), nameplate).await), ErrorCode::NotFound);
    }
    let refused = refusal(claim(server.config(), unknown).await);
    assert_eq!(refused.code, ErrorCode::RateLimited);
    assert!(refused.retry_after_ms.is_some_and(|wait| wait <= 15_000), "{refused:?}");
    let second = open(server.config()).await;
    assert_eq!(code(within("it is refused", MailboxChannel::open(server.config())).await), ErrorCode::RateLimited);
    assert_eq!(code(claim(server.config(), second.nameplate()).await), ErrorCode::RateLimited);
}

#[tokio::test]
async fn a_network_has_so_many_mailboxes_and_not_one_more() {
    let server = TestServer::start().await;
    let mut mailboxes = Vec::new();
    for _ in 0..MAX_MAILBOXES_PER_ADDRESS {
        mailboxes.push(open(server.config()).await);
    }
    let nameplates: HashSet<_> = mailboxes.iter().map(MailboxChannel::nameplate).collect();
    assert_eq!(nameplates.len(), MAX_MAILBOXES_PER_ADDRESS);
    // Claiming makes no room.
    let _receiver = claim(server.config(), mailboxes[0].nameplate()).await.unwrap();
    let refused = refusal(within("it is refused", MailboxChannel::open(server.config())).await);
    assert_eq!((refused.code, refused.limit), (ErrorCode::LimitReached, Some(MAX_MAILBOXES_PER_ADDRESS as u64)));
    within("one is left", mailboxes.remove(0).leave()).await;
    open(server.config()).await;
}

#[tokio::test]
async fn an_operator_may_want_none() {
    let mut server = TestServer::with([("CODES", "off")]).await;
    let refused = refusal(within("it is refused", MailboxChannel::open(server.config())).await);
    assert_eq!(refused.code, ErrorCode::Forbidden);
    assert!(refused.message.contains("without an account"), "{refused:?}");
    assert_eq!(code(claim(server.config(), Nameplate::new(7).unwrap()).await), ErrorCode::Forbidden);
    // Nor any longer.
    server.stop().await;
    server.set("CODES", "on");
    server.start_again().await;
    let mut sender = open(server.config()).await;
    server.stop().await;
    server.set("CODES", "off");
    server.start_again().await;
    assert_eq!(code(within("it ends", sender.next()).await), ErrorCode::Forbidden);
}

#[tokio::test]
async fn sides_at_two_servers_hear_each_other() {
    let database = mongod::database().await;
    let mut here = TestServer::with([("CODE_CLAIMS_PER_ADDRESS_PER_MINUTE", "4")]).await;
    here.stop().await;
    here.set("MONGODB_URI", &database.uri());
    here.start_again().await;
    let there = here.beside().await;
    let (mut sender, mut receiver) = pair(here.config(), there.config()).await;
    for n in 0..3_u8 {
        says(&receiver, &mut sender, &[n]).await;
        says(&sender, &mut receiver, &[n, n]).await;
    }
    assert_eq!(code(claim(there.config(), sender.nameplate()).await), ErrorCode::NotFound);
    receiver.set(b"last words".to_vec()).unwrap();
    within("it leaves", receiver.leave()).await;
    hears(&mut sender, b"last words").await;
    is_over(&mut sender).await;
    // Attempts are counted among both.
    for server in [&here, &there] {
        assert_eq!(code(claim(server.config(), sender.nameplate()).await), ErrorCode::NotFound);
    }
    for server in [&here, &there] {
        assert_eq!(code(claim(server.config(), sender.nameplate()).await), ErrorCode::RateLimited);
    }
}

#[tokio::test]
async fn a_server_that_dies_is_bridged_by_another() {
    let database = mongod::database().await;
    let mut here = TestServer::start().await;
    here.stop().await;
    here.set("MONGODB_URI", &database.uri());
    here.start_again().await;
    let there = here.beside().await;
    let proxy = Proxy::start(here.socket_address());
    let (mut sender, mut receiver) = pair(here.config_via(proxy.address()), there.config()).await;
    says(&sender, &mut receiver, b"here").await;
    here.kill();
    proxy.lead_to(there.socket_address());
    says(&receiver, &mut sender, b"there").await;
    says(&sender, &mut receiver, b"moved").await;
}
