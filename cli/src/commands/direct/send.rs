//! Sending: to one person, or to everybody else in a group.

use super::show::watch;
use crate::{
    args::SendWays,
    commands::reference,
    connect::connect,
    context::Context,
    failure::Failure,
    view::{DirectSent, words},
};
use futures::future::join_all;
use hypersend_client::{
    direct::{Offer, SendOptions, Whereabouts},
    protocol::{account::Profile, limit::MAX_OFFERED_FILES, size::Size},
};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

pub(in crate::commands) async fn send(
    context: &Context,
    reference: &str,
    paths: Vec<PathBuf>,
    ways: &SendWays,
) -> Result<(), Failure> {
    let offer = open_offer(context, paths).await?;
    let session = connect(context).await?;
    let chat = reference::open(&session, reference).await?;
    let me = session.me().id;
    let others: Vec<&Profile> =
        chat.members.iter().map(|member| &member.profile).filter(|profile| profile.id != me).collect();
    if others.is_empty() {
        return Err(Failure::usage("there is nobody else in this chat"));
    }
    let mut options = SendOptions {
        relay_only: ways.relay_only,
        store_after: ways.store_after.map(Duration::from_secs),
        ..SendOptions::default()
    };
    if ways.no_store {
        options.seek = None;
    }
    let what = words::title(&offer.top());
    let sendings = others.iter().map(async |to| {
        let began = Instant::now();
        let mut transfer = session.client.send_direct(chat.id, to.id, Arc::clone(&offer), options);
        let name = if others.len() == 1 { what.clone() } else { format!("{what} to {}", to.name) };
        let sent = watch(context, &name, to.name.as_str(), &mut transfer).await?;
        let took = words::duration(began.elapsed());
        let size = Size(sent.bytes);
        context.talk.say(&match *transfer.whereabouts().borrow() {
            Whereabouts::Stored => format!("{what}: {} finds it in the chat, {size} in {took}", to.name),
            _ => format!("{what}: {} has all of it, {size} in {took}", to.name),
        });
        let way = transfer.whereabouts().borrow().to_string();
        context.out.print(&DirectSent::new(transfer.session(), to, sent, way))
    });
    let mut first = Ok(());
    for outcome in join_all(sendings).await {
        match (&first, outcome) {
            (Ok(()), outcome) => first = outcome,
            (Err(_), Err(failure)) => context.talk.warn(&failure),
            (Err(_), Ok(())) => {}
        }
    }
    first
}

/// Looks at what is to be sent, and says what of it is left out.
pub(in crate::commands) async fn open_offer(context: &Context, paths: Vec<PathBuf>) -> Result<Arc<Offer>, Failure> {
    if paths.len() > MAX_OFFERED_FILES {
        return Err(Failure::usage(format!("at most {MAX_OFFERED_FILES} files and folders are sent at once"))
            .or_try("a folder with all of them, or several commands"));
    }
    let offer = Offer::open(paths).await?;
    let skipped = offer.skipped();
    if skipped.links + skipped.special > 0 {
        let (links, special) = (skipped.links, skipped.special);
        context.talk.say(&format!("left out: {links} symbolic links, {special} pipes, sockets and devices"));
    }
    Ok(Arc::new(offer))
}
