//! Transfers as the server knows them: which there are, and calling one off.

use crate::{
    connect::{Session, connect},
    context::Context,
    failure::Failure,
    view::{TransferList, TransferView},
};
use hypersend_client::protocol::{
    account::Profile,
    id::{ChatId, P2pId, UserId},
    p2p::P2pStatus,
    refusal::ErrorCode,
};
use std::collections::{HashMap, hash_map::Entry};

pub(in crate::commands) async fn list(context: &Context, all: bool) -> Result<(), Failure> {
    let session = connect(context).await?;
    let mut members: HashMap<ChatId, Vec<Profile>> = HashMap::new();
    let (mut transfers, mut before) = (Vec::new(), None);
    loop {
        let page = session.ask(session.client.p2p_sessions(before)).await?;
        before = page.sessions.last().map(|transfer| transfer.id);
        for transfer in page.sessions.into_iter().filter(|transfer| all || !transfer.status.is_over()) {
            let is_own = transfer.sender == session.me().id;
            let with = if is_own { transfer.receiver } else { transfer.sender };
            let of_chat = match members.entry(transfer.chat) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(members_of(&session, transfer.chat).await?),
            };
            let with = of_chat.iter().find(|profile| profile.id == with);
            transfers.push(TransferView::new(&transfer, is_own, with));
        }
        if !page.more || before.is_none() {
            break;
        }
    }
    if transfers.is_empty() {
        context.talk.say("no transfers; hypersend send --direct CHAT PATH... begins one");
    }
    context.out.print(&TransferList { transfers })
}

pub(in crate::commands) async fn cancel(context: &Context, id: P2pId) -> Result<(), Failure> {
    let session = connect(context).await?;
    let transfer = session.ask(session.client.change_p2p(id, Some(P2pStatus::Cancelled), None)).await?;
    let is_own = transfer.sender == session.me().id;
    let with = if is_own { transfer.receiver } else { transfer.sender };
    let with = member(&session, transfer.chat, with).await?;
    context.talk.say("cancelled");
    context.out.print(&TransferView::new(&transfer, is_own, with.as_ref()))
}

/// Somebody in a chat; none who has left it, or when this user has.
pub(super) async fn member(session: &Session, chat: ChatId, user: UserId) -> Result<Option<Profile>, Failure> {
    Ok(members_of(session, chat).await?.into_iter().find(|profile| profile.id == user))
}

/// None in a chat that this user has left.
async fn members_of(session: &Session, chat: ChatId) -> Result<Vec<Profile>, Failure> {
    match session.within(session.client.chat(chat)).await? {
        Ok(chat) => Ok(chat.members.into_iter().map(|member| member.profile).collect()),
        Err(error) if error.code() == Some(ErrorCode::NotFound) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}
