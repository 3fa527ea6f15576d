//! One question, asked on the best path there is, and on the next when that one falls silent or ends, until it is answered.

use crate::{
    for_people,
    paths::{Live, Paths},
};
use bytes::Bytes;
use hypersend_net::frames::{FrameReader, RecvError, send};
use hypersend_protocol::{
    frame::{Frame, FrameSet, Operation},
    hash::{ChunkValue, ListingId},
    peer::{GetPiece, GetSmall, PieceFollows, SmallFollows},
    refusal::Refusal,
    stream::priority,
};
use hypersend_transfer::plan::Span;
use std::time::Duration;
use tokio::time::sleep;

/// How long to wait before asking again on a path that failed at once, and may be found to have closed only after that.
const AGAIN: Duration = Duration::from_millis(50);

/// No answer that could be used.
#[derive(Clone, Debug)]
pub(crate) enum AskError {
    /// The sender said no.
    Refused(Refusal),
    /// What came is not what may come here.
    Nonsense(String),
}

/// Why one attempt failed.
enum Attempt {
    /// Ask again.
    Lost,
    Over(AskError),
}

impl From<RecvError> for Attempt {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Refused(refusal) => {
                let message = for_people(&refusal.message);
                Self::Over(AskError::Refused(Refusal { message, ..refusal }))
            }
            RecvError::Frame(error) => Self::Over(AskError::Nonsense(for_people(&error.to_string()))),
            RecvError::Ended | RecvError::Stream(_) => Self::Lost,
        }
    }
}

/// An answer as it comes in.
struct Answer<'a> {
    reader: FrameReader,
    paths: &'a Paths,
    live: &'a Live,
}

impl Answer<'_> {
    async fn frame<S: FrameSet>(&mut self) -> Result<S, Attempt> {
        let frame = self.reader.expect().await;
        // A refusal is a sign of life as well.
        if !matches!(frame, Err(RecvError::Stream(_))) {
            self.paths.heard(self.live, 0);
        }
        Ok(frame?)
    }

    async fn raw(&mut self, length: u32) -> Result<Vec<Bytes>, Attempt> {
        // Full packets carry about 1,400 bytes; one allocation then holds all the pieces.
        let mut pieces = Vec::with_capacity(length as usize / 1_300 + 2);
        let mut missing = length as usize;
        while missing > 0 {
            let piece = self.reader.piece(missing).await?;
            self.paths.heard(self.live, piece.len());
            missing -= piece.len();
            pieces.push(piece);
        }
        Ok(pieces)
    }
}

/// A question, and how to read its answer.
trait Question: Sync {
    type Frame: Frame + Sync;
    type Answer: Send;

    const URGENCY: i32;

    fn frame(&self) -> Self::Frame;

    fn read(&self, answer: Answer<'_>) -> impl Future<Output = Result<Self::Answer, Attempt>> + Send;
}

/// One frame is the answer.
struct Plain<'a, O>(&'a O);

impl<O: Operation<Answer: Send> + Clone + Sync> Question for Plain<'_, O> {
    type Frame = O;
    type Answer = O::Answer;

    const URGENCY: i32 = priority::REQUEST;

    fn frame(&self) -> O {
        self.0.clone()
    }

    async fn read(&self, mut answer: Answer<'_>) -> Result<O::Answer, Attempt> {
        answer.frame().await
    }
}

struct Piece {
    listing: ListingId,
    entry: u32,
    span: Span,
}

impl Question for Piece {
    type Frame = GetPiece;
    type Answer = (ChunkValue, Vec<Bytes>);

    const URGENCY: i32 = priority::BULK;

    fn frame(&self) -> GetPiece {
        GetPiece { listing: self.listing, entry: self.entry, offset: self.span.offset, length: self.span.length }
    }

    async fn read(&self, mut answer: Answer<'_>) -> Result<Self::Answer, Attempt> {
        let follows: PieceFollows = answer.frame().await?;
        if follows.length != self.span.length {
            return Err(nonsense("a range of another length than was asked for"));
        }
        Ok((follows.value, answer.raw(self.span.length).await?))
    }
}

struct Small<'a> {
    listing: ListingId,
    files: &'a [(u32, u32)],
}

impl Question for Small<'_> {
    type Frame = GetSmall;
    type Answer = Vec<(SmallFollows, Vec<Bytes>)>;

    const URGENCY: i32 = priority::BULK;

    fn frame(&self) -> GetSmall {
        GetSmall { listing: self.listing, entries: self.files.iter().map(|(entry, _)| *entry).collect() }
    }

    async fn read(&self, mut answer: Answer<'_>) -> Result<Self::Answer, Attempt> {
        let mut files = Vec::with_capacity(self.files.len());
        for &(entry, length) in self.files {
            let follows: SmallFollows = answer.frame().await?;
            if (follows.entry, follows.length) != (entry, length) {
                return Err(nonsense("another file than was asked for"));
            }
            files.push((follows, answer.raw(length).await?));
        }
        Ok(files)
    }
}

/// Asks a question that one frame answers.
pub(crate) async fn ask<O>(paths: &Paths, question: &O) -> Result<O::Answer, AskError>
where
    O: Operation<Answer: Send> + Clone + Sync,
{
    until_answered(paths, &Plain(question)).await
}

/// One range, and the value that the sender gave it.
pub(crate) async fn piece(
    paths: &Paths,
    listing: ListingId,
    entry: u32,
    span: Span,
) -> Result<(ChunkValue, Vec<Bytes>), AskError> {
    until_answered(paths, &Piece { listing, entry, span }).await
}

/// Whole files, of which the numbers and the lengths are known, each with what the sender says of it.
pub(crate) async fn small(
    paths: &Paths,
    listing: ListingId,
    files: &[(u32, u32)],
) -> Result<Vec<(SmallFollows, Vec<Bytes>)>, AskError> {
    until_answered(paths, &Small { listing, files }).await
}

fn nonsense(what: &str) -> Attempt {
    Attempt::Over(AskError::Nonsense(what.to_owned()))
}

async fn until_answered<Q: Question>(paths: &Paths, question: &Q) -> Result<Q::Answer, AskError> {
    let frame = question.frame();
    loop {
        let live = paths.best().await;
        let attempt = async {
            let (mut stream, recv) = live.connection.open_bi().await.map_err(|_| Attempt::Lost)?;
            stream.set_priority(Q::URGENCY);
            send(&mut stream, &frame).await.map_err(|_| Attempt::Lost)?;
            stream.finish();
            question.read(Answer { reader: FrameReader::new(recv), paths, live: &live }).await
        };
        tokio::select! {
            answered = attempt => match answered {
                Ok(answer) => return Ok(answer),
                Err(Attempt::Over(error)) => return Err(error),
                Err(Attempt::Lost) => sleep(AGAIN).await,
            },
            () = paths.leave(&live) => {}
        }
    }
}
