//! Request streams: decode, call one service, encode.

use super::{
    connection::{Ending, Peer, gone},
    wire,
};
use crate::services::{Begun, Caller, ChatError, Services, UploadError, UploadHandle};
use hypersend_net::frames::send;
use hypersend_net::stream::SendStream;
use hypersend_protocol::{
    account::{Done, SessionPage},
    chat::{ChatPage, MessagePage},
    file::{FilePage, UploadState, Values},
    frame::Frame,
    p2p::{P2pPage, RelayList},
    refusal::{ErrorCode, Refusal},
    stream::Opening,
    update::Update,
};

pub(super) async fn serve(peer: &Peer, request: Opening, out: &mut SendStream) -> Result<(), Ending> {
    let me = &peer.me;
    let Services { accounts, chats, updates, .. } = &peer.services;
    match request {
        Opening::GetMe(_) => answer(out, &accounts.me(me).await?).await,
        Opening::Logout(_) => {
            accounts.logout(me).await?;
            answer(out, &Done {}).await
        }
        Opening::RenewTokens(renew) => {
            answer(out, &accounts.refresh(&renew.refresh, Some(me.session)).await?.tokens).await
        }
        Opening::FindUser(find) => answer(out, &accounts.find(&find.email).await?).await,
        Opening::ListSessions(list) => {
            let (sessions, more) = accounts.sessions(me, list.before, list.limit).await?;
            let sessions = sessions.into_iter().map(|session| wire::session(session, me.session)).collect();
            answer(out, &SessionPage { sessions, more }).await
        }
        Opening::EndSession(end) => {
            accounts.end(me, end.session).await?;
            answer(out, &Done {}).await
        }
        Opening::GetUpdate(get) => {
            let current = get.current.parse().map_err(|_| {
                Refusal::new(ErrorCode::Invalid, "current is not a version such as 1.0.0 (Semantic Versioning)")
            })?;
            let newer = updates.newer(&get.platform, &current).await?;
            answer(out, &Update { newer: newer.map(wire::release) }).await
        }
        Opening::Rename(rename) => answer(out, &accounts.rename(me, rename.name).await?).await,

        Opening::ListChats(list) => answer(out, &list_chats(peer, list.after, list.limit).await?).await,
        Opening::OpenDirect(open) => answer(out, &wire::chat(chats.open_direct(me, &open.email).await?)).await,
        Opening::CreateGroup(create) => {
            let chat = chats.create_group(me, create.client_id, create.title, &create.members).await?;
            answer(out, &wire::chat(chat)).await
        }
        Opening::GetChat(get) => answer(out, &wire::chat(chats.chat(me, get.chat).await?)).await,
        Opening::AddMembers(add) => {
            answer(out, &wire::chat(chats.add_members(me, add.chat, &add.members).await?)).await
        }
        Opening::RemoveMember(remove) => {
            chats.remove_member(me, remove.chat, remove.user).await?;
            answer(out, &Done {}).await
        }
        Opening::GetHistory(get) => {
            let (messages, more) = chats.history(me, get.chat, get.before, get.limit).await?;
            let messages = messages.into_iter().map(wire::message).collect();
            answer(out, &MessagePage { messages, more }).await
        }
        Opening::PostMessage(post) => answer(out, &chats.post(me, post.chat, post.post).await?).await,
        Opening::DeleteMessage(delete) => {
            chats.delete(me, delete.chat, delete.seq).await?;
            answer(out, &Done {}).await
        }
        Opening::MarkRead(mark) => {
            chats.mark_read(me, mark.chat, mark.seq).await?;
            answer(out, &Done {}).await
        }
        request @ (Opening::BeginUpload(_)
        | Opening::FinishUpload(_)
        | Opening::CancelUpload(_)
        | Opening::GetFile(_)
        | Opening::GetValues(_)
        | Opening::ListFiles(_)
        | Opening::DeleteFile(_)
        | Opening::OfferP2p(_)
        | Opening::GetP2p(_)
        | Opening::ListP2p(_)
        | Opening::ChangeP2p(_)
        | Opening::ListRelays(_)) => transfers(peer, request, out).await,
        Opening::OpenChat(_)
        | Opening::OpenEvents(_)
        | Opening::OpenSignals(_)
        | Opening::OpenTunnel(_)
        | Opening::PutRange(_)
        | Opening::GetRange(_) => Err(no_request()),
    }
}

