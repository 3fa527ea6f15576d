//! Losses, restarts, dead paths.

use super::{
    nat::Kind::{Dependent, Independent, Open},
    net::Net,
};
use crate::{core::Notice, event::Why};
use std::{env, time::Duration};

const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn losses_cost_time_and_nothing_else() {
    for seed in 0..20 {
        let mut net = Net::new(seed, [Independent, Independent]);
        (net.loss, net.state_loss) = (300, 500);
        assert!(net.until(MINUTE, |net| net.has_direct() && net.has_relayed()).is_some());
    }
}

#[test]
fn a_path_in_use_outlives_losses() {
    let mut net = Net::new(1, [Independent, Independent]);
    net.until(MINUTE, Net::has_direct).expect("a direct way");
    net.loss = 200;
    net.pass(MINUTE * 5);
    assert!(net.ends.iter().all(|end| end.downs.is_empty()), "{:?}", net.ends.map(|end| end.downs));
}

#[test]
fn a_dead_path_is_noticed_within_three_seconds_and_found_again() {
    for seed in 0..5 {
        let mut net = Net::new(seed, [Independent, Independent]);
        net.until(MINUTE, |net| net.has_direct() && net.has_relayed()).expect("both ways");
        net.cut = Some([net.ends[0].nat.outside, net.ends[1].nat.outside]);
        let cut = net.now;
        net.pass(Duration::from_secs(3));
        for end in &net.ends {
            let &[(at, why)] = end.downs.as_slice() else { panic!("{:?}", end.downs) };
            assert_eq!(why, Why::Silent);
            assert!(at <= cut + Duration::from_secs(3), "cut at {cut:?}, noticed at {at:?}");
        }
        assert!(net.has_relayed());
        net.pass(MINUTE);
        net.cut = None;
        assert!(net.until(Duration::from_secs(30), Net::has_direct).is_some(), "no direct way again");
    }
}

#[test]
fn nats_that_forget_cost_six_seconds() {
    for seed in 0..20 {
        let mut net = Net::new(seed, [Independent, Independent]);
        net.until(MINUTE, |net| net.has_direct() && net.has_relayed()).expect("both ways");
        net.pass(Duration::from_secs(10));
        net.ends.iter_mut().for_each(|end| end.nat.forget());
        let forgotten = net.now;
        net.until(MINUTE, |net| !net.has_direct()).expect("the direct way is gone");
        let again = net.until(MINUTE, |net| net.has_direct() && net.has_relayed()).expect("both ways again");
        assert!(again < forgotten + Duration::from_secs(6), "seed {seed}: {:?}", again.saturating_sub(forgotten));
    }
}

#[test]
fn whoever_begins_anew_is_found_anew() {
    for end in 0..2 {
        let mut net = Net::new(7, [Independent, Open]);
        net.until(MINUTE, |net| net.has_direct() && net.has_relayed()).expect("both ways");
        for _ in 0..3 {
            net.pass(Duration::from_secs(2));
            net.restart(end);
            let stays = 1 - end;
            let notices = net.ends[stays].notices.len();
            net.until(MINUTE, |net| net.ends[stays].notices.len() > notices).expect("the restart is heard of");
            assert_eq!(net.ends[stays].notices.last(), Some(&Notice::PeerChanged));
            net.until(MINUTE, |net| net.has_direct() && net.has_relayed()).expect("both ways again");
        }
    }
}

#[test]
fn quiet_sides_say_little() {
    let mut net = Net::new(8, [Independent, Independent]);
    net.until(MINUTE, |net| net.has_direct() && net.has_relayed()).expect("both ways");
    net.pass(Duration::from_secs(10));
    let versions = |net: &Net| [0, 1].map(|end: usize| net.ends[end].core.peer().unwrap().version);
    let before = versions(&net);
    net.pass(MINUTE * 10);
    assert_eq!(versions(&net), before, "states went on changing");
}

#[test]
fn a_socket_that_is_cut_off_is_given_up_for_another() {
    let mut net = Net::new(9, [Independent, Independent]);
    net.until(MINUTE, |net| net.has_direct() && net.has_relayed()).expect("both ways");
    net.ends[1].nat.is_broken = true;
    net.until(MINUTE, |net| !net.has_direct() && !net.has_relayed()).expect("both ways are gone");
    net.until(MINUTE, |net| net.has_direct() && net.has_relayed()).expect("both ways again");
}

/// Two minutes of losses, cuts, restarts; then a minute of calm, after which all is as it is to be.
#[test]
fn any_history_ends_well() {
    let seed = env::var("HYPERSEND_SEED").ok().and_then(|seed| seed.parse().ok());
    let first: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()));
    let runs = if seed.is_some() { 1 } else { 15 };
    for seed in first..first + runs {
        let kinds = [[Independent, Independent], [Independent, Open], [Dependent, Open]][(seed % 3) as usize];
        let mut net = Net::new(seed, kinds);
        let machines = net.ends.each_ref().map(|end| end.nat.outside);
        for _ in 0..30 {
            match net.random() % 8 {
                0 => net.restart(0),
                1 => net.restart(1),
                2 => net.cut = Some(machines),
                3 => net.cut = Some([machines[(net.random() % 2) as usize], "198.51.100.1".parse().unwrap()]),
                4 => (net.loss, net.state_loss) = (net.random() % 600, net.random() % 800),
                5 => net.forget_register(),
                _ => net.cut = None,
            }
            let time = net.random() % 8_000;
            net.pass(Duration::from_millis(time));
        }
        (net.loss, net.state_loss, net.cut) = (0, 0, None);
        let calm = net.until(MINUTE, |net| net.has_direct() && net.has_relayed());
        assert!(calm.is_some(), "HYPERSEND_SEED={seed}: {:?}", net.ends.map(|end| end.core.report()));
        // What one side has given up and the other has not noticed takes until its timeout.
        net.pass(Duration::from_secs(15));
        for end in &mut net.ends {
            end.downs.clear();
        }
        net.pass(MINUTE);
        assert!(net.ends.iter().all(|end| end.paths.len() <= 3), "HYPERSEND_SEED={seed}: paths pile up");
        assert!(net.ends.iter().all(|end| end.downs.is_empty()), "HYPERSEND_SEED={seed}: paths go in calm");
    }
}

#[test]
fn whoever_hears_late_that_the_other_is_at_the_relay_asks() {
    for seed in 0..20 {
        // Nothing but the relay, and what it says of the other side is often lost.
        let mut net = Net::new(seed, [Dependent, Dependent]);
        net.loss = 200;
        let at = net.until(MINUTE, Net::has_relayed).expect("a relayed way");
        assert!(at < Duration::from_secs(5), "seed {seed}: {at:?}");
    }
}
