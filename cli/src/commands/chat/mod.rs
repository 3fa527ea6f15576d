//! `hypersend chat`: a conversation, line by line.

mod here;
mod input;
mod line;
mod room;
mod screen;

use super::reference;
use crate::{connect::connect, context::Context, failure::Failure, terminal::Restore};

pub(super) async fn chat(context: &Context, reference: &str) -> Result<(), Failure> {
    let session = connect(context).await?;
    let chat = reference::open(&session, reference).await?;
    let _restore = Restore::later();
    room::Room::enter(context, session, chat).stay().await
}
