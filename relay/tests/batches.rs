//! Datagrams that came together, as a kernel hands them over.

use crate::desk::{Desk, NONCE, answered, session};
use hypersend_protocol::relay::{FromRelay, ToRelay};
use hypersend_relay::{Action, Door, DropReason};
use std::{net::SocketAddr, ops::Range};

/// What becomes of each part.
fn batch(desk: &mut Desk, from: SocketAddr, bytes: &[u8], segment: usize) -> Vec<(Range<usize>, Action)> {
    let mut parts = Vec::new();
    desk.relay.batch(desk.now, Door::FIRST, from, bytes, segment, |part, action| parts.push((part, action)));
    parts
}

#[test]
fn packets_that_came_together_go_on_together() {
    let mut desk = Desk::new();
    let [from, to] = desk.bind_both(1);
    // Forty whole segments, and a shorter one.
    let bytes = vec![0x40; 40 * 1_200 + 7];
    assert_eq!(batch(&mut desk, from, &bytes, 1_200), [(0..bytes.len(), Action::Forward { to, by: Door::FIRST })]);
    assert_eq!(desk.relay.counters().forwarded, 41);
    assert_eq!(desk.relay.forwarded(session(1)), Some([bytes.len() as u64, 0]));
}

#[test]
fn a_question_among_packets_is_answered_and_is_not_passed_on() {
    let mut desk = Desk::new();
    let [from, to] = desk.bind_both(1);
    let question = ToRelay::Keepalive { session: session(1), nonce: NONCE }.encode();
    let length = question.len();
    let bytes = [&[0x40; 62][..], &question, &[0x40; 31], &[0; 31], &[0xc0; 20]].concat();
    let parts = batch(&mut desk, from, &bytes, length);
    let ranges: Vec<_> = parts.iter().map(|(part, _)| part.clone()).collect();
    assert_eq!(ranges, [0..62, 62..93, 93..124, 124..155, 155..175]);
    assert_eq!(parts[0].1, Action::Forward { to, by: Door::FIRST });
    assert!(matches!(answered(&parts[1].1), FromRelay::Alive { .. }));
    assert_eq!(parts[2].1, Action::Forward { to, by: Door::FIRST });
    assert_eq!(parts[3].1, Action::Drop(DropReason::Foreign));
    assert_eq!(parts[4].1, Action::Forward { to, by: Door::FIRST });
    assert_eq!((desk.relay.counters().forwarded, desk.relay.counters().dropped(DropReason::Foreign)), (4, 1));
}

#[test]
fn of_packets_that_are_more_than_the_share_the_first_go_on() {
    let mut desk = Desk::with(|settings| settings.capacity = Some(1_000));
    let [from, to] = desk.bind_both(1);
    let bytes = vec![0x40; 50 * 1_200];
    assert_eq!(batch(&mut desk, from, &bytes, 1_200), [(0..60_000, Action::Forward { to, by: Door::FIRST })]);
    let rest =
        [(0..4_800, Action::Forward { to, by: Door::FIRST }), (4_800..60_000, Action::Drop(DropReason::OverShare))];
    assert_eq!(batch(&mut desk, from, &bytes, 1_200), rest);
    assert_eq!(batch(&mut desk, from, &bytes, 1_200), [(0..60_000, Action::Drop(DropReason::OverShare))]);
    let counters = desk.relay.counters();
    assert_eq!((counters.forwarded, counters.dropped(DropReason::OverShare)), (54, 96));
}

#[test]
fn whatever_its_shape_each_byte_of_a_batch_has_one_fate() {
    let mut desk = Desk::new();
    let [from, _] = desk.bind_both(1);
    let bytes: Vec<u8> = (0..=255).collect();
    for length in 0..bytes.len() {
        for segment in [0, 1, 3, 100, 255, 1_000] {
            let parts = batch(&mut desk, from, &bytes[..length], segment);
            let mut at = 0;
            for (part, _) in &parts {
                assert_eq!(part.start, at);
                at = part.end;
            }
            assert_eq!(at, length);
        }
    }
    assert_eq!(batch(&mut desk, from, &[], 0), [(0..0, Action::Drop(DropReason::Foreign))]);
}
