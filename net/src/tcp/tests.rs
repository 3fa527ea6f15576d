//! Both sides over a real socket, without TLS.

use super::{accept, connect};
use crate::{
    connection::{Closed, Connection},
    stream::{RecvStream, SendStream},
    transport::{STRANGER_WINDOW, STREAM_WINDOW},
};
use bytes::Bytes;
use hypersend_protocol::refusal::ErrorCode;
use std::{net::Ipv4Addr, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Enough for anything that happens at all, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// Enough for anything that would happen to have happened.
const AWHILE: Duration = Duration::from_millis(300);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.expect("it happens soon")
}

/// A client and a server that are connected.
async fn pair() -> (Connection, Connection) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (near, (far, peer)) = (near.unwrap(), far.unwrap());
    let (client, server) = tokio::join!(connect(near, address, Duration::ZERO), accept(far, peer));
    let ((client, moving), (server, serving)) = (client.unwrap(), server.unwrap());
    tokio::spawn(moving);
    tokio::spawn(serving);
    (client.into(), server.into())
}

/// A stream, as each side has it.
async fn stream(client: &Connection, server: &Connection) -> ((SendStream, RecvStream), (SendStream, RecvStream)) {
    let near = soon(client.open_bi()).await.unwrap();
    (near, soon(server.accept_bi()).await.unwrap())
}

async fn read_all(stream: &mut RecvStream) -> usize {
    let mut length = 0;
    while let Some(bytes) = soon(stream.read(usize::MAX)).await.unwrap() {
        length += bytes.len();
    }
    length
}

/// Bytes that are taken before the writer has to wait.
async fn taken(stream: &mut SendStream) -> usize {
    let piece = Bytes::from(vec![0; 8 << 10]);
    let mut length = 0;
    while let Ok(written) = timeout(AWHILE, stream.write(piece.clone())).await {
        written.unwrap();
        length += piece.len();
    }
    length
}

#[tokio::test]
async fn both_directions_carry_bytes_to_their_ends() {
    let (client, server) = pair().await;
    let ((mut ask, mut answer), (mut reply, mut question)) = stream(&client, &server).await;
    soon(ask.write(Bytes::from_static(b"how long?"))).await.unwrap();
    ask.finish();
    assert_eq!(soon(question.read(4)).await.unwrap().unwrap(), "how ");
    assert_eq!(soon(question.read(100)).await.unwrap().unwrap(), "long?");
    assert_eq!(soon(question.read(100)).await.unwrap(), None);
    let long = Bytes::from(vec![7; 5 << 20]);
    let writing = tokio::spawn(async move {
        reply.write(long).await.unwrap();
        reply.finish();
    });
    assert_eq!(read_all(&mut answer).await, 5 << 20);
    soon(writing).await.unwrap();
}

#[tokio::test]
async fn what_was_said_before_closing_arrives_and_so_does_why() {
    for _ in 0..20 {
        let (client, server) = pair().await;
        let ((_ask, mut answer), (mut reply, _)) = stream(&client, &server).await;
        soon(reply.write(Bytes::from(vec![1; 100_000]))).await.unwrap();
        reply.finish();
        soon(reply.delivered()).await;
        server.close(ErrorCode::SessionEnded);
        assert_eq!(read_all(&mut answer).await, 100_000);
        assert_eq!(soon(client.closed()).await, Closed::ByPeer(ErrorCode::SessionEnded));
        assert_eq!(soon(server.closed()).await, Closed::Here);
        assert!(client.is_closed() && server.is_closed());
        assert_eq!(soon(client.open_bi()).await.unwrap_err(), Closed::ByPeer(ErrorCode::SessionEnded));
    }
}

#[tokio::test]
async fn a_client_that_closes_or_goes_is_noticed() {
    let (client, server) = pair().await;
    let kept = soon(client.open_bi()).await.unwrap();
    soon(server.accept_bi()).await.unwrap();
    client.close(ErrorCode::Closed);
    assert_eq!(soon(client.closed()).await, Closed::Here);
    assert!(matches!(soon(server.closed()).await, Closed::Lost(_)));
    assert!(matches!(soon(server.accept_bi()).await, Err(Closed::Lost(_))));
    drop(kept);

    let (client, server) = pair().await;
    let ((ask, answer), _) = stream(&client, &server).await;
    drop(client);
    timeout(AWHILE, server.closed()).await.expect_err("a stream keeps the connection");
    drop((ask, answer));
    assert!(matches!(soon(server.closed()).await, Closed::Lost(_)));
}

#[tokio::test]
async fn a_stranger_is_trusted_with_little_and_a_guest_with_more() {
    let (client, server) = pair().await;
    let ((mut ask, _answer), (_reply, mut question)) = stream(&client, &server).await;
    let before = taken(&mut ask).await;
    let stranger = STRANGER_WINDOW as usize;
    assert!((stranger..stranger + super::STREAM_BUFFER).contains(&before), "{before}");
    server.welcome();
    let after = before + taken(&mut ask).await;
    let window = STREAM_WINDOW as usize;
    assert!((window..window + super::STREAM_BUFFER).contains(&after), "{after}");

    // What is read makes room for as much.
    let mut read = 0;
    while read < window / 2 {
        read += soon(question.read(usize::MAX)).await.unwrap().unwrap().len();
    }
    assert!(taken(&mut ask).await >= window / 2 - (16 << 10));
}

#[tokio::test]
async fn a_stream_that_waits_holds_up_no_other() {
    let (client, server) = pair().await;
    server.welcome();
    let ((mut full, _answer), _unread) = stream(&client, &server).await;
    taken(&mut full).await;
    let ((mut ask, _), (_, mut question)) = stream(&client, &server).await;
    soon(ask.write(Bytes::from(vec![0; 1 << 20]))).await.unwrap();
    ask.finish();
    assert_eq!(read_all(&mut question).await, 1 << 20);
}

#[tokio::test]
async fn a_writer_learns_that_nobody_reads_and_still_hears_why() {
    let (client, server) = pair().await;
    server.welcome();
    let ((mut ask, mut answer), (mut reply, mut question)) = stream(&client, &server).await;
    question.stop(ErrorCode::LimitReached);
    soon(reply.write(Bytes::from_static(b"no"))).await.unwrap();
    reply.finish();
    drop((reply, question));
    let piece = Bytes::from(vec![0; 64 << 10]);
    let refused = async { while ask.write(piece.clone()).await.is_ok() {} };
    soon(refused).await;
    assert_eq!(soon(answer.read(10)).await.unwrap().unwrap(), "no");
}
