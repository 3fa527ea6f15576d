//! Why files did not get from one client to the other.

use super::code::CodeError;
use crate::{ClientError, DownloadError, UploadError};
use hypersend_paths::{IdentityError, OpenError};
use hypersend_peer::{ReceiveError, SendError};
use hypersend_protocol::{name::FileName, p2p::P2pStatus};

/// Not everything is across. What is stays at the receiver, and the same begun again goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum DirectError {
    /// The server or the client said no.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The receiver does not want it.
    #[error("declined by the receiver")]
    Declined,
    /// [`DirectTransfer::cancel`](crate::direct::DirectTransfer::cancel) was called.
    #[error("cancelled")]
    Cancelled,
    /// The other side has called it off.
    #[error("the other side has cancelled the transfer")]
    OtherCancelled,
    /// The other side has given up.
    #[error("the other side has given up")]
    OtherFailed,
    /// This user does the same at another device, or in another process.
    #[error("this transfer goes on at another of your devices or programs")]
    Elsewhere,
    /// It was over before it began.
    #[error("the transfer is over already")]
    Over(P2pStatus),
    /// No way, and what is offered does not go through the server either.
    #[error("the other side is not reached, and folders cannot go through the server; pack them into one file")]
    NoWayForFolders,
    /// No way, and nothing goes through the server where there are no accounts.
    #[error("the other side is there and not reached: there is no direct way, and no relay that both get through to")]
    NoWay,
    /// It was reached before, and has been gone for too long.
    #[error("the other side is gone")]
    OtherAway,
    /// The code is used up.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// There is no way, and the sender goes on through the server, from where this is missing.
    #[error("the sender has put the files on the server, but the message with them is gone")]
    NoMessage,
    /// A file is another by now, and goes through the server only as it was offered.
    #[error("{0} has changed since it was offered; send it again")]
    NotOffered(FileName),
    /// What the sender has put on the server is not what the receiver has said yes to.
    #[error("the sender has put other files on the server than were offered; nothing of them is fetched")]
    NotAgreed,
    /// The session cannot be opened here.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The session cannot be opened here.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Sending failed.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Receiving failed.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// Putting a file on the server failed.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// Fetching a file from the server failed.
    #[error(transparent)]
    Download(#[from] DownloadError),
}

impl DirectError {
    /// Whether this side called it off.
    pub fn is_own_cancellation(&self) -> bool {
        matches!(self, Self::Cancelled | Self::Send(SendError::Here) | Self::Receive(ReceiveError::Cancelled))
    }

    /// Whether the other side did.
    pub fn is_others_cancellation(&self) -> bool {
        let of_send = matches!(self, Self::Send(SendError::Cancelled));
        of_send || matches!(self, Self::OtherCancelled | Self::Receive(ReceiveError::SenderCancelled))
    }
}
