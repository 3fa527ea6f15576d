//! What two sides of a code say to each other, across a mailbox.

use super::{error::CodeError, exchange::Exchange, text::Code};
use crate::{
    direct::{error::DirectError, line::Line},
    mailbox::MailboxChannel,
    tunnel::{Near, Tunnel},
};
use hypersend_protocol::{
    code::{OfferSummary, Word},
    id::{P2pId, RelayId},
    relay::ticket::Side,
    signal::RelaySeat,
};
use serde_bytes::ByteBuf;
use std::{io, time::Duration};
use tokio::time::{Instant, timeout};

/// One side of a code. Says by itself that the receiver is there, and what the sender offers.
pub(super) struct CodedLine {
    mailbox: MailboxChannel,
    exchange: Exchange,
    /// What the sender offers to who has shown that it knows the words.
    offer: Option<Word>,
    /// When the other side was first heard of.
    met: Option<Instant>,
    /// The other side's newest state, if nobody has taken it yet.
    state: Option<Vec<u8>>,
}

impl CodedLine {
    /// The sender's side, with what it offers.
    pub(super) fn sender(mailbox: MailboxChannel, code: &Code, offer: Word) -> Self {
        Self::begin(mailbox, code, Some(offer))
    }

    /// The receiver's side.
    pub(super) fn receiver(mailbox: MailboxChannel, code: &Code) -> Self {
        Self::begin(mailbox, code, None)
    }

    fn begin(mailbox: MailboxChannel, code: &Code, offer: Option<Word>) -> Self {
        let exchange = Exchange::begin(code, mailbox.side(), mailbox.id());
        let line = Self { mailbox, exchange, offer, met: None, state: None };
        line.put(line.exchange.opening());
        line
    }

    /// What stands for the session.
    pub(super) fn id(&self) -> P2pId {
        self.mailbox.id()
    }

    /// Waits until the receiver is there, and has been told of the offer. From its first message to its first word it may take
    /// so long. Cancel safe.
    pub(super) async fn arrived(&mut self, greeting: Duration) -> Result<(), DirectError> {
        while self.offer.is_some() {
            let Some(met) = self.met else {
                self.hear().await?;
                continue;
            };
            // Who claims a code and says nothing more has used it up all the same.
            let left = greeting.saturating_sub(met.elapsed());
            timeout(left, self.hear()).await.map_err(|_| CodeError::Gone)??;
        }
        Ok(())
    }

    /// Waits until the receiver has said yes. Cancel safe.
    pub(super) async fn accepted(&mut self) -> Result<(), DirectError> {
        while self.state.is_none() {
            self.hear().await?;
        }
        Ok(())
    }

    /// Waits for the sender's offer. Cancel safe.
    pub(super) async fn offered(&mut self) -> Result<OfferSummary, DirectError> {
        loop {
            if let Some(Word::Offer(offer)) = self.hear().await? {
                return Ok(offer);
            }
        }
    }

    /// Waits until there is nothing to wait for any more. Cancel safe.
    pub(super) async fn over(&mut self) -> DirectError {
        loop {
            if let Err(error) = self.hear().await {
                return error;
            }
        }
    }

    /// Says one last thing, and leaves the mailbox.
    pub(super) async fn leave(mut self, word: &Word) {
        self.say(word);
        self.mailbox.leave().await;
    }

    /// Takes in the next value; gives what else it holds than a state or an end.
    async fn hear(&mut self) -> Result<Option<Word>, DirectError> {
        let had_key = self.exchange.has_key();
        let Some(value) = self.mailbox.next().await? else {
            // Whoever leaves says so before.
            return Err(match (had_key, self.mailbox.side()) {
                (true, _) => CodeError::Gone,
                (false, Side::Sender) => CodeError::Lapsed,
                (false, Side::Receiver) => CodeError::NoSender,
            }
            .into());
        };
        self.met.get_or_insert_with(Instant::now);
        let word = self.exchange.hear(&value)?;
        if self.mailbox.side() == Side::Receiver && !had_key {
            self.say(&Word::Here);
        }
        match word {
            Some(Word::Here) => {
                if let Some(offer) = self.offer.take() {
                    self.say(&offer);
                }
                Ok(None)
            }
            Some(Word::State(state)) => {
                self.state = Some(state.into_vec());
                Ok(None)
            }
            Some(Word::Declined) => Err(DirectError::Declined),
            Some(Word::Cancelled) => Err(DirectError::OtherCancelled),
            Some(Word::Failed) => Err(DirectError::OtherFailed),
            Some(Word::NoWay) => Err(DirectError::NoWay),
            other => Ok(other),
        }
    }

    /// Without effect before there is a key: nobody could read it.
    fn say(&mut self, word: &Word) {
        // What an offer comes to was looked at before, and a state is shorter than a word may be.
        if let Some(value) = self.exchange.say(word).expect("a word that fits") {
            self.put(value);
        }
    }

    fn put(&self, value: Vec<u8>) {
        self.mailbox.set(value).expect("a value is no longer than a signal may be");
    }
}

impl Line for CodedLine {
    /// What comes was sealed by who knows the code.
    const IS_SEALED: bool = true;

    /// The mailbox is gone, or its server. What the other side has to say comes by the ways as well.
    fn is_outlived(error: &DirectError) -> bool {
        matches!(error, DirectError::Client(_) | DirectError::Code(CodeError::Gone))
    }

    fn relays(&self) -> Vec<RelaySeat> {
        self.mailbox.relays()
    }

    fn tunnel(&self, relay: RelayId, near: Near) -> io::Result<Tunnel> {
        self.mailbox.tunnel(relay, near)
    }

    fn set(&mut self, state: Vec<u8>) {
        self.say(&Word::State(ByteBuf::from(state)));
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>, DirectError> {
        loop {
            if let Some(state) = self.state.take() {
                return Ok(Some(state));
            }
            if let Some(Word::Finished) = self.hear().await? {
                return Ok(None);
            }
        }
    }

    /// Its last value is still to come.
    async fn settle(&mut self) {}
}
