//! Why a code led to nothing.

use hypersend_protocol::code::NotAWord;

/// The code is used up; another one is needed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// At the receiver: the words are not those of the sender.
    #[error("the words of the code are wrong, and it is used up")]
    Wrong,
    /// At the sender: whoever came did not know the words.
    #[error("somebody has typed a wrong code, or tried to guess it; it is used up")]
    Guessed,
    /// The other side has begun anew in the middle, which no client does.
    #[error("somebody interferes with this code; it is used up")]
    Interference,
    /// The sender's program is not running any more, or its network is away.
    #[error("whoever made the code is not there")]
    NoSender,
    /// The other side is there no more, or was never more than there.
    #[error("the other side has left without a word, or says nothing; the code is used up")]
    Gone,
    /// Nobody has typed it for as long as the server keeps it, or somebody who then said nothing.
    #[error("the code has lapsed: nobody has typed it in time, or whoever did has said nothing")]
    Lapsed,
    /// The names of what is offered are too long together.
    #[error("the names of these files are too long together; put them into a folder, and send that")]
    LongNames,
    /// The other side does not keep to the protocol, or to another version of it.
    #[error("the other side makes no sense")]
    Nonsense(#[from] NotAWord),
}
