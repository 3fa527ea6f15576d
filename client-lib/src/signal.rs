//! What the other side of a transfer says, across connections.
//!
//! There is nothing to queue: each side has one value, and the newest is what counts. So both ways go through registers here
//! too, and a task that owns the stream brings them level with the server's.

use crate::{
    error::{Attempt, ClientError, Patience},
    link::{Link, Live},
};
use hypersend_net::{
    frames::{FrameReader, send},
    pace::SignalPace,
};
use hypersend_protocol::{
    id::P2pId,
    refusal::ErrorCode,
    signal::{NotASignal, OpenSignals, RelaySeat, Signal, SignalValue, SignalsOpen},
    stream::priority,
};
use std::{convert::Infallible, sync::Arc};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// One side of a transfer, as far as it speaks by way of the server. Outlives any number of connections; closed when dropped.
#[derive(Debug)]
pub struct SignalChannel {
    mine: watch::Sender<Option<SignalValue>>,
    heard: watch::Receiver<Heard>,
    /// Which of the other side's values was given out last.
    seen: u64,
    _task: AbortOnDropHandle<()>,
}

/// What is known of the server's side.
#[derive(Clone, Debug, Default)]
struct Heard {
    relays: Option<Arc<[RelaySeat]>>,
    /// The other side's value, and a number that grows with each.
    value: Option<(u64, SignalValue)>,
    /// Nothing comes any more: the transfer is over, or why not.
    end: Option<Result<(), ClientError>>,
}

impl SignalChannel {
    /// Opens this user's side of a session.
    pub(crate) async fn open(link: Arc<Link>, session: P2pId) -> Result<Self, ClientError> {
        let (mine, to_say) = watch::channel(None);
        let (hear, mut heard) = watch::channel(Heard::default());
        let task = Task { link, session, mine: to_say, heard: hear, patience: Patience::default() };
        let task = AbortOnDropHandle::new(tokio::spawn(task.run()));
        let opened = heard.wait_for(|heard| heard.relays.is_some() || heard.end.is_some()).await;
        let opened = opened.map_err(|_| ClientError::Closed)?.clone();
        if let Heard { relays: None, end: Some(Err(error)), .. } = opened {
            return Err(error);
        }
        Ok(Self { mine, heard, seen: 0, _task: task })
    }

    /// Relays that this side may use, the best first; newer ones after each lost connection.
    pub fn relays(&self) -> Vec<RelaySeat> {
        self.heard.borrow().relays.as_deref().unwrap_or_default().to_vec()
    }

    /// Sets this side's value, of 1 to 8192 bytes: the other side is told of it, unless it is replaced before.
    pub fn set(&self, value: Vec<u8>) -> Result<(), NotASignal> {
        let value = SignalValue::new(value)?;
        self.mine.send_if_modified(|mine| {
            let is_new = mine.as_ref() != Some(&value);
            *mine = Some(value);
            is_new
        });
        Ok(())
    }

    /// The other side's newest value, once there is one that was not given out; `None` when the transfer is over.
    /// [`ErrorCode::Superseded`] when this user has opened the same elsewhere. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let seen = self.seen;
        let is_news = |heard: &Heard| heard.end.is_some() || heard.value.as_ref().is_some_and(|(n, _)| *n > seen);
        let heard = self.heard.wait_for(is_news).await.map_err(|_| ClientError::Closed)?;
        match (&heard.value, &heard.end) {
            (Some((number, value)), _) if *number > seen => {
                self.seen = *number;
                Ok(Some(value.as_bytes().to_vec()))
            }
            (_, Some(end)) => end.clone().map(|()| None),
            _ => Err(ClientError::Closed),
        }
    }
}

/// Owns the stream, and opens another when it is lost.
struct Task {
    link: Arc<Link>,
    session: P2pId,
    mine: watch::Receiver<Option<SignalValue>>,
    heard: watch::Sender<Heard>,
    patience: Patience,
}

impl Task {
    async fn run(mut self) {
        let end = self.until_over().await;
        self.heard.send_modify(|heard| heard.end = Some(end));
    }

    async fn until_over(&mut self) -> Result<(), ClientError> {
        loop {
            let live = self.link.live().await?;
            let Err(attempt) = self.exchange(&live).await;
            match attempt {
                Attempt::Failed(ClientError::Refused(refusal))
                    if refusal.code == ErrorCode::Conflict && self.heard.borrow().relays.is_some() =>
                {
                    return Ok(());
                }
                attempt => self.patience.wait_out(attempt, &live).await?,
            }
        }
    }

    /// Serves one stream to its end.
    async fn exchange(&mut self, live: &Live) -> Result<Infallible, Attempt> {
        let (mut out, answer) = live.connection.open_bi().await.map_err(|_| Attempt::Lost)?;
        out.set_priority(priority::CHAT);
        let opening = send(&mut out, &OpenSignals { session: self.session }).await;
        opening.map_err(|error| Attempt::sending(self.link.server(), error))?;
        let mut reader = FrameReader::new(answer);
        let receiving = |error| Attempt::receiving(self.link.server(), error);
        let SignalsOpen { relays } = reader.expect().await.map_err(receiving)?;
        self.heard.send_modify(|heard| heard.relays = Some(relays.into()));
        // The server may have forgotten what was set by an earlier stream.
        self.mine.mark_changed();
        let mine = &mut self.mine;
        let saying = async {
            let mut pace = SignalPace::default();
            loop {
                if mine.changed().await.is_err() {
                    // The channel is being dropped, and this with it.
                    return std::future::pending().await;
                }
                pace.ready().await;
                let value = mine.borrow_and_update().clone();
                let Some(value) = value else { continue };
                pace.count();
                if send(&mut out, &Signal { value }).await.is_err() {
                    // A server that refuses stops reading before it is understood: why, the reader hears.
                    return std::future::pending().await;
                }
            }
        };
        tokio::pin!(saying);
        loop {
            tokio::select! {
                heard = reader.expect::<Signal>() => {
                    let Signal { value } = heard.map_err(receiving)?;
                    self.patience.rest();
                    self.heard.send_if_modified(|heard| hear(heard, value));
                }
                never = &mut saying => match never {},
            }
        }
    }
}

/// Takes a value in, unless it is the one that is there: a new stream begins with what an earlier one has told.
fn hear(heard: &mut Heard, value: SignalValue) -> bool {
    let number = match &heard.value {
        Some((_, same)) if *same == value => return false,
        Some((number, _)) => number + 1,
        None => 1,
    };
    heard.value = Some((number, value));
    true
}
