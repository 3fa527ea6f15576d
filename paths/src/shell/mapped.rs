//! The outside port of the main socket, from the router.
//!
//! Keeps true: nothing waits for a router, nothing is asked where no mapping is wanted, and there is at most one mapping that is
//! not being given back.

use hypersend_portmap::Mapping;
use std::{future::pending, net::SocketAddr, num::NonZeroU16};
use tokio::sync::watch;

pub(crate) struct Mapped {
    is_wanted: bool,
    asked: Option<(Mapping, watch::Receiver<Option<SocketAddr>>)>,
}

impl Mapped {
    /// Asks nothing yet.
    pub(crate) fn new(is_wanted: bool) -> Self {
        Self { is_wanted, asked: None }
    }

    /// Begins to ask for this port, if one is wanted. What was given before is given back meanwhile.
    pub(crate) fn ask(&mut self, port: u16) {
        self.asked = NonZeroU16::new(port).filter(|_| self.is_wanted).map(|port| {
            let mapping = Mapping::request(port);
            let outside = mapping.outside();
            (mapping, outside)
        });
    }

    /// The address that the router gives now.
    pub(crate) fn outside(&self) -> Option<SocketAddr> {
        self.asked.as_ref().and_then(|(_, outside)| *outside.borrow())
    }

    /// The address, once it is another one or none any more. Dropping the future loses nothing.
    pub(crate) async fn changed(&mut self) -> Option<SocketAddr> {
        let Some((_, outside)) = &mut self.asked else { return pending().await };
        if outside.changed().await.is_err() {
            // Nobody keeps it any more.
            self.asked = None;
            return None;
        }
        *outside.borrow_and_update()
    }

    /// Gives it back, and waits until the router has it.
    pub(crate) async fn give_back(self) {
        if let Some((mapping, _)) = self.asked {
            mapping.close().await;
        }
    }
}
