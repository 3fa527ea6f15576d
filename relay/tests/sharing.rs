//! Each session that wants more than there is gets the same. All in virtual time.

use crate::desk::{Desk, session};
use hypersend_protocol::relay::ticket::Side;
use hypersend_relay::{Action, Door, DropReason};
use std::{net::SocketAddr, time::Duration};

/// What a session sends: so many bytes at a time, every so many microseconds.
#[derive(Clone, Copy)]
struct Source {
    bytes: usize,
    every_us: u64,
}

impl Source {
    fn rate(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let rate = self.bytes as f64 * 1e6 / self.every_us as f64;
        rate
    }
}

/// 20 MB/s.
const CAPACITY: u32 = 20_000_000;

/// Lets the sources send through a relay of 20 MB/s, and says what came of each per second of the last ones.
fn run(sources: &[Source], warm_up: u32, seconds: u32) -> Vec<f64> {
    let mut desk = Desk::with(|settings| settings.capacity = Some(CAPACITY.into()));
    let places: Vec<[SocketAddr; 2]> =
        (0..sources.len()).map(|number| desk.bind_both(u16::try_from(number).unwrap())).collect();
    let forwarded = |desk: &Desk| -> Vec<f64> {
        let of = |number| desk.relay.forwarded(session(number as u128)).unwrap();
        #[expect(clippy::cast_precision_loss, reason = "a few hundred MB")]
        (0..sources.len()).map(|number| of(number)[0] as f64).collect()
    };
    let bytes = vec![0x40; 65_507];
    let mut before = forwarded(&desk);
    let step_us = sources.iter().fold(1_000_000, |step, source| common_divisor(step, source.every_us));
    for us in (0..u64::from(warm_up + seconds) * 1_000_000).step_by(usize::try_from(step_us).unwrap()) {
        if us == u64::from(warm_up) * 1_000_000 {
            before = forwarded(&desk);
        }
        for (source, [from, to]) in sources.iter().zip(&places) {
            if us % source.every_us == 0 {
                let done = desk.send(*from, &bytes[..source.bytes]);
                assert!(
                    done == Action::Forward { to: *to, by: Door::FIRST } || done == Action::Drop(DropReason::OverShare)
                );
            }
        }
        desk.wait(Duration::from_micros(step_us));
    }
    forwarded(&desk).iter().zip(before).map(|(after, before)| (after - before) / f64::from(seconds)).collect()
}

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// Jain, Chiu and Hawe, 1984: 1 when all get the same, 1/n when one gets all.
fn jain(rates: &[f64]) -> f64 {
    let sum: f64 = rates.iter().sum();
    let squares: f64 = rates.iter().map(|rate| rate * rate).sum();
    sum * sum / (f64::from(u32::try_from(rates.len()).unwrap()) * squares)
}

#[test]
fn eight_greedy_sessions_get_the_same_however_greedy_they_are() {
    // From 1.3 to 20 times the equal share of 2.5 MB/s, in small and in large datagrams.
    let every_us = [360, 300, 240, 180, 120, 96, 60, 24];
    let mut sources: Vec<_> = every_us.map(|every_us| Source { bytes: 1_200, every_us }).to_vec();
    sources[0] = Source { bytes: 65_507, every_us: 19_000 };
    sources[1] = Source { bytes: 100, every_us: 30 };
    assert!(sources.iter().all(|source| source.rate() > 1.3 * f64::from(CAPACITY) / 8.0));
    let rates = run(&sources, 1, 4);
    assert!(jain(&rates) >= 0.95, "Jain's index {} of {rates:?}", jain(&rates));
    assert!(rates.iter().all(|rate| *rate >= 0.9 * f64::from(CAPACITY) / 8.0), "{rates:?}");
    let all = rates.iter().sum::<f64>() / f64::from(CAPACITY);
    assert!((0.97..=1.03).contains(&all), "{all} of the capacity was used");
}

#[test]
fn who_wants_less_than_a_share_gets_all_of_it_and_the_others_get_the_rest() {
    let modest = Source { bytes: 1_200, every_us: 2_400 };
    let greedy = Source { bytes: 1_200, every_us: 60 };
    let rates = run(&[modest, modest, greedy, greedy], 1, 2);
    for rate in &rates[..2] {
        assert!(*rate >= 0.999 * modest.rate(), "{rates:?}");
    }
    let rest = (f64::from(CAPACITY) - 2.0 * modest.rate()) / 2.0;
    for rate in &rates[2..] {
        assert!((0.97 * rest..=1.03 * rest).contains(rate), "{rates:?}");
    }
}

#[test]
fn one_session_alone_may_have_all() {
    let rates = run(&[Source { bytes: 1_200, every_us: 40 }], 1, 2);
    assert!(rates[0] >= 0.97 * f64::from(CAPACITY), "{rates:?}");
}

#[test]
fn many_that_want_little_leave_the_rest_to_the_one_that_wants_all() {
    let mut sources = vec![Source { bytes: 100, every_us: 5_000 }; 100];
    sources.push(Source { bytes: 1_200, every_us: 40 });
    let rates = run(&sources, 1, 2);
    let rest = f64::from(CAPACITY) - 100.0 * sources[0].rate();
    assert!(rates[100] >= 0.97 * rest, "{} of {rest}", rates[100]);
    assert!(rates[..100].iter().all(|rate| *rate >= 0.999 * sources[0].rate()), "{rates:?}");
}

