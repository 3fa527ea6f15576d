//! Either side of a transfer from client to client that is only to find its way.

use super::{Login, Stage, email};
use anyhow::{Context, Result};
use hypersend_client::direct::{Offer, ReceiveOptions, SendOptions, Way, Whereabouts};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// How long a receiver that listens may take to say yes.
const ANSWER: Duration = Duration::from_secs(30);

/// How soon there were ways, from when the sender heard of the receiver's yes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Met {
    /// Any.
    pub(crate) first: Option<Duration>,
    /// A direct one.
    pub(crate) direct: Option<Duration>,
}

/// Offers a file each time it is told how much patience to have.
pub(super) async fn send(mut stage: Stage, login: Login, peer: String, file: PathBuf) -> Result<()> {
    let client = login.connect().await?;
    let chat = client.open_direct(email(&peer)?).await?;
    let me = client.ready().await?.me.id;
    let receiver = chat.members.iter().map(|member| member.profile.id).find(|&id| id != me);
    let receiver = receiver.context("the receiver is in the chat")?;
    let offer = Arc::new(Offer::open(vec![file]).await?);
    stage.say(&())?;
    while let Some(patience) = stage.next::<Duration>().await? {
        let options = SendOptions { seek: None, ..SendOptions::default() };
        let mut transfer = client.send_direct(chat.id, receiver, Arc::clone(&offer), options);
        let mut whereabouts = transfer.whereabouts();
        let answered = whereabouts.wait_for(|now| *now != Whereabouts::Offered);
        drop(timeout(ANSWER, answered).await.context("wait for the receiver's yes")??);
        let began = Instant::now();
        let mut met = Met { first: None, direct: None };
        let watching = async {
            loop {
                let now = whereabouts.borrow_and_update().clone();
                if let Whereabouts::Carried(way) = now {
                    met.first.get_or_insert_with(|| began.elapsed());
                    if let Way::Direct(_) = way {
                        met.direct = Some(began.elapsed());
                        return;
                    }
                }
                if whereabouts.changed().await.is_err() {
                    return;
                }
            }
        };
        // Without a direct way there is none to be told of.
        let _ = timeout(patience, watching).await;
        transfer.cancel();
        // It ends as called off, which is no failure here.
        let _ = transfer.finish().await;
        stage.say(&met)?;
    }
    Ok(())
}

/// Accepts everything, for as long as the parent wants, and keeps nothing.
pub(super) async fn receive(mut stage: Stage, login: Login, folder: PathBuf) -> Result<()> {
    let client = login.connect().await?;
    let mut offers = client.offers();
    stage.say(&())?;
    let accepting = async {
        loop {
            let offer = offers.next().await?;
            // What came of one offer would be the next one's beginning.
            let place = folder.join(offer.id.to_string());
            tokio::fs::create_dir(&place).await?;
            // Each is called off by the sender.
            let _ = client.receive_direct(offer, &place, ReceiveOptions::default()).finish().await;
            tokio::fs::remove_dir_all(&place).await?;
        }
    };
    tokio::select! {
        done = accepting => done,
        over = stage.over() => over,
    }
}
