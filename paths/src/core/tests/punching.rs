//! Which pairs of NATs find which way, and how soon.

use super::{
    nat::Kind::{self, Blocked, Dependent, Independent, Open},
    net::Net,
};
use hypersend_protocol::paths::{CandidateKind, Mapping};
use std::time::Duration;

const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn every_pair_that_does_not_need_luck_is_direct_within_a_second() {
    let kinds: [Kind; 3] = [Open, Independent, Dependent];
    for sender in kinds {
        for receiver in kinds {
            if matches!((sender, receiver), (Dependent, Dependent | Independent) | (Independent, Dependent)) {
                continue;
            }
            let mut net = Net::new(1, [sender, receiver]);
            let at = net.until(Duration::from_secs(1), Net::has_direct);
            assert!(at.is_some(), "{sender:?} to {receiver:?}: no direct way in a second");
            assert!(net.until(Duration::from_secs(2), Net::has_relayed).is_some(), "no relayed way beside it");
        }
    }
}

#[test]
fn the_relay_is_there_at_once_whatever_the_nats() {
    for kinds in [[Independent, Dependent], [Dependent, Dependent], [Dependent, Independent]] {
        let mut net = Net::new(2, kinds);
        let at = net.until(MINUTE, Net::has_relayed).expect("a relayed way");
        assert!(at < Duration::from_millis(400), "{at:?}");
    }
}

#[test]
fn a_relay_is_not_needed_where_a_side_is_open() {
    let mut net = Net::new(3, [Dependent, Open]).without_relay();
    assert!(net.until(Duration::from_secs(1), Net::has_direct).is_some());
}

#[test]
fn one_sided_ports_are_guessed() {
    for (seed, kinds) in [(1, [Independent, Dependent]), (2, [Dependent, Independent]), (3, [Independent, Dependent])] {
        let mut net = Net::new(seed, kinds);
        let at = net.until(MINUTE, Net::has_direct).expect("a direct way by guessing");
        assert!(at > Duration::from_secs(2) && at < Duration::from_secs(40), "{at:?}");
        // The round's sockets are closed, but for the one that is used.
        net.pass(Duration::from_secs(10));
        assert!(net.has_direct() && net.ends.iter().all(|end| end.downs.is_empty()), "{kinds:?}");
        let opener = net.ends.iter().find(|end| end.nat.kind == Dependent).unwrap();
        assert!(opener.open.is_empty() && opener.kept.len() == 1 && opener.most_open == 256, "{:?}", opener.kept);
    }
}

#[test]
fn most_guesses_hit_in_the_first_round() {
    let hits = (0..30).filter(|&seed| {
        let mut net = Net::new(100 + seed, [Independent, Dependent]);
        net.until(Duration::from_secs(9), Net::has_direct).is_some()
    });
    assert!(hits.count() >= 27);
}

#[test]
fn guessing_ends_where_it_is_of_no_use() {
    let mut net = Net::new(4, [Dependent, Dependent]);
    net.pass(MINUTE);
    assert!(!net.has_direct() && net.has_relayed());
    assert!(net.ends.iter().all(|end| end.most_open == 0));
    let mut net = Net::new(5, [Independent, Dependent]);
    // Nothing passes between the two: three rounds, and no more.
    net.cut = Some([net.ends[0].nat.outside, net.ends[1].nat.outside]);
    net.pass(MINUTE * 3);
    let report = net.ends[0].core.report();
    assert_eq!((report.own.guessing, report.peer.unwrap().guessing), (3, 3));
    assert!(net.ends.iter().all(|end| end.open.is_empty() && end.kept.is_empty()));
}

#[test]
fn the_kinds_of_nats_are_found_out() {
    for (kind, mapping) in [
        (Open, Mapping::Independent),
        (Independent, Mapping::Independent),
        (Dependent, Mapping::Dependent),
        (Blocked, Mapping::Blocked),
    ] {
        let mut net = Net::new(6, [kind, Open]);
        net.pass(Duration::from_secs(10));
        assert_eq!(net.ends[0].core.report().own.mapping, mapping, "{kind:?}");
    }
}

/// It gives the socket another port, and its answers to one and to the other are not to be taken for those of a NAT that always does.
#[test]
fn a_nat_that_has_forgotten_is_still_of_its_kind() {
    for seed in 0..5 {
        let mut net = Net::new(seed, [Independent, Open]);
        net.pass(Duration::from_secs(10));
        let observed = |net: &Net| net.ends[0].core.report().own.observed;
        let before = observed(&net);
        net.ends[0].nat.forget();
        let is_seen = |net: &Net| !observed(net).is_empty() && observed(net).iter().all(|seen| !before.contains(seen));
        net.until(Duration::from_secs(15), is_seen).expect("the new port is seen by all, and by nobody the old one");
        net.pass(Duration::from_secs(2));
        assert_eq!(net.ends[0].core.report().own.mapping, Mapping::Independent);
    }
}

#[test]
fn a_port_from_a_router_makes_the_hardest_pair_direct() {
    for end in 0..2 {
        let mut net = Net::new(6, [Dependent, Dependent]);
        net.pass(MINUTE);
        assert!(!net.has_direct());
        net.map(end, Some(40_000));
        let direct = net.until(Duration::from_secs(1), Net::has_direct);
        assert!(direct.is_some(), "with a port of side {end} there is no direct way in a second");
        assert!(net.ends.iter().all(|end| end.most_open == 0), "it was found by guessing");
    }
}

#[test]
fn the_other_side_knows_of_a_port_for_as_long_as_it_is_there() {
    let mut net = Net::new(7, [Dependent, Dependent]);
    let named = |net: &Net| {
        let peer = net.ends[1].core.peer()?;
        let mapped = peer.candidates.iter().find(|candidate| candidate.kind == CandidateKind::Mapped);
        Some((peer.version, mapped.map(|mapped| mapped.address.port())))
    };
    let mut last = None;
    for port in [None, Some(40_000), Some(40_001), None] {
        net.map(0, port);
        // Twice is as good as once.
        net.map(0, port);
        let is_known = |net: &Net| named(net).is_some_and(|(_, named)| named == port);
        assert!(net.until(Duration::from_secs(1), is_known).is_some(), "{port:?}");
        let version = named(&net).map(|(version, _)| version);
        assert!(version > last, "{port:?}");
        last = version;
    }
}
