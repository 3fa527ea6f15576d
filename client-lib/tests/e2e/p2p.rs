//! Offers from client to client: made, answered, and heard of by both.

use crate::support::{code, refusal};
use hypersend_client::protocol::{
    event::{EventUpdate, Happening},
    id::{Cursor, P2pId},
    limit::{MAX_OFFERED_FILES, MAX_OPEN_OFFERS},
    p2p::{OfferedFile, P2pPath, P2pStatus},
    refusal::ErrorCode,
};
use hypersend_lab::{TestServer, users, within};

fn files(count: usize) -> Vec<OfferedFile> {
    let name = |n| format!("film {n}.mkv").parse().unwrap();
    (0..count).map(|n| OfferedFile { name: name(n), size: 40 << 30, folder: false }).collect()
}

#[tokio::test]
async fn an_offer_is_answered_and_both_sides_hear_of_it() {
    let server = TestServer::start().await;
    let [ann, bob, carol] = users(&server).await;
    let chat = ann.client.open_direct(bob.email()).await.unwrap().id;
    let mut his = bob.client.events(Some(Cursor(0)));
    let offered = ann.client.offer_p2p(chat, bob.id(), files(2)).await.unwrap();
    let heard = async |events: &mut hypersend_client::Events| loop {
        let event = within("an event comes", events.next()).await.unwrap();
        if let EventUpdate::Event(event) = event
            && let Happening::P2p { session, .. } = event.what
        {
            return session;
        }
    };
    assert_eq!(heard(&mut his).await, offered.id);
    assert_eq!(bob.client.p2p_session(offered.id).await.unwrap(), offered);
    assert_eq!(code(ann.client.change_p2p(offered.id, Some(P2pStatus::Accepted), None).await), ErrorCode::Forbidden);
    let accepted = bob.client.change_p2p(offered.id, Some(P2pStatus::Accepted), Some(P2pPath::Direct)).await.unwrap();
    assert_eq!((accepted.status, accepted.path), (P2pStatus::Accepted, Some(P2pPath::Direct)));
    let mut hers = ann.client.events(Some(Cursor(0)));
    assert_eq!((heard(&mut hers).await, heard(&mut hers).await), (offered.id, offered.id));
    bob.client.change_p2p(offered.id, Some(P2pStatus::Finished), None).await.unwrap();
    assert_eq!(code(ann.client.change_p2p(offered.id, Some(P2pStatus::Cancelled), None).await), ErrorCode::Conflict);
    let page = bob.client.p2p_sessions(None).await.unwrap();
    assert_eq!((page.sessions.len(), page.sessions[0].status, page.more), (1, P2pStatus::Finished, false));

    assert_eq!(code(carol.client.p2p_session(offered.id).await), ErrorCode::NotFound);
    assert_eq!(code(carol.client.change_p2p(offered.id, None, None).await), ErrorCode::NotFound);
    assert_eq!(code(ann.client.p2p_session(P2pId(uuid::Uuid::now_v7())).await), ErrorCode::NotFound);
    assert_eq!(code(carol.client.offer_p2p(chat, bob.id(), files(1)).await), ErrorCode::NotFound);
    assert_eq!(code(ann.client.offer_p2p(chat, carol.id(), files(1)).await), ErrorCode::Invalid);
}

#[tokio::test]
async fn offers_have_limits() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let chat = ann.client.open_direct(bob.email()).await.unwrap().id;
    assert_eq!(code(ann.client.offer_p2p(chat, bob.id(), Vec::new()).await), ErrorCode::Invalid);
    let refused = refusal(ann.client.offer_p2p(chat, bob.id(), files(MAX_OFFERED_FILES + 1)).await);
    assert_eq!((refused.code, refused.limit), (ErrorCode::LimitReached, Some(MAX_OFFERED_FILES as u64)));
    let first = ann.client.offer_p2p(chat, bob.id(), files(MAX_OFFERED_FILES)).await.unwrap();
    for _ in 1..MAX_OPEN_OFFERS {
        ann.client.offer_p2p(chat, bob.id(), files(1)).await.unwrap();
    }
    let refused = refusal(ann.client.offer_p2p(chat, bob.id(), files(1)).await);
    assert_eq!((refused.code, refused.limit), (ErrorCode::LimitReached, Some(MAX_OPEN_OFFERS as u64)));
    ann.client.change_p2p(first.id, Some(P2pStatus::Cancelled), None).await.unwrap();
    ann.client.offer_p2p(chat, bob.id(), files(1)).await.unwrap();
    let page = bob.client.p2p_sessions(None).await.unwrap();
    assert_eq!((page.sessions.len(), page.more), (MAX_OPEN_OFFERS + 1, false));
}
