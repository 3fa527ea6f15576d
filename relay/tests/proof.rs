//! Who has not proved itself gets nothing.

use crate::desk::{Desk, HOUR, NONCE, PACKET, address, answered, key, session, sign, uuid};
use data_encoding::HEXLOWER;
use hypersend_protocol::{
    id::{RelayId, UserId},
    relay::{
        FromRelay, RelayRefusal, ToRelay,
        ticket::{Side, SignedTicket, Ticket},
    },
    time::UnixMillis,
};
use hypersend_relay::{
    Action, DropReason,
    settings::{IDLE, MAX_VERIFICATIONS_PER_SECOND},
};
use std::{net::SocketAddr, time::Duration};

fn refused(action: &Action) -> RelayRefusal {
    match answered(action) {
        FromRelay::Refused { nonce: NONCE, reason } => reason,
        other => panic!("not refused but {other:?}"),
    }
}

#[test]
fn a_cookie_is_good_for_no_other_address_and_no_other_session() {
    let mut desk = Desk::new();
    let (own, ticket) = (address(1, Side::Sender), desk.ticket(1, Side::Sender));
    let cookie = desk.cookie(own, session(1));
    let other_port = SocketAddr::new(own.ip(), own.port() + 1);
    for spoofed in [address(1, Side::Receiver), other_port] {
        let bind = ToRelay::Bind { nonce: NONCE, cookie, ticket };
        assert_eq!(desk.ask(spoofed, bind), Action::Drop(DropReason::BadCookie));
    }
    let bind = ToRelay::Bind { nonce: NONCE, cookie, ticket: desk.ticket(2, Side::Sender) };
    assert_eq!(desk.ask(own, bind), Action::Drop(DropReason::BadCookie));
    assert_eq!(desk.relay.addresses(), 0);
    assert!(matches!(
        answered(&desk.ask(own, ToRelay::Bind { nonce: NONCE, cookie, ticket })),
        FromRelay::Bound { .. }
    ));
}

#[test]
fn a_cookie_is_good_for_thirty_seconds_and_for_sixty_no_more() {
    for (begins, good_after, bad_after) in [(0, 59, 60), (29, 30, 31)] {
        let mut desk = Desk::new();
        desk.now.steady = Duration::from_secs(3_000 + begins);
        let (own, ticket) = (address(1, Side::Sender), desk.ticket(1, Side::Sender));
        let cookie = desk.cookie(own, session(1));
        let bind = ToRelay::Bind { nonce: NONCE, cookie, ticket };
        desk.wait(Duration::from_secs(bad_after));
        assert_eq!(desk.ask(own, bind), Action::Drop(DropReason::BadCookie), "made at {begins}");
        desk.now.steady = Duration::from_secs(3_000 + begins + good_after);
        assert!(matches!(answered(&desk.ask(own, bind)), FromRelay::Bound { .. }), "made at {begins}");
    }
}

#[test]
fn a_relay_with_another_secret_does_not_take_the_cookie() {
    let (mut desk, mut other) = (Desk::new(), Desk::with(|settings| settings.cookie_secret = [8; 32]));
    let (own, ticket) = (address(1, Side::Sender), desk.ticket(1, Side::Sender));
    let cookie = other.cookie(own, session(1));
    let bind = ToRelay::Bind { nonce: NONCE, cookie, ticket };
    assert_eq!(desk.ask(own, bind), Action::Drop(DropReason::BadCookie));
}

#[test]
fn a_ticket_that_another_program_signed_is_taken() {
    // By Python's `cryptography`, with the key from 32 bytes of 7.
    let signature = "3469b61c9bb2f2df208d216c824c0c30fed9c3a9b5a18592e0833bd713d4e811\
                     c6b7e2348dea4614ed56efbd39eb06dbd9e7858d42eb8d8713abe9ecce21b401";
    let signature: [u8; 64] = HEXLOWER.decode(signature.as_bytes()).unwrap().try_into().unwrap();
    let (relay, user, expires) = (RelayId(uuid(3)), UserId(uuid(2)), UnixMillis(1_795_340_412_345));
    let ticket = Ticket { relay, session: session(1), user, expires, side: Side::Receiver };
    let mut desk = Desk::new();
    let done = desk.bind(address(1, Side::Receiver), ticket.signed(signature));
    assert!(matches!(answered(&done), FromRelay::Bound { lasts_ms: 412_345, peer: false, .. }), "{done:?}");
    assert_eq!(desk.sign(ticket), ticket.signed(signature), "Ed25519 has one signature of a message");
}

