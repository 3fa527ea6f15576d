//! Who is where: two sides, NATs that rebind, ends, limits.

use crate::desk::{Desk, HOUR, NONCE, PACKET, address, answered, session};
use hypersend_protocol::{
    relay::{
        FromRelay, RelayRefusal, ToRelay,
        ticket::{Side, Ticket},
    },
    time::UnixMillis,
};
use hypersend_relay::{
    Action, Door, DropReason, Ended, Notice,
    settings::{IDLE, KEEPALIVE},
};
use std::{net::SocketAddr, time::Duration};

fn is_bound(action: &Action) -> bool {
    matches!(answered(action), FromRelay::Bound { .. })
}

fn refused(action: &Action) -> Option<RelayRefusal> {
    match answered(action) {
        FromRelay::Refused { reason, .. } => Some(reason),
        _ => None,
    }
}

fn notice(action: &Action) -> Option<Notice> {
    match action {
        Action::Answer { notice, .. } => notice.clone(),
        _ => None,
    }
}

/// Where a client is whose NAT has given it another port.
fn moved(from: SocketAddr) -> SocketAddr {
    SocketAddr::new(from.ip(), from.port() + 20_000)
}

#[test]
fn each_side_is_sent_everything_by_the_door_at_which_it_bound() {
    let mut desk = Desk::new();
    let [sender, receiver] = [Side::Sender, Side::Receiver].map(|side| address(1, side));
    desk.bind(receiver, desk.ticket(1, Side::Receiver));
    // The other side knocks at another door, with a cookie from there.
    let (elsewhere, ticket) = (Door(1), desk.ticket(1, Side::Sender));
    let cookie = desk.cookie(sender, session(1));
    let bind = ToRelay::Bind { nonce: NONCE, cookie, ticket }.encode();
    let done = desk.relay.datagram(desk.now, elsewhere, sender, &bind);
    assert!(matches!(answered(&done), FromRelay::Bound { peer: true, .. }));
    let notice = notice(&done).unwrap();
    assert_eq!((notice.to, notice.by), (receiver, Door::FIRST));
    // Whichever door something comes to.
    for by in [Door::FIRST, elsewhere] {
        let forward = |to, by| Action::Forward { to, by };
        assert_eq!(desk.relay.datagram(desk.now, by, sender, &PACKET), forward(receiver, Door::FIRST));
        assert_eq!(desk.relay.datagram(desk.now, by, receiver, &PACKET), forward(sender, elsewhere));
    }
    // Only a Bind moves it.
    let keepalive = ToRelay::Keepalive { session: session(1), nonce: NONCE }.encode();
    desk.relay.datagram(desk.now, Door::FIRST, sender, &keepalive);
    assert_eq!(desk.send(receiver, &PACKET), Action::Forward { to: sender, by: elsewhere });
    desk.bind(sender, desk.ticket(1, Side::Sender));
    assert_eq!(desk.send(receiver, &PACKET), Action::Forward { to: sender, by: Door::FIRST });
}

#[test]
fn a_relay_forwards_only_between_the_two_of_a_session() {
    let mut desk = Desk::new();
    let first = desk.bind_both(1);
    let second = desk.bind_both(2);
    for [one, other] in [first, second] {
        assert_eq!(desk.send(one, &PACKET), Action::Forward { to: other, by: Door::FIRST });
        assert_eq!(desk.send(other, &PACKET[..100]), Action::Forward { to: one, by: Door::FIRST });
    }
    assert_eq!(desk.relay.forwarded(session(1)), Some([1_200, 100]));
    assert_eq!((desk.relay.counters().forwarded, desk.relay.counters().forwarded_bytes), (4, 2_600));
}

#[test]
fn only_what_may_be_quic_is_forwarded() {
    let mut desk = Desk::new();
    let [sender, receiver] = desk.bind_both(1);
    for first in 0..=u8::MAX {
        let mut bytes = PACKET;
        bytes[0] = first;
        let forwarded = desk.send(sender, &bytes) == Action::Forward { to: receiver, by: Door::FIRST };
        assert_eq!(forwarded, first >= 0x40, "{first:#04x}");
    }
    // Above all not what would speak in the relay's name.
    let forged = FromRelay::PeerPresent { session: session(1) }.encode();
    assert_eq!(desk.send(sender, &forged), Action::Drop(DropReason::Malformed));
    assert_eq!(desk.send(sender, &[]), Action::Drop(DropReason::Foreign));
}