#[test]
fn who_pauses_between_bursts_leaves_the_rest_to_the_others() {
    let mut sources = vec![Source { bytes: 65_507, every_us: 100_000 }; 10];
    sources.push(Source { bytes: 1_200, every_us: 40 });
    let rates = run(&sources, 1, 2);
    let rest = f64::from(CAPACITY) - 10.0 * sources[0].rate();
    assert!(rates[10] >= 0.97 * rest, "{} of {rest}", rates[10]);
    assert!(rates[..10].iter().all(|rate| *rate >= 0.999 * sources[0].rate()), "{rates:?}");
}

#[test]
fn a_session_that_comes_late_has_its_share_at_once() {
    let mut desk = Desk::with(|settings| settings.capacity = Some(CAPACITY.into()));
    let [first, _] = desk.bind_both(1);
    let [late, _] = desk.bind_both(2);
    let bytes = [0x40; 1_200];
    let send = |desk: &mut Desk, from, us: u64| {
        for _ in 0..us / 50 {
            desk.send(first, &bytes);
            if let Some(from) = from {
                desk.send(from, &bytes);
            }
            desk.wait(Duration::from_micros(50));
        }
    };
    send(&mut desk, None, 1_000_000);
    let before = desk.relay.forwarded(session(1)).unwrap()[0];
    send(&mut desk, Some(late), 200_000);
    let first = desk.relay.forwarded(session(1)).unwrap()[0] - before;
    let late = desk.relay.forwarded(session(2)).unwrap()[0];
    assert!(late.abs_diff(first) < first / 4, "{late} beside {first} in the first 200 ms");
}

#[test]
fn what_is_forwarded_in_any_time_is_bounded() {
    let mut desk = Desk::with(|settings| settings.capacity = Some(1_000_000));
    let pairs: Vec<_> = (0..4).map(|number| desk.bind_both(number)).collect();
    let bytes = [0x40; 1_200];
    for quiet in [0, 3_600_000] {
        // A long quiet time buys nothing but a tenth of a second. Keepalives would keep the sessions; here they bind anew.
        desk.wait(Duration::from_millis(quiet));
        for number in 0..4 {
            desk.bind_both(number);
        }
        let before = desk.relay.counters().forwarded_bytes;
        for _ in 0..1_000 {
            for from in pairs.iter().flatten() {
                desk.send(*from, &bytes);
            }
            desk.wait(Duration::from_millis(1));
        }
        let forwarded = desk.relay.counters().forwarded_bytes - before;
        let most = 1_000_000 + 100_000 + 4 * (64 << 10);
        assert!((950_000..=most).contains(&forwarded), "{forwarded} after a quiet time of {quiet} ms");
    }
}

#[test]
fn a_session_is_held_to_its_rate_and_takes_nothing_from_the_others() {
    let mut desk = Desk::with(|settings| settings.session_capacity = Some(1_000_000));
    let [[greedy, peer], [modest, _]] = [desk.bind_both(1), desk.bind_both(2)];
    for ms in 0..10_000 {
        // Both ways together 2.4 MB/s; and 600 kB/s.
        desk.send(greedy, &[0x40; 1_200]);
        desk.send(peer, &[0x40; 1_200]);
        if ms % 2 == 0 {
            assert!(matches!(desk.send(modest, &[0x40; 1_200]), Action::Forward { .. }));
        }
        desk.wait(Duration::from_millis(1));
    }
    let forwarded: u64 = desk.relay.forwarded(session(1)).unwrap().iter().sum();
    assert!((9_900_000..=10_000_000 + 100_000 + (64 << 10)).contains(&forwarded), "{forwarded}");
    let dropped = 20_000 - forwarded / 1_200;
    assert_eq!(desk.relay.counters().dropped(DropReason::OverCap), dropped);
}

#[test]
fn what_the_capacity_has_no_room_for_does_not_count_against_the_rate_of_a_session() {
    let mut desk = Desk::with(|settings| {
        (settings.capacity, settings.session_capacity) = (Some(1_000), Some(8_000_000));
    });
    let [from, to] = desk.bind_both(1);
    // What a session has from the start, and then, by its rate alone, 80 kB more.
    for _ in 0..54 {
        assert_eq!(desk.send(from, &[0x40; 1_200]), Action::Forward { to, by: Door::FIRST });
    }
    desk.wait(Duration::from_millis(10));
    for _ in 0..200 {
        assert_eq!(desk.send(from, &[0x40; 1_200]), Action::Drop(DropReason::OverShare));
    }
}

#[test]
fn a_relay_without_a_capacity_drops_nothing() {
    let mut desk = Desk::new();
    let [from, to] = desk.bind_both(1);
    for side in [Side::Sender, Side::Receiver] {
        let (from, to) = if side == Side::Sender { (from, to) } else { (to, from) };
        for _ in 0..10_000 {
            assert_eq!(desk.send(from, &[0x40; 1_200]), Action::Forward { to, by: Door::FIRST });
        }
    }
}
