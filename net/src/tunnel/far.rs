//! Who is at the other end of a tunnel's socket.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Silence of somebody on this machine after which another may speak in its place: its socket may have become another. Longer
/// than who has a seat at a relay keeps silent (5 s), so that others on the machine, who may find the port, do not get in between.
const SILENCE: Duration = Duration::from_secs(6);

/// Who is to be at the other end.
#[derive(Clone, Copy, Debug)]
pub enum Far {
    /// This address: what comes from others is not for the tunnel.
    At(SocketAddr),
    /// Whoever speaks first, until it has been silent for a while. For a socket that only this machine reaches.
    WhoeverSpeaks,
}

/// Who is there, and has spoken.
#[derive(Debug)]
pub(super) struct Heard {
    far: Far,
    last: Option<(SocketAddr, Instant)>,
}

impl Heard {
    pub(super) fn new(far: Far) -> Self {
        Self { far, last: None }
    }

    /// Whether what comes from this address is for the tunnel.
    pub(super) fn takes(&mut self, from: SocketAddr, now: Instant) -> bool {
        match (self.far, self.last) {
            (Far::At(address), _) => address == from,
            (Far::WhoeverSpeaks, Some((speaker, at))) if speaker != from && now < at + SILENCE => false,
            (Far::WhoeverSpeaks, _) => {
                self.last = Some((from, now));
                true
            }
        }
    }

    /// Where datagrams go.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self.far {
            Far::At(address) => Some(address),
            Far::WhoeverSpeaks => self.last.map(|(speaker, _)| speaker),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_speaks_in_place_of_who_has_been_silent() {
        let [one, other] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let (mut heard, now) = (Heard::new(Far::WhoeverSpeaks), Instant::now());
        assert_eq!(heard.address(), None);
        assert!(heard.takes(one, now));
        let soon = now + SILENCE / 2;
        assert!(!heard.takes(other, soon) && heard.takes(one, soon));
        assert!(!heard.takes(other, now + SILENCE), "it has spoken since");
        assert_eq!(heard.address(), Some(one));
        assert!(heard.takes(other, soon + SILENCE));
        assert_eq!(heard.address(), Some(other));
    }

    #[test]
    fn nobody_speaks_in_place_of_a_relay() {
        let [relay, other] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut heard = Heard::new(Far::At(relay));
        assert!(heard.takes(relay, Instant::now()) && !heard.takes(other, Instant::now()));
        assert_eq!(heard.address(), Some(relay));
    }
}