#[test]
fn a_client_hears_how_it_looks_from_outside_and_whether_the_other_is_there() {
    let mut desk = Desk::new();
    let [sender, receiver] = [Side::Sender, Side::Receiver].map(|side| address(1, side));
    let done = desk.bind(sender, desk.ticket(1, Side::Sender));
    let (lasts_ms, keepalive_ms) = (3_600_000, u32::try_from(KEEPALIVE.as_millis()).unwrap());
    let bound = |observed, peer| FromRelay::Bound { nonce: NONCE, observed, lasts_ms, keepalive_ms, peer };
    assert_eq!((answered(&done), notice(&done)), (bound(sender, false), None));
    assert_eq!(desk.send(sender, &PACKET), Action::Drop(DropReason::NoPeer));
    let alive = |observed, peer| FromRelay::Alive { nonce: NONCE, observed, peer };
    assert_eq!(answered(&desk.keepalive(sender, 1)), alive(sender, false));

    let done = desk.bind(receiver, desk.ticket(1, Side::Receiver));
    let told = FromRelay::PeerPresent { session: session(1) }.encode();
    assert_eq!(
        (answered(&done), notice(&done)),
        (bound(receiver, true), Some(Notice { to: sender, by: Door::FIRST, bytes: told }))
    );
    assert_eq!(answered(&desk.keepalive(sender, 1)), alive(sender, true));
    // A Bind that comes again, because its answer was lost, is no news.
    assert_eq!(notice(&desk.bind(receiver, desk.ticket(1, Side::Receiver))), None);
}

#[test]
fn the_newest_address_that_proved_itself_is_where_a_side_is() {
    let mut desk = Desk::new();
    let [sender, receiver] = desk.bind_both(1);
    let new = moved(receiver);
    assert_eq!(desk.send(new, &PACKET), Action::Drop(DropReason::Unknown), "not proved yet");
    assert_eq!(desk.send(sender, &PACKET), Action::Forward { to: receiver, by: Door::FIRST });
    let done = desk.bind(new, desk.ticket(1, Side::Receiver));
    assert_eq!(notice(&done).map(|notice| notice.to), Some(sender));
    assert_eq!(desk.send(sender, &PACKET), Action::Forward { to: new, by: Door::FIRST });
    assert_eq!(desk.send(new, &PACKET), Action::Forward { to: sender, by: Door::FIRST });
    assert_eq!(desk.send(receiver, &PACKET), Action::Drop(DropReason::Unknown));
    assert_eq!((desk.relay.sessions(), desk.relay.addresses()), (1, 2));
}

#[test]
fn an_address_that_binds_to_another_session_leaves_the_first() {
    let mut desk = Desk::new();
    let [sender, receiver] = desk.bind_both(1);
    let other = desk.bind_both(2)[1];
    assert!(is_bound(&desk.bind(sender, desk.ticket(2, Side::Sender))));
    assert_eq!(desk.send(sender, &PACKET), Action::Forward { to: other, by: Door::FIRST });
    assert_eq!(desk.send(receiver, &PACKET), Action::Drop(DropReason::NoPeer));
    // To be the other side of one's own session is to leave one's own.
    assert!(is_bound(&desk.bind(sender, desk.ticket(2, Side::Receiver))));
    assert_eq!(desk.send(sender, &PACKET), Action::Drop(DropReason::NoPeer));
    assert_eq!(desk.relay.addresses(), 2);
}

#[test]
fn a_side_ends_when_it_says_so_and_the_session_with_its_last_side() {
    let mut desk = Desk::new();
    let [sender, receiver] = desk.bind_both(1);
    desk.send(receiver, &PACKET);
    assert_eq!(desk.ask(sender, ToRelay::Unbind { session: session(1) }), Action::Taken);
    assert_eq!(desk.send(sender, &PACKET), Action::Drop(DropReason::Unknown));
    assert_eq!(desk.send(receiver, &PACKET), Action::Drop(DropReason::NoPeer));
    assert_eq!(desk.relay.sweep(desk.now), []);
    assert_eq!(desk.ask(receiver, ToRelay::Unbind { session: session(1) }), Action::Taken);
    assert_eq!(desk.relay.sweep(desk.now), [Ended { session: session(1), forwarded: [0, 1_200] }]);
    assert_eq!((desk.relay.sessions(), desk.relay.addresses()), (0, 0));
    assert_eq!(desk.relay.sweep(desk.now), []);
}

#[test]
fn a_side_that_is_silent_ends_and_one_that_keeps_alive_does_not() {
    let mut desk = Desk::new();
    let [sender, receiver] = desk.bind_both(1);
    let almost = IDLE.checked_sub(Duration::from_millis(1)).unwrap();
    desk.wait(almost);
    assert!(matches!(answered(&desk.keepalive(sender, 1)), FromRelay::Alive { peer: true, .. }));
    desk.wait(Duration::from_millis(1));
    // Over at once, swept or not. That the sender has sent it something has not kept it.
    assert_eq!(desk.send(receiver, &PACKET), Action::Drop(DropReason::Ended));
    assert_eq!(desk.send(sender, &PACKET), Action::Drop(DropReason::NoPeer));
    assert_eq!(desk.relay.sweep(desk.now), []);
    assert_eq!(desk.send(receiver, &PACKET), Action::Drop(DropReason::Unknown));
    desk.wait(IDLE);
    assert_eq!(desk.relay.sweep(desk.now), [Ended { session: session(1), forwarded: [0, 0] }]);
}

