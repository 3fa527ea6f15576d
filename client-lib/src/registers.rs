//! The two registers by which sides speak by way of the server, across connections.
//!
//! There is nothing to queue: each side has one value, and the newest is what counts. So both ways go through registers here
//! too, and a task that owns the stream brings them level with the server's. What the stream begins with is a [`Door`]'s to
//! say: there is one for sessions of accounts ([`signal`](crate::signal)) and one for mailboxes ([`mailbox`](crate::mailbox)).

use crate::{
    error::{Attempt, ClientError, Patience},
    link::{Link, Live},
};
use hypersend_net::{
    connection::Connection,
    frames::{FrameReader, RecvError, SendError, send},
    pace::SignalPace,
    stream::SendStream,
};
use hypersend_protocol::{
    frame::Frame,
    refusal::ErrorCode,
    signal::{NotASignal, RelaySeat, Signal, SignalValue},
    stream::priority,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// How long to wait for a last value to be sent.
const SETTLE: Duration = Duration::from_secs(1);

/// How long leaving for good may take: a connection that was just lost may be made anew meanwhile.
const FAREWELL: Duration = Duration::from_secs(3);

/// How a stream begins.
pub(crate) trait Door: Send + Sync + 'static {
    /// What the server says to callers of this kind.
    type Welcome: Clone + Send + Sync + 'static;
    /// What opens the stream, from the server.
    type Opened: Opened;

    /// Asks for the stream. `before`: what an earlier one was answered.
    fn ask(
        &self,
        out: &mut SendStream,
        before: Option<&Self::Opened>,
    ) -> impl Future<Output = Result<(), SendError>> + Send;

    /// Whether the stream has the connection to itself, which then ends with it.
    const IS_ALONE: bool;

    /// Whether this refusal, of what was open before, says that it is over.
    fn is_over(code: ErrorCode) -> bool;
}

/// What opens a stream.
pub(crate) trait Opened: Frame + Send + Sync + 'static {
    /// Relays that this side may use, the best first.
    fn relays(&self) -> &[RelaySeat];
}

/// One side, as far as it speaks by way of the server. Outlives any number of connections; closed when dropped.
#[derive(Debug)]
pub(crate) struct Registers<O> {
    mine: watch::Sender<Option<SignalValue>>,
    heard: watch::Receiver<Heard<O>>,
    /// The last of this side's that was sent.
    said: watch::Receiver<Option<SignalValue>>,
    /// On which connection the stream is open, while it is.
    on: watch::Receiver<Option<Connection>>,
    /// Which of the other side's values was given out last.
    seen: u64,
    leaving: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

/// What is known of the server's side.
#[derive(Debug)]
struct Heard<O> {
    opened: Option<Arc<O>>,
    /// The other side's value, and a number that grows with each.
    value: Option<(u64, SignalValue)>,
    /// Nothing comes any more: it is over, or why not.
    end: Option<Result<(), ClientError>>,
}

impl<O: Opened> Registers<O> {
    /// Opens this side.
    pub(crate) async fn open<D: Door<Opened = O>>(link: Arc<Link<D::Welcome>>, door: D) -> Result<Self, ClientError> {
        let (mine, to_say) = watch::channel(None);
        let (hear, mut heard) = watch::channel(Heard { opened: None, value: None, end: None });
        let (saying, said) = watch::channel(None);
        let (opening, on) = watch::channel(None);
        let leaving = CancellationToken::new();
        let patience = Patience::default();
        let task = Task {
            link,
            door,
            mine: to_say,
            said: saying,
            on: opening,
            heard: hear,
            leaving: leaving.clone(),
            patience,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(task.run()));
        {
            let opened = heard.wait_for(|heard| heard.opened.is_some() || heard.end.is_some()).await;
            let opened = opened.map_err(|_| ClientError::Closed)?;
            if let Heard { opened: None, end: Some(Err(error)), .. } = &*opened {
                return Err(error.clone());
            }
        }
        Ok(Self { mine, heard, said, on, seen: 0, leaving, _task: task })
    }

    /// What the newest stream was opened with.
    pub(crate) fn opened(&self) -> Arc<O> {
        self.heard.borrow().opened.clone().expect("it is given out when it is open")
    }

    /// Relays that this side may use, the best first; newer ones after each lost connection.
    pub(crate) fn relays(&self) -> Vec<RelaySeat> {
        self.opened().relays().to_vec()
    }

    /// On which connection the stream is open, while it is: other streams may follow it there.
    pub(crate) fn connection(&self) -> watch::Receiver<Option<Connection>> {
        self.on.clone()
    }

    /// Sets this side's value: the other side is told of it, unless it is replaced before.
    pub(crate) fn set(&self, value: Vec<u8>) -> Result<(), NotASignal> {
        let value = SignalValue::new(value)?;
        self.mine.send_if_modified(|mine| {
            let is_new = mine.as_ref() != Some(&value);
            *mine = Some(value);
            is_new
        });
        Ok(())
    }

    /// Waits until what was set last is sent; not for long.
    pub(crate) async fn settle(&mut self) {
        let newest = self.mine.borrow().clone();
        // A server that cannot be reached now is not worth more.
        let _ = timeout(SETTLE, self.said.wait_for(|said| *said == newest)).await;
    }

