//! The sender's side: a mailbox, a code, and whoever types it.

use super::{CodeOptions, error::CodeError, last_word, line::CodedLine, text::Code};
use crate::{
    direct::{
        carry::{Carried, carry},
        error::DirectError,
        meeting::Meeting,
        send::reported,
        transfer::{DirectTransfer, Told, Whereabouts, unless},
    },
    mailbox::Guest,
};
use hypersend_paths::Role;
use hypersend_peer::{Offer, Sending, Sent};
use hypersend_protocol::code::{NotAWord, OfferSummary, Word};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Asks a server for a code, and sends what is offered to whoever types it: once. No account is needed. The transfer waits for
/// that for as long as the server keeps the code; it is over when it is dropped, and what has arrived stays: the same offered to
/// the same folder by another code goes on from there.
pub async fn send_by_code(
    guest: Guest,
    offer: Arc<Offer>,
    options: CodeOptions,
) -> Result<(Code, DirectTransfer<Sent>), DirectError> {
    let word = word_of(&offer)?;
    let host = guest.server().host().to_owned();
    let mailbox = guest.open().await?;
    let code = Code::draw(mailbox.nameplate());
    let line = CodedLine::sender(mailbox, &code, word);
    let transfer = DirectTransfer::start(Whereabouts::Waiting, move |told, cancel| async move {
        Run { host, offer, options, told, cancel }.run(line).await
    });
    Ok((code, transfer))
}

/// What is said of an offer.
fn word_of(offer: &Offer) -> Result<Word, CodeError> {
    let word = Word::Offer(OfferSummary { things: offer.top(), files: offer.files() });
    match word.encode() {
        Ok(_) => Ok(word),
        Err(NotAWord::TooLong(_)) => Err(CodeError::LongNames),
        Err(error) => Err(error.into()),
    }
}

struct Run {
    host: String,
    offer: Arc<Offer>,
    options: CodeOptions,
    told: Told,
    cancel: CancellationToken,
}

impl Run {
    async fn run(self, mut line: CodedLine) -> Result<Sent, DirectError> {
        let done = self.send(&mut line).await;
        line.leave(&last_word(&done)).await;
        done
    }

    async fn send(&self, line: &mut CodedLine) -> Result<Sent, DirectError> {
        unless(&self.cancel, line.arrived(self.options.greeting)).await?;
        self.told.whereabouts(Whereabouts::Offered);
        unless(&self.cancel, line.accepted()).await?;
        self.told.whereabouts(Whereabouts::Waiting);
        let mut meeting = Meeting::open(Role::Sender, line.id(), line, &self.host, self.options.terms())?;
        let mut sending = Sending::start(Arc::clone(&self.offer));
        let done = match carry(&mut meeting, &mut sending, &self.told, &self.cancel).await {
            Ok(Carried::Done(sent)) => {
                meeting.linger(&self.told).await;
                Ok(sent)
            }
            // The receiver says that it has everything.
            Ok(Carried::Over) => reported(&sending, &self.offer).await,
            Ok(Carried::NoWay) => Err(meeting.without_way()),
            Err(error) => Err(error),
        };
        meeting.close(&self.told).await;
        done
    }
}