#[test]
fn a_side_ends_with_its_ticket_and_goes_on_with_a_newer_one() {
    let mut desk = Desk::new();
    let [sender, receiver] = desk.bind_both(1);
    let end = desk.now.unix.plus(HOUR);
    let before_the_end = |desk: &Desk| UnixMillis(end.0 - 1) > desk.now.unix;
    while before_the_end(&desk) {
        desk.wait(Duration::from_secs(30).min(UnixMillis(end.0 - 1).since(desk.now.unix)));
        assert_eq!(desk.send(receiver, &PACKET), Action::Forward { to: sender, by: Door::FIRST });
        assert_eq!(desk.send(sender, &PACKET), Action::Forward { to: receiver, by: Door::FIRST });
    }
    assert!(is_bound(&desk.bind(sender, desk.ticket(1, Side::Sender))));
    desk.wait(Duration::from_millis(1));
    assert_eq!(desk.send(receiver, &PACKET), Action::Drop(DropReason::Ended));
    assert_eq!(desk.send(sender, &PACKET), Action::Drop(DropReason::NoPeer));
    assert!(is_bound(&desk.bind(receiver, desk.ticket(1, Side::Receiver))));
    assert_eq!(desk.send(sender, &PACKET), Action::Forward { to: receiver, by: Door::FIRST });
}

#[test]
fn a_full_relay_refuses_a_new_session_and_takes_the_other_side_of_an_old_one() {
    let mut desk = Desk::with(|settings| settings.max_sessions = 2);
    for number in 1..=2 {
        assert!(is_bound(&desk.bind(address(number, Side::Sender), desk.ticket(number, Side::Sender))));
    }
    let third = address(3, Side::Sender);
    assert_eq!(refused(&desk.bind(third, desk.ticket(3, Side::Sender))), Some(RelayRefusal::Full));
    assert!(is_bound(&desk.bind(address(2, Side::Receiver), desk.ticket(2, Side::Receiver))));
    desk.ask(address(1, Side::Sender), ToRelay::Unbind { session: session(1) });
    desk.relay.sweep(desk.now);
    assert!(is_bound(&desk.bind(third, desk.ticket(3, Side::Sender))));
    assert_eq!(desk.relay.sessions(), 2);
}

#[test]
fn a_user_has_so_many_sides_and_no_more() {
    let mut desk = Desk::with(|settings| settings.max_sessions_of_user = 2);
    let user = desk.unsigned(1, Side::Sender).user;
    let of_user = |desk: &Desk, number| desk.sign(Ticket { user, ..desk.unsigned(number, Side::Sender) });
    for number in 1..=2 {
        assert!(is_bound(&desk.bind(address(number, Side::Sender), of_user(&desk, number))));
    }
    let third = address(3, Side::Sender);
    assert_eq!(refused(&desk.bind(third, of_user(&desk, 3))), Some(RelayRefusal::TooManyOfUser));
    assert_eq!(desk.relay.sessions(), 2, "a refused Bind begins no session");
    // Others are not concerned, and what takes the place of one's own is no third.
    assert!(is_bound(&desk.bind(address(4, Side::Sender), desk.ticket(4, Side::Sender))));
    let new = moved(address(1, Side::Sender));
    assert!(is_bound(&desk.bind(new, of_user(&desk, 1))));
    assert!(is_bound(&desk.bind(new, of_user(&desk, 1))));
    assert!(is_bound(&desk.bind(new, of_user(&desk, 3))));
    // Both are counted: session 2 and now session 3.
    assert_eq!(refused(&desk.bind(address(1, Side::Sender), of_user(&desk, 1))), Some(RelayRefusal::TooManyOfUser));
    desk.ask(new, ToRelay::Unbind { session: session(3) });
    assert!(is_bound(&desk.bind(address(1, Side::Sender), of_user(&desk, 1))));
}

#[test]
fn a_relay_that_leaves_takes_nobody_new_and_lets_who_is_there_move_and_come_back() {
    let mut desk = Desk::new();
    let [sender, receiver] = desk.bind_both(1);
    let alone = desk.bind(address(2, Side::Sender), desk.ticket(2, Side::Sender));
    assert!(is_bound(&alone));
    desk.relay.leave();
    assert_eq!(desk.send(sender, &PACKET), Action::Forward { to: receiver, by: Door::FIRST });
    assert!(is_bound(&desk.bind(moved(sender), desk.ticket(1, Side::Sender))));
    assert_eq!(desk.send(receiver, &PACKET), Action::Forward { to: moved(sender), by: Door::FIRST });
    for (number, side) in [(2, Side::Receiver), (3, Side::Sender)] {
        let done = desk.bind(address(number, side), desk.ticket(number, side));
        assert_eq!(refused(&done), Some(RelayRefusal::Leaving));
    }
    // Whose time is over is new.
    desk.wait(IDLE);
    assert_eq!(refused(&desk.bind(sender, desk.ticket(1, Side::Sender))), Some(RelayRefusal::Leaving));
}
