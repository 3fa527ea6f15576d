//! Receiving: waits for what others offer, asks, and fetches.

use super::{list::member, show::watch};
use crate::{
    connect::{Session, connect},
    context::Context,
    failure::{Exit, Failure},
    terminal::{ask_yes_no, can_ask},
    view::{DirectReceived, words},
};
use futures::{StreamExt, stream::FuturesUnordered};
use hypersend_client::{
    direct::{DirectTransfer, ReceiveOptions, Received, Whereabouts},
    protocol::{
        id::P2pId,
        p2p::{P2pSession, P2pStatus},
        refusal::ErrorCode,
        size::Size,
    },
};
use std::{path::PathBuf, time::Instant};
use tokio::sync::watch;

/// What to accept, and where to put it.
pub(in crate::commands) struct Wishes {
    pub(in crate::commands) yes: bool,
    pub(in crate::commands) once: bool,
    pub(in crate::commands) output: Option<PathBuf>,
    pub(in crate::commands) relay_only: bool,
}

pub(in crate::commands) async fn receive(context: &Context, wishes: Wishes) -> Result<(), Failure> {
    if !wishes.yes && !can_ask() {
        return Err(Failure::usage("there is nobody to ask whether to accept").or_try("--yes, to accept everything"));
    }
    let folder = destination(wishes.output.clone())?;
    let session = connect(context).await?;
    let mut offers = session.client.offers();
    context.talk.say("waiting for somebody to send something");
    let mut under_way = FuturesUnordered::new();
    let mut whereabouts: Vec<watch::Receiver<Whereabouts>> = Vec::new();
    loop {
        // One that was broken off, and whose sender is away, must not keep others from being the one.
        let moving =
            |way: &watch::Receiver<Whereabouts>| matches!(*way.borrow(), Whereabouts::Carried(_) | Whereabouts::Stored);
        let wants_more = !wishes.once || !whereabouts.iter().any(moving);
        tokio::select! {
            biased;
            Some(done) = under_way.next() => match done {
                Ok(()) if wishes.once => return Ok(()),
                Ok(()) => {}
                Err(failure) if wishes.once => return Err(failure),
                Err(failure) => context.talk.warn(&failure),
            },
            offer = offers.next(), if wants_more => {
                let offer = offer?;
                let from = words::name(member(&session, offer.chat, offer.sender).await?.as_ref());
                if accepted(context, &session, &offer, &from, wishes.yes).await? {
                    let (id, name) = (offer.id, words::title(&offer.files));
                    let options = ReceiveOptions { relay_only: wishes.relay_only };
                    let transfer = session.client.receive_direct(offer, &folder, options);
                    whereabouts.push(transfer.whereabouts());
                    under_way.push(follow(context, id, name, from, transfer));
                }
            }
        }
    }
}

/// The folder to put things into.
pub(in crate::commands) fn destination(wanted: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let folder = wanted.unwrap_or_else(|| PathBuf::from("."));
    if folder.is_dir() {
        return Ok(folder);
    }
    let message = format!("there is no folder {}", folder.display());
    Err(Failure::new(Exit::LocalFile, "local-file", message).or_try("make it first, or another path"))
}

/// Whether it is wanted; the sender is told if not. What was accepted before is.
async fn accepted(
    context: &Context,
    session: &Session,
    offer: &P2pSession,
    from: &str,
    yes: bool,
) -> Result<bool, Failure> {
    if offer.status == P2pStatus::Accepted {
        context.talk.say(&format!("{from} goes on with {}", words::title(&offer.files)));
        return Ok(true);
    }
    let sizes = offer.files.iter().map(|file| file.size).sum();
    let offered = format!("{from} offers {} ({})", words::title(&offer.files), Size(sizes));
    if yes {
        context.talk.say(&offered);
        return Ok(true);
    }
    let wanted = ask_yes_no(format!("{}. Accept?", words::printable(&offered))).await?;
    if !wanted {
        match session.within(session.client.change_p2p(offer.id, Some(P2pStatus::Declined), None)).await? {
            // Called off while the question stood.
            Err(error) if matches!(error.code(), Some(ErrorCode::Conflict | ErrorCode::NotFound)) => {}
            told => drop(told?),
        }
    }
    Ok(wanted)
}

async fn follow(
    context: &Context,
    id: P2pId,
    name: String,
    from: String,
    mut transfer: DirectTransfer<Received>,
) -> Result<(), Failure> {
    let began = Instant::now();
    let received = watch(context, &name, &from, &mut transfer).await?;
    let took = words::duration(began.elapsed());
    context.talk.say(&format!("{name}: {} from {from} in {took}", Size(received.bytes)));
    let way = transfer.whereabouts().borrow().to_string();
    context.out.print(&DirectReceived::new(id, &from, received, way))
}
