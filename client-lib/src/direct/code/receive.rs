//! The receiver's side: the code, the offer, a yes or no, and the files.

use super::{CodeOptions, error::CodeError, last_word, line::CodedLine, text::Code};
use crate::{
    direct::{
        carry::{Carried, carry},
        error::DirectError,
        meeting::Meeting,
        receive::take_what_is_there,
        transfer::{DirectTransfer, Told, Whereabouts},
    },
    mailbox::Guest,
};
use hypersend_paths::Role;
use hypersend_peer::{Received, Receiving};
use hypersend_protocol::code::{OfferSummary, Word};
use std::{
    fmt,
    path::{Path, PathBuf},
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Tells what came by a code from what came from somebody with an account. All senders with a code are one: nothing
/// tells them apart, and each goes on only with files that it can name the keys of.
const TAG: [u8; 32] = *b"hypersend sender with a code   1";

/// Takes a code to the server, which uses it up, and waits for what is offered. No account is needed. A code that does not
/// exist, or is used up, is refused as `not_found`.
pub async fn receive_by_code(guest: Guest, code: &Code, options: CodeOptions) -> Result<CodeOffer, DirectError> {
    let host = guest.server().host().to_owned();
    let mailbox = guest.claim(code.nameplate()).await?;
    let mut line = CodedLine::receiver(mailbox, code);
    let offered = timeout(options.greeting, line.offered()).await.unwrap_or_else(|_| Err(CodeError::NoSender.into()));
    match offered {
        Ok(summary) => Ok(CodeOffer { line, summary, host, options }),
        Err(error) => {
            line.leave(&Word::Failed).await;
            Err(error)
        }
    }
}

/// What somebody offers, until it is answered. The sender waits meanwhile.
pub struct CodeOffer {
    line: CodedLine,
    summary: OfferSummary,
    host: String,
    options: CodeOptions,
}

impl fmt::Debug for CodeOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeOffer").field("summary", &self.summary).finish_non_exhaustive()
    }
}

impl CodeOffer {
    /// What is offered.
    pub fn summary(&self) -> &OfferSummary {
        &self.summary
    }

    /// Waits until it is no longer offered: why. Cancel safe.
    pub async fn withdrawn(&mut self) -> DirectError {
        self.line.over().await
    }

    /// Says no.
    pub async fn decline(self) {
        self.line.leave(&Word::Declined).await;
    }

    /// Says yes, and puts what comes into a folder that exists. Begins at once. What is there under the same name stays, and
    /// what arrives gets a number.
    pub fn accept(self, folder: impl AsRef<Path>) -> DirectTransfer<Received> {
        let Self { mut line, summary, host, options } = self;
        let folder = folder.as_ref().to_owned();
        DirectTransfer::start(Whereabouts::Waiting, move |told, cancel| async move {
            let done = Run { summary, host, folder, options, told, cancel }.receive(&mut line).await;
            line.leave(&last_word(&done)).await;
            done
        })
    }
}

struct Run {
    summary: OfferSummary,
    host: String,
    folder: PathBuf,
    options: CodeOptions,
    told: Told,
    cancel: CancellationToken,
}

impl Run {
    async fn receive(self, line: &mut CodedLine) -> Result<Received, DirectError> {
        let mut meeting = Meeting::open(Role::Receiver, line.id(), line, &self.host, self.options.terms())?;
        let mut receiving = Receiving::start(self.folder, TAG, Some(self.summary.things));
        let done = match carry(&mut meeting, &mut receiving, &self.told, &self.cancel).await {
            Ok(Carried::Done(received)) => Ok(received),
            // The engine has told all it has to tell.
            Err(DirectError::Receive(error)) => Err(error.into()),
            cut_short => match take_what_is_there(&meeting, receiving).await {
                Some(received) => Ok(received),
                None => Err(match cut_short {
                    Ok(Carried::NoWay) => meeting.without_way(),
                    // A sender has nothing to finish.
                    Ok(_) => DirectError::OtherFailed,
                    Err(error) => error,
                }),
            },
        };
        meeting.close(&self.told).await;
        done
    }
}
