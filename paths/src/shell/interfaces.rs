//! Watches the addresses of this machine.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};
use tokio::{sync::watch, task::spawn_blocking, time::interval};

/// How often the interfaces are looked at. The systems have ways of telling, each its own; a look takes some 50 µs.
const EVERY: Duration = Duration::from_secs(2);

/// The addresses now.
pub(crate) fn addresses() -> BTreeSet<IpAddr> {
    match if_addrs::get_if_addrs() {
        Ok(interfaces) => interfaces.iter().map(if_addrs::Interface::ip).collect(),
        Err(error) => {
            tracing::warn!(%error, "the addresses of this machine cannot be read");
            BTreeSet::new()
        }
    }
}

/// Looks again and again, until nobody wants to know.
pub(crate) async fn watch(tell: watch::Sender<BTreeSet<IpAddr>>) {
    let mut ticks = interval(EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = tell.closed() => return,
        }
        let Ok(now) = spawn_blocking(addresses).await else { return };
        tell.send_if_modified(|known| {
            let is_new = *known != now;
            *known = now;
            is_new
        });
    }
}
