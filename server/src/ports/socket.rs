//! A TCP connection, as far as it needs more care than a socket: one whose client reads nothing is given up, and one that
//! ends does so without a reset.
//!
//! Whoever closes a socket over bytes that came meanwhile resets it, and what was still on its way to the client is lost
//! (RFC 9293, 3.6). Over HTTP/2 such bytes keep coming: the window updates of the client that reads the last answer. So a
//! connection that was ended in good order is read away for a while.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a client may leave what it asked for unread.
const UNREAD: Duration = Duration::from_secs(30);

/// A write of so many bytes is content, and not the farewell itself.
const CONTENT_BYTES: usize = 1 << 10;

/// What was written longer ago has arrived.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);

/// How long the client may say nothing before it is taken for having read everything, and how long it may go on in all.
const QUIET: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(30);

/// A TCP connection that is given up when it is not read, and parts without a reset.
pub(super) struct Socket {
    /// Taken when this is dropped.
    parts: Option<(TcpStream, After)>,
    /// Runs while the client reads nothing.
    unread: Option<Pin<Box<Sleep>>>,
    /// When content was last written.
    content: Option<Instant>,
    /// Whether the farewell itself is content.
    says_why: bool,
    /// Whether this side has ended it in good order.
    ended: bool,
}

/// What a connection has until its very end.
pub(super) struct After {
    /// Where its end is waited for.
    pub(super) tasks: TaskTracker,
    /// Cancelled when there is no more time for it.
    pub(super) cut: CancellationToken,
    /// One of those that connections may take.
    pub(super) place: OwnedSemaphorePermit,
}

impl Socket {
    /// A fresh connection.
    pub(super) fn new(stream: TcpStream, after: After) -> Self {
        Self { parts: Some((stream, after)), unread: None, content: None, says_why: false, ended: false }
    }

    /// Its last words are to arrive, however short they are.
    pub(super) fn says_why(&mut self) {
        self.says_why = true;
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        let (stream, _) = self.parts.as_mut().expect("they are taken when this is dropped");
        Pin::new(stream)
    }

    /// What came of an attempt to write.
    fn wrote(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = written else {
            let timer = self.unread.get_or_insert_with(|| Box::pin(sleep(UNREAD)));
            ready!(timer.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        };
        self.unread = None;
        if written.as_ref().is_ok_and(|&bytes| bytes >= CONTENT_BYTES) {
            self.content = Some(Instant::now());
        }
        Poll::Ready(written)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let on_its_way = self.says_why || self.content.is_some_and(|content| content.elapsed() < ARRIVES_WITHIN);
        let Some((stream, After { tasks, cut, place })) = self.parts.take().filter(|_| self.ended && on_its_way) else {
            return;
        };
        tasks.spawn(async move {
            cut.run_until_cancelled(timeout(LONGEST, read_away(stream))).await;
            drop(place);
        });
    }
}

async fn read_away(mut stream: TcpStream) {
    let mut unwanted = [0; 4 << 10];
    while let Ok(Ok(1..)) = timeout(QUIET, stream.read(&mut unwanted)).await {}
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.stream().poll_write(cx, bytes);
        self.wrote(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream().poll_write_vectored(cx, bytes);
        self.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.parts.as_ref().is_some_and(|(stream, _)| stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ended = true;
        self.stream().poll_shutdown(cx)
    }
}