    /// Has what was set last sent and leaves for good; not for long.
    pub(crate) async fn leave(&mut self) {
        self.leaving.cancel();
        let _ = timeout(FAREWELL, self.heard.wait_for(|heard| heard.end.is_some())).await;
    }

    /// The other side's newest value, once there is one that was not given out; `None` when it is over. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let seen = self.seen;
        let is_news = |heard: &Heard<O>| heard.end.is_some() || heard.value.as_ref().is_some_and(|(n, _)| *n > seen);
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
struct Task<D: Door> {
    link: Arc<Link<D::Welcome>>,
    door: D,
    mine: watch::Receiver<Option<SignalValue>>,
    said: watch::Sender<Option<SignalValue>>,
    on: watch::Sender<Option<Connection>>,
    heard: watch::Sender<Heard<D::Opened>>,
    leaving: CancellationToken,
    patience: Patience,
}

impl<D: Door> Task<D> {
    async fn run(mut self) {
        let end = self.until_over().await;
        self.heard.send_modify(|heard| heard.end = Some(end));
    }

    async fn until_over(&mut self) -> Result<(), ClientError> {
        loop {
            let live = self.link.live().await?;
            match self.stream(&live).await {
                Ok(()) => return Ok(()),
                Err(Attempt::Failed(ClientError::Refused(refusal)))
                    if D::is_over(refusal.code) && self.heard.borrow().opened.is_some() =>
                {
                    return Ok(());
                }
                Err(attempt) => {
                    let wait = attempt.asked_wait().filter(|_| D::IS_ALONE);
                    self.patience.wait_out(attempt, &live).await?;
                    // The next connection is for this stream alone, and no sooner welcome.
                    sleep(wait.unwrap_or_default()).await;
                }
            }
        }
    }

    /// Serves one stream, to its end or until there is a better connection for it. That this side has left is no failure.
    async fn stream(&mut self, live: &Live<D::Welcome>) -> Result<(), Attempt> {
        let (mut out, answer) = live.connection.open_bi().await.map_err(|_| Attempt::Lost)?;
        out.set_priority(priority::CHAT);
        let mut reader = FrameReader::new(answer);
        let exchanged = tokio::select! {
            exchanged = self.exchange(&live.connection, &mut out, &mut reader) => exchanged,
            () = live.draining.cancelled() => Err(Attempt::Lost),
        };
        self.on.send_replace(None);
        if exchanged.is_err() {
            // Not finished, which may say more than that this stream is over.
            out.abandon();
        }
        exchanged
    }

    async fn exchange(
        &mut self,
        connection: &Connection,
        out: &mut SendStream,
        reader: &mut FrameReader,
    ) -> Result<(), Attempt> {
        let before = self.heard.borrow().opened.clone();
        let asked = self.door.ask(out, before.as_deref()).await;
        asked.map_err(|error| Attempt::sending(self.link.server(), error))?;
        let receiving = |error| Attempt::receiving(self.link.server(), error);
        let opened: D::Opened = reader.expect().await.map_err(receiving)?;
        self.heard.send_modify(|heard| heard.opened = Some(Arc::new(opened)));
        self.on.send_replace(Some(connection.clone()));
        // The server may have forgotten what was set by an earlier stream.
        self.mine.mark_changed();
        let saying = say(out, &mut self.mine, &self.said, &self.leaving);
        tokio::pin!(saying);
        let mut left = false;
        loop {
            tokio::select! {
                heard = reader.next::<Signal>() => match heard.map_err(receiving)? {
                    Some(Signal { value }) => {
                        self.patience.rest();
                        self.heard.send_if_modified(|heard| hear(heard, value));
                    }
                    None if left => return Ok(()),
                    None => return Err(receiving(RecvError::Ended)),
                },
                () = &mut saying, if !left => left = true,
            }
        }
    }
}

/// Says each newest value, until this side has left and said the last.
async fn say(
    out: &mut SendStream,
    mine: &mut watch::Receiver<Option<SignalValue>>,
    said: &watch::Sender<Option<SignalValue>>,
    leaving: &CancellationToken,
) {
    let mut pace = SignalPace::default();
    loop {
        tokio::select! {
            biased;
            changed = mine.changed() => if changed.is_err() {
                // The channel is being dropped, and this with it.
                return std::future::pending().await;
            },
            () = leaving.cancelled() => return out.finish(),
        }
        pace.ready().await;
        let value = mine.borrow_and_update().clone();
        let Some(value) = value else { continue };
        pace.count();
        let signal = Signal { value };
        if send(out, &signal).await.is_err() {
            // A server that refuses stops reading before it is understood: why, the reader hears.
            return std::future::pending().await;
        }
        said.send_replace(Some(signal.value));
    }
}

/// Takes a value in, unless it is the one that is there: a new stream begins with what an earlier one has told.
fn hear<O>(heard: &mut Heard<O>, value: SignalValue) -> bool {
    let number = match &heard.value {
        Some((_, same)) if *same == value => return false,
        Some((number, _)) => number + 1,
        None => 1,
    };
    heard.value = Some((number, value));
    true
}
