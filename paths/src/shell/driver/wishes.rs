//! Carries out what the core wants, until the end.

use super::{CLOSED, Driver, GIVEN_UP, GOODBYE};
use crate::{
    core::{Notice, Route, Wish},
    event::Event,
    identity::NAME,
    shell::{MAX_EVENTS, connections::Attempt},
};
use hypersend_protocol::relay::ticket::Side;
use tokio::time::timeout;

impl Driver {
    pub(super) fn carry_out(&mut self) {
        while let Some(wish) = self.core.poll() {
            match wish {
                Wish::Send { via, to, bytes } => {
                    if let Some(post) = self.posts.get(&via) {
                        post.tap.send(to, &bytes);
                    } else {
                        self.guesses.send(via, to, &bytes);
                    }
                }
                Wish::Set(state) => self.state = self.is_signalled.then_some(state),
                Wish::Dial(route) => self.dial(route),
                Wish::StopDialing => self.connections.stop(),
                Wish::Cut(path, why) => {
                    if self.connections.remove(path, GIVEN_UP, why.to_string().as_bytes()) {
                        self.queue.push_back(Event::Down { path, why });
                    }
                }
                Wish::Rebind => self.place(true),
                Wish::Open(vias) => {
                    let opened = self.guesses.open(vias, &self.caught.0);
                    self.core.opened(self.now(), opened);
                }
                Wish::Keep(via) => self.keep(via),
                Wish::CloseOpened => self.guesses.close(),
                Wish::Release(via) => _ = self.posts.remove(&via),
                Wish::Tell(Notice::PeerChanged) => self.queue.push_back(Event::PeerChanged),
                Wish::Tell(Notice::PeerLeft) => self.queue.push_back(Event::PeerLeft),
            }
        }
        let report = self.core.report();
        self.report.send_if_modified(|known| {
            let is_new = *known != report;
            *known = report;
            is_new
        });
    }

    fn dial(&mut self, route: Route) {
        debug_assert_eq!(self.side, Side::Sender, "the receiver takes connections and makes none");
        let has_room = self.queue.len() < MAX_EVENTS;
        let connecting = match (self.posts.get(&route.via), &self.peer) {
            (Some(post), Some(peer)) if has_room => {
                let connecting = post.endpoint.connect_with(peer.client.clone(), route.to, NAME);
                connecting.ok().map(|connecting| (peer.run, connecting))
            }
            _ => None,
        };
        match connecting {
            Some((run, connecting)) => {
                self.connections.attempt(Attempt { route, run, is_own: true }, connecting);
            }
            None => self.core.undialed(self.now(), route),
        }
    }

    pub(super) async fn end(mut self) {
        self.core.leave(self.now());
        self.carry_out();
        if let Some(state) = self.state.take() {
            // Whoever does not take it is gone, or will hear of the end by other ways.
            let _ = timeout(GOODBYE, self.signals.set.send(state)).await;
        }
        for post in self.posts.values() {
            post.endpoint.close(CLOSED, b"the session is over");
        }
        let idle = async {
            for post in self.posts.values() {
                post.endpoint.wait_idle().await;
            }
        };
        // Connections to a side that is gone take longer to forget, and nothing depends on it; nor on a router that does not
        // answer, whose port is free again by itself.
        let _ = timeout(GOODBYE, async { tokio::join!(idle, self.mapped.give_back()) }).await;
    }
}
