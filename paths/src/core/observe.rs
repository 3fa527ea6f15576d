//! Questions to further addresses of relays: how does my address look from there? A second answer tells how the NAT in front
//! of this side chooses its ports.

use super::{Moment, dice::Dice};
use hypersend_protocol::{
    paths::Mapping,
    relay::{Nonce, ToRelay},
};
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

/// Time until a question is asked again.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often it is asked without an answer: a port that is blocked stays so.
const MAX_ATTEMPTS: u32 = 4;

pub(crate) struct Question {
    at: SocketAddr,
    asked: Option<(Nonce, Moment)>,
    attempts: u32,
    observed: Option<SocketAddr>,
}

impl Question {
    pub(crate) fn new(at: SocketAddr) -> Self {
        Self { at, asked: None, attempts: 0, observed: None }
    }

    pub(crate) fn at(&self) -> SocketAddr {
        self.at
    }

    /// Asks from the beginning: from another socket, or by another port of this side's NAT.
    pub(crate) fn again(&mut self) {
        *self = Self::new(self.at);
    }

    /// Who saw this side as what.
    pub(crate) fn observation(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.observed.map(|observed| (self.at, observed))
    }

    pub(crate) fn wake_at(&self) -> Option<Moment> {
        let waits = self.observed.is_none() && self.attempts < MAX_ATTEMPTS;
        waits.then(|| self.asked.map_or(Moment::ZERO, |(_, at)| at + PATIENCE))
    }

    pub(crate) fn due(&mut self, now: Moment, dice: &mut Dice) -> Option<Vec<u8>> {
        self.wake_at().filter(|&at| at <= now)?;
        let nonce = dice.nonce();
        self.asked = Some((nonce, now));
        self.attempts += 1;
        Some(ToRelay::Observe { nonce }.encode().to_vec())
    }

    pub(crate) fn answered(&mut self, from: SocketAddr, nonce: Nonce, observed: SocketAddr) {
        if from == self.at && self.asked.is_some_and(|(asked, _)| asked == nonce) {
            self.observed = Some(observed);
        }
    }
}

/// How the NAT in front of one socket chooses ports, by what has been observed: pairs of who saw it, and as what.
/// `named` are the socket's addresses on this machine's own interfaces; `all_silent` says that somebody was asked, and
/// that nobody answered.
pub fn mapping(observations: &[(SocketAddr, SocketAddr)], named: &[SocketAddr], all_silent: bool) -> Mapping {
    // Of one family at a time: IPv6 mostly has no NAT, and says nothing about the other.
    let four: Vec<_> = observations.iter().filter(|(at, _)| at.is_ipv4()).collect();
    let looked_at = if four.is_empty() { observations.iter().collect() } else { four };
    let seen: BTreeSet<SocketAddr> = looked_at.iter().map(|(_, observed)| *observed).collect();
    let by: BTreeSet<SocketAddr> = looked_at.iter().map(|(at, _)| *at).collect();
    match (seen.len(), by.len()) {
        (0, _) if all_silent => Mapping::Blocked,
        // One view says nothing, unless there is no NAT.
        (1, 1) if seen.iter().all(|seen| named.contains(seen)) => Mapping::Independent,
        (0, _) | (1, 1) => Mapping::Unknown,
        (1, _) => Mapping::Independent,
        _ => Mapping::Dependent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_views_tell_the_mapping() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (one, other) = (at("198.51.100.1:1"), at("198.51.100.2:1"));
        let (seen, differently) = (at("203.0.113.7:4000"), at("203.0.113.7:4001"));
        assert_eq!(mapping(&[], &[], false), Mapping::Unknown);
        assert_eq!(mapping(&[], &[], true), Mapping::Blocked);
        assert_eq!(mapping(&[(one, seen)], &[], false), Mapping::Unknown);
        assert_eq!(mapping(&[(one, seen)], &[seen], false), Mapping::Independent);
        assert_eq!(mapping(&[(one, seen), (other, seen)], &[], false), Mapping::Independent);
        assert_eq!(mapping(&[(one, seen), (other, differently)], &[], false), Mapping::Dependent);
        let six = (at("[2001:db8::1]:1"), at("[2001:db8::7]:4000"));
        assert_eq!(mapping(&[(one, seen), six], &[], false), Mapping::Unknown);
    }
}