/// Uploads, files, and what goes from client to client.
async fn transfers(peer: &Peer, request: Opening, out: &mut SendStream) -> Result<(), Ending> {
    let me = &peer.me;
    let Services { uploads, files, p2p, relays, .. } = &peer.services;
    match request {
        Opening::BeginUpload(begin) => {
            let state = match uploads.begin(me, begin.key, begin.name, begin.size).await? {
                Begun::Open(handle) => {
                    let state = upload_state(&handle);
                    peer.bulk.hold(handle)?;
                    state
                }
                Begun::Finished(file) => finished_state(file),
            };
            answer(out, &state).await
        }
        Opening::FinishUpload(finish) => {
            let file = match peer.bulk.held(finish.file) {
                Some(handle) => match handle.finish(Some(finish.root)).await {
                    // There is no such upload any more.
                    Err(error @ UploadError::Changed) => {
                        peer.bulk.release(finish.file);
                        return Err(error.into());
                    }
                    finished => finished?,
                },
                // Finished already, by an attempt whose answer was lost.
                None => files.file(me, finish.file).await?,
            };
            peer.bulk.release(finish.file);
            answer(out, &wire::file(file)).await
        }
        Opening::CancelUpload(cancel) => {
            peer.bulk.release(cancel.file);
            uploads.cancel(me, cancel.file).await?;
            answer(out, &Done {}).await
        }
        Opening::GetFile(get) => answer(out, &wire::file(files.file(me, get.file).await?)).await,
        Opening::GetValues(get) => {
            let values = peer.bulk.file(peer, get.file).await?.values(get.first, get.count).await?;
            answer(out, &Values::pack(&values)).await
        }
        Opening::ListFiles(list) => {
            let (files, more) = files.list(me, list.before, list.limit).await?;
            answer(out, &FilePage { files: files.into_iter().map(wire::file).collect(), more }).await
        }
        Opening::DeleteFile(delete) => {
            files.delete(me, delete.file).await?;
            answer(out, &Done {}).await
        }
        Opening::OfferP2p(offer) => answer(out, &p2p.offer(me, offer).await?).await,
        Opening::GetP2p(get) => answer(out, &p2p.session(me, get.session).await?).await,
        Opening::ListP2p(list) => {
            let (sessions, more) = p2p.list(me, list.before, list.limit).await?;
            answer(out, &P2pPage { sessions, more }).await
        }
        Opening::ChangeP2p(change) => answer(out, &p2p.change(me, change).await?).await,
        Opening::ListRelays(_) => answer(out, &RelayList { relays: relays.list().await? }).await,

        _ => Err(no_request()),
    }
}

fn no_request() -> Ending {
    Refusal::new(ErrorCode::UnexpectedFrame, "that frame opens no request stream").into()
}

async fn answer<F: Frame>(out: &mut SendStream, frame: &F) -> Result<(), Ending> {
    send(out, frame).await.map_err(gone)
}

async fn list_chats(
    peer: &Peer,
    after: Option<hypersend_protocol::chat::ChatPosition>,
    limit: u32,
) -> Result<ChatPage, ChatError> {
    let me: &Caller = &peer.me;
    let lines = peer.services.chats.list(me, after, limit).await?;
    Ok(wire::chat_page(lines, limit))
}

fn upload_state(handle: &UploadHandle) -> UploadState {
    let (plan, map) = (handle.plan(), handle.map());
    UploadState { file: handle.id(), chunk_size: plan.chunk_size(), stored: map.to_bytes(), finished: None }
}

fn finished_state(file: crate::store::files::File) -> UploadState {
    let info = wire::file(file);
    UploadState { file: info.id, chunk_size: info.chunk_size, stored: Vec::new(), finished: Some(info) }
}
