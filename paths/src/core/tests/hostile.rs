//! What the other side cannot have this one do.

use super::{
    nat::Kind::{Independent, Open},
    net::Net,
};
use hypersend_protocol::paths::{Candidate, CandidateKind, Incarnation, Mapping};
use std::{net::SocketAddr, time::Duration};

#[test]
fn third_parties_get_a_trickle() {
    let mut net = Net::new(1, [Independent, Open]).without_relay();
    net.until(Duration::from_secs(5), |net| net.ends[0].core.peer().is_some()).expect("the other side is heard of");
    net.cut = Some([net.ends[0].nat.outside, net.ends[1].nat.outside]);
    let mut forged = net.ends[0].core.peer().unwrap().clone();
    forged.version += 1_000;
    // Sixteen new victims in each of a thousand states, for 100 s.
    for round in 0..1_000_u32 {
        let victim = |nth: u32| SocketAddr::from(((0x2d00_0000 + round * 16 + nth).to_be_bytes(), 53));
        forged.candidates =
            (0..16).map(|nth| Candidate { address: victim(nth), kind: CandidateKind::Observed }).collect();
        forged.version += 1;
        net.forge(0, &forged);
        net.pass(Duration::from_millis(100));
    }
    let (victims, datagrams) = (net.strays.len(), net.strays.values().sum::<usize>());
    assert!(victims > 16, "the attack was no attack");
    assert!(victims <= 120, "{victims} addresses were aimed at");
    assert!(datagrams <= 11_000, "{datagrams} datagrams in 100 s");
}

#[test]
fn one_victim_gets_what_a_slow_search_sends() {
    let mut net = Net::new(2, [Independent, Open]).without_relay();
    net.until(Duration::from_secs(5), |net| net.ends[0].core.peer().is_some()).expect("the other side is heard of");
    net.cut = Some([net.ends[0].nat.outside, net.ends[1].nat.outside]);
    let mut forged = net.ends[0].core.peer().unwrap().clone();
    let address = "45.0.0.1:53".parse().unwrap();
    forged.candidates = vec![Candidate { address, kind: CandidateKind::Host }];
    // Above whatever the true one still says.
    forged.version += 1_000;
    net.forge(0, &forged);
    net.pass(Duration::from_mins(10));
    let sent = net.strays[&address];
    assert!((40..150).contains(&sent), "{sent} datagrams in 10 minutes");
}

#[test]
fn a_third_partys_ports_are_not_tried_for_ever() {
    let mut net = Net::new(4, [Independent, Open]);
    net.until(Duration::from_secs(5), |net| net.ends[0].core.report().own.mapping == Mapping::Independent).unwrap();
    net.cut = Some([net.ends[0].nat.outside, net.ends[1].nat.outside]);
    let mut forged = net.ends[0].core.peer().unwrap().clone();
    let address = "45.0.0.1:53".parse().unwrap();
    forged.candidates = vec![Candidate { address, kind: CandidateKind::Observed }];
    (forged.mapping, forged.version) = (Mapping::Dependent, 1_000);
    // It begins anew again and again, and names rounds as fast as it may.
    for run in 0..40 {
        forged.incarnation = Incarnation(run);
        for _ in 0..20 {
            forged.version += 1;
            forged.guessing = net.ends[0].core.report().own.guessing;
            net.forge(0, &forged);
            net.pass(Duration::from_millis(500));
        }
    }
    let datagrams: usize = net.strays.iter().filter(|(at, _)| at.ip() == address.ip()).map(|(_, sent)| sent).sum();
    assert!(datagrams > 1_000, "the attack was no attack");
    assert!(datagrams <= 12 * 1_024 + 4_000, "{datagrams} datagrams");
}

#[test]
fn probes_that_are_sent_again_in_the_name_of_others_are_answered_by_a_trickle() {
    let mut net = Net::new(5, [Open, Open]).without_relay();
    net.until(Duration::from_secs(5), Net::has_direct).expect("a direct way");
    net.pass(Duration::from_secs(10));
    // A thousand in a second, for 10 s.
    for _ in 0..2_000 {
        for nth in 0..5_u32 {
            net.replay_ping(0, SocketAddr::from(((0x2d00_0000 + nth).to_be_bytes(), 53)));
        }
        net.pass(Duration::from_millis(5));
    }
    let answers: usize = net.strays.values().sum();
    assert!(answers > 500, "the attack was no attack");
    assert!(answers <= 64 + 1_000 + 200, "{answers} datagrams in 10 s");
    assert!(net.has_direct() && net.ends.iter().all(|end| end.downs.is_empty()));
}

#[test]
fn nonsense_in_the_register_changes_nothing() {
    let mut net = Net::new(3, [Open, Open]);
    net.until(Duration::from_secs(5), Net::has_direct).expect("a direct way");
    let now = net.now;
    for nonsense in [&b""[..], b"\x01", b"\x02\xa0", b"\x01\xa0", &[0xff; 5_000]] {
        net.ends[0].core.heard(now, nonsense);
    }
    net.pass(Duration::from_secs(10));
    assert!(net.has_direct() && net.ends[0].notices.len() == 1);
}
