//! Files to whoever types a code, and from whoever made it: no account, no login.

mod link;
mod qr;
mod receive;
mod send;

pub(super) use link::Wanted;
pub(super) use receive::{Wishes, receive};
pub(super) use send::send;

use crate::{commands::direct::watch, context::Context, failure::Failure};
use hypersend_client::{ServerAddress, direct::DirectTransfer};
use std::env;

/// Where to meet: what was said, or the environment says, or the server of the login.
fn server(context: &Context, wanted: Option<ServerAddress>) -> Result<ServerAddress, Failure> {
    if let Some(server) = wanted {
        return Ok(server);
    }
    if let Some(server) = env::var("HYPERSEND_SERVER").ok().filter(|server| !server.is_empty()) {
        return server.parse().map_err(|error| Failure::usage(format!("HYPERSEND_SERVER: {error}")));
    }
    match context.folder.account()? {
        Some(account) => Ok(account.server),
        None => Err(Failure::usage("it is not said at which server to meet")
            .or_try("--server HOST, or HOST in the environment variable HYPERSEND_SERVER")),
    }
}

/// Awaits the end of a transfer. An interruption calls it off, which the other side is told: nobody comes back to a code.
async fn follow<T: Send + 'static>(
    context: &Context,
    name: &str,
    with: &str,
    transfer: &mut DirectTransfer<T>,
) -> Result<T, Failure> {
    let farewell = context.farewell();
    tokio::select! {
        done = watch(context, name, with, transfer) => done,
        () = farewell.cancelled() => {
            transfer.cancel();
            // It may be across already.
            transfer.finish().await.map_err(|_| interrupted())
        }
    }
}

fn interrupted() -> Failure {
    Failure::interrupted("interrupted; what has arrived stays")
        .or_try("the same files by a new code, into the same folder: it goes on from there")
}