#[test]
fn a_ticket_must_be_the_servers_for_this_relay_and_not_over() {
    let mut desk = Desk::new();
    let own = address(1, Side::Sender);
    let good = desk.unsigned(1, Side::Sender);

    let foreign = sign(&key(8), good);
    assert_eq!(refused(&desk.bind(own, foreign)), RelayRefusal::BadSignature);
    let signature = desk.sign(good).signature;
    let changes: [fn(&mut Ticket); 4] = [
        |ticket| ticket.session = session(2),
        |ticket| ticket.user = UserId(uuid(99)),
        |ticket| ticket.side = Side::Receiver,
        |ticket| ticket.expires = ticket.expires.plus(HOUR),
    ];
    for change in changes {
        let mut changed = good;
        change(&mut changed);
        assert_eq!(refused(&desk.bind(own, changed.signed(signature))), RelayRefusal::BadSignature, "{changed:?}");
    }
    let elsewhere = desk.sign(Ticket { relay: RelayId(uuid(4)), ..good });
    assert_eq!(refused(&desk.bind(own, elsewhere)), RelayRefusal::OtherRelay);
    let over = desk.sign(Ticket { expires: desk.now.unix, ..good });
    assert_eq!(refused(&desk.bind(own, over)), RelayRefusal::Expired);

    assert_eq!((desk.relay.sessions(), desk.relay.addresses(), desk.relay.counters().refused), (0, 0, 7));
    assert!(matches!(answered(&desk.bind(own, desk.sign(good))), FromRelay::Bound { .. }));
}

#[test]
fn an_address_that_is_not_bound_gets_nothing() {
    let mut desk = Desk::new();
    let [_, receiver] = desk.bind_both(1);
    let stranger = SocketAddr::from(([198, 51, 100, 9], 9));
    assert_eq!(desk.send(stranger, &PACKET), Action::Drop(DropReason::Unknown));
    assert_eq!(desk.keepalive(stranger, 1), Action::Drop(DropReason::Unknown));
    assert_eq!(desk.ask(stranger, ToRelay::Unbind { session: session(1) }), Action::Drop(DropReason::Unknown));
    // Nor does one that is bound, for a session that is not its own.
    assert_eq!(desk.keepalive(receiver, 2), Action::Drop(DropReason::OtherSession));
    assert_eq!(desk.ask(receiver, ToRelay::Unbind { session: session(2) }), Action::Drop(DropReason::OtherSession));
    assert_eq!(desk.relay.counters().dropped(DropReason::Unknown), 3);
    assert_eq!(desk.relay.addresses(), 2);
}

#[test]
fn a_flood_of_hellos_is_not_remembered_and_not_made_larger() {
    let mut desk = Desk::new();
    for number in 0..100_000_u32 {
        let from = SocketAddr::from((number.to_be_bytes(), 1_000));
        let hello = ToRelay::Hello { session: session(number.into()), nonce: NONCE }.encode();
        let Action::Answer { answer, notice: None } = desk.send(from, &hello) else { panic!("a Hello has one answer") };
        assert!(answer.len() <= hello.len());
    }
    assert_eq!((desk.relay.sessions(), desk.relay.addresses()), (0, 0));
}

#[test]
fn anybody_is_told_how_it_looks_and_nothing_is_remembered_or_made_larger() {
    let mut desk = Desk::new();
    let [sender, _] = desk.bind_both(1);
    let observe = ToRelay::Observe { nonce: NONCE }.encode();
    for from in [sender, SocketAddr::from(([198, 51, 100, 9], 9)), "[2001:db8::7]:40000".parse().unwrap()] {
        let Action::Answer { answer, notice: None } = desk.send(from, &observe) else { panic!("it has one answer") };
        assert_eq!(FromRelay::read(&answer), Ok(FromRelay::Observed { nonce: NONCE, observed: from }));
        assert!(answer.len() <= observe.len());
    }
    assert_eq!((desk.relay.sessions(), desk.relay.addresses()), (1, 2));
    // It is no keepalive: who sends nothing else is cleared away.
    for _ in 0..7 {
        desk.wait(IDLE / 6);
        desk.send(sender, &observe);
    }
    desk.relay.sweep(desk.now);
    assert_eq!(desk.relay.addresses(), 0);
}

#[test]
fn forged_tickets_take_a_bounded_time() {
    let mut desk = Desk::new();
    let own = address(1, Side::Sender);
    let good = desk.unsigned(1, Side::Sender);
    let forged = good.signed([1; 64]);
    for _ in 0..MAX_VERIFICATIONS_PER_SECOND {
        assert_eq!(refused(&desk.bind(own, forged)), RelayRefusal::BadSignature);
    }
    let signed: SignedTicket = desk.sign(good);
    assert_eq!(desk.bind(own, signed), Action::Drop(DropReason::Busy));
    desk.wait(Duration::from_secs(1));
    assert!(matches!(answered(&desk.bind(own, signed)), FromRelay::Bound { .. }));
}
