//! What is shown of a transfer between two clients while it is under way.

use crate::{context::Context, failure::Failure, progress::follow};
use hypersend_client::direct::{DirectTransfer, Keys, Whereabouts};
use std::future::pending;
use tokio::sync::watch;

/// Awaits the end of a transfer; says meanwhile how far it is, which way it goes, and by which words to know the other side.
pub(in crate::commands) async fn watch<T: Send + 'static>(
    context: &Context,
    name: &str,
    with: &str,
    transfer: &mut DirectTransfer<T>,
) -> Result<T, Failure> {
    let telling = tell(context, name, with, transfer.whereabouts(), transfer.keys());
    let done = follow(&context.talk, name, transfer.progress(), transfer.finish());
    tokio::select! {
        biased;
        done = done => Ok(done?),
        () = telling => unreachable!("it tells until it is dropped"),
    }
}

async fn tell(
    context: &Context,
    name: &str,
    with: &str,
    mut whereabouts: watch::Receiver<Whereabouts>,
    mut keys: watch::Receiver<Option<Keys>>,
) {
    let mut told: Option<Whereabouts> = None;
    loop {
        let now = whereabouts.borrow_and_update().clone();
        if told.as_ref() != Some(&now) {
            context.talk.way(name, with, told.as_ref(), &now);
            told = Some(now);
        }
        tokio::select! {
            Ok(()) = whereabouts.changed() => {}
            Ok(()) = keys.changed() => {
                if let Some(words) = *keys.borrow_and_update() {
                    context.talk.check_words(with, &words.to_string());
                }
            }
            // The transfer is at its end.
            else => pending().await,
        }
    }
}
