//! Bodies both ways: whole, slow, refused, failing, cancelled.

use super::{
    super::{Transport, gate},
    setup::*,
};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Extension},
    response::IntoResponse,
    routing::{get as on_get, put as on_put},
};
use bytes::{Buf as _, Bytes};
use futures::stream;
use h3::error::Code;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use hypersend_net::transport::STREAM_WINDOW;
use quinn::VarInt;
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};

/// Bytes of which no two pieces are alike.
fn pattern(length: usize) -> Bytes {
    (0..length).map(|index| u8::try_from((index ^ (index >> 8) ^ (index >> 16)) & 0xff).unwrap()).collect()
}

#[tokio::test]
async fn a_large_body_comes_back_while_it_is_sent() {
    let server = Server::start(Router::new().route("/echo", on_put(|body: Body| async { body })));
    let mut client = server.client().await;
    let sent = pattern(8 << 20);
    let exchange = client.begin(put("/echo")).await;
    let (mut send, mut recv) = exchange.split();
    let sending = async {
        for start in (0..sent.len()).step_by(100_000) {
            send.send_data(sent.slice(start..sent.len().min(start + 100_000))).await.unwrap();
        }
        send.finish().await.unwrap();
    };
    let receiving = async {
        assert_eq!(recv.recv_response().await.unwrap().status(), StatusCode::OK);
        let mut received = Vec::new();
        while let Some(mut data) = recv.recv_data().await.unwrap() {
            received.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
        received
    };
    let ((), received) = soon(async { tokio::join!(sending, receiving) }).await;
    assert!(received == sent, "{} bytes came back", received.len());
}

/// Holds the body until it is told to read, then says how many bytes there were.
fn slow_reader(release: &Arc<Notify>) -> Router {
    let release = release.clone();
    let handler = move |body: Body| async move {
        release.notified().await;
        to_bytes(body, usize::MAX).await.unwrap().len().to_string()
    };
    Router::new().route("/slow", on_put(handler))
}

/// Writes until the other side takes nothing for a second; how much it took.
async fn write_until_stuck(stream: &mut quinn::SendStream, mut piece: impl FnMut() -> Bytes, most: usize) -> usize {
    let mut taken = 0;
    while taken < most {
        let mut piece = piece();
        while !piece.is_empty() {
            match timeout(Duration::from_secs(1), stream.write(&piece)).await {
                Ok(length) => {
                    let length = length.unwrap();
                    taken += length;
                    piece = piece.slice(length..);
                }
                Err(_) => return taken,
            }
        }
    }
    taken
}

/// What a stream takes beyond what is counted: its window, a read before and one behind the limit, and its head.
const SLACK: usize = STREAM_WINDOW as usize + (96 << 10) + 1_000;

#[tokio::test]
async fn a_handler_that_does_not_read_stops_the_client() {
    let release = Arc::new(Notify::new());
    let server = Server::start(slow_reader(&release));
    let client = server.client().await;
    let (mut send, mut recv) = client.connection.open_bi().await.unwrap();
    send.write_all(&head(&put_fields("/slow"))).await.unwrap();
    // One frame of 2^30 - 1 bytes, of which we send what is taken.
    send.write_all(&[0, 0xbf, 0xff, 0xff, 0xff]).await.unwrap();
    let taken = write_until_stuck(&mut send, || Bytes::from_static(&[7; 10_000]), 8 << 20).await;
    assert!(taken <= gate::LIMIT + SLACK, "{taken} bytes taken");
    assert!(taken > gate::LIMIT, "{taken} bytes taken");
    // A reset is noticed as soon as somebody reads: the answer is one as well.
    send.reset(VarInt::from_u32(0x10c)).unwrap();
    release.notify_one();
    let error = soon(recv.read(&mut [0; 1])).await.unwrap_err();
    assert_eq!(error, quinn::ReadError::Reset(VarInt::from_u32(0x10c)));
}

#[tokio::test]
async fn tiny_frames_are_counted_with_what_they_cost_and_all_arrive() {
    let release = Arc::new(Notify::new());
    let server = Server::start(slow_reader(&release));
    let client = server.client().await;
    let (mut send, mut recv) = client.connection.open_bi().await.unwrap();
    send.write_all(&head(&put_fields("/slow"))).await.unwrap();
    let frames = Bytes::from(b"\x00\x01x".repeat(1_000));
    let taken = write_until_stuck(&mut send, || frames.clone(), 8 << 20).await;
    assert!(taken <= 3 * gate::LIMIT / gate::PIECE_COST + SLACK, "{taken} bytes taken");
    release.notify_one();
    // Finish the frames of the piece in which it got stuck.
    let rest = (frames.len() - taken % frames.len()) % frames.len();
    soon(send.write_all(&frames[frames.len() - rest..])).await.unwrap();
    send.finish().unwrap();
    let answer = soon(recv.read_to_end(10_000)).await.unwrap();
    let count = ((taken + rest) / 3).to_string();
    assert!(answer.ends_with(count.as_bytes()), "{count} in {answer:?}");
}

#[tokio::test]
async fn a_failed_response_body_is_a_reset() {
    let failing = || async {
        let pieces = [Ok(Bytes::from_static(b"so far so good")), Err(io::Error::other("disk on fire"))];
        Body::from_stream(stream::iter(pieces))
    };
    let short = || async { ([(header::CONTENT_LENGTH, "10")], Body::from_stream(one_piece(b"short"))) };
    let long = || async { ([(header::CONTENT_LENGTH, "3")], Body::from_stream(one_piece(b"long"))) };
    let router = Router::new().route("/failing", on_get(failing)).route("/short", on_get(short));
    let server = Server::start(router.route("/long", on_get(long)));
    let mut client = server.client().await;
    for path in ["/failing", "/short", "/long"] {
        let mut exchange = client.begin(get(path)).await;
        exchange.finish().await.unwrap();
        let outcome = match soon(exchange.recv_response()).await {
            Ok(_) => read(&mut exchange).await,
            Err(error) => Err(error),
        };
        assert_eq!(reset_code(outcome), Code::H3_INTERNAL_ERROR, "{path}");
    }
    assert_eq!(client.get("/nowhere").await.0.status(), StatusCode::NOT_FOUND, "the connection lives on");
}

fn one_piece(bytes: &'static [u8]) -> impl futures::Stream<Item = Result<Bytes, Infallible>> {
    stream::iter([Ok(Bytes::from_static(bytes))])
}

#[tokio::test]
async fn an_early_answer_refuses_the_rest_of_the_body() {
    let server = Server::start(Router::new().route("/", on_put(|| async { StatusCode::PAYLOAD_TOO_LARGE })));
    let mut client = server.client().await;
    let mut exchange = client.begin(put("/").header("content-length", 1_u64 << 40)).await;
    let response = soon(exchange.recv_response()).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(read(&mut exchange).await.unwrap().is_empty());
    let refused = soon(async {
        loop {
            if let Err(error) = exchange.send_data(Bytes::from_static(&[0; 10_000])).await {
                break error;
            }
        }
    });
    assert_eq!(reset_code::<()>(Err(refused.await)), Code::H3_NO_ERROR);
}

/// Says when it is dropped.
struct Guard(Option<oneshot::Sender<()>>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.take().map(|dropped| dropped.send(()));
    }
}

#[tokio::test]
async fn a_handler_whose_client_left_is_dropped() {
    for leave in ["stop", "reset", "close"] {
        let (running, has_begun) = oneshot::channel();
        let (dropped, is_dropped) = oneshot::channel();
        let hooks = Arc::new(std::sync::Mutex::new(Some((running, Guard(Some(dropped))))));
        let handler = move |body: Body| async move {
            let (running, _guard) = hooks.lock().unwrap().take().unwrap();
            running.send(()).unwrap();
            std::future::pending::<()>().await;
            body
        };
        let server = Server::start(Router::new().route("/", on_put(handler)));
        let mut client = server.client().await;
        let mut exchange = client.begin(put("/")).await;
        soon(has_begun).await.unwrap();
        match leave {
            "stop" => exchange.stop_sending(Code::H3_REQUEST_CANCELLED),
            "reset" => exchange.stop_stream(Code::H3_REQUEST_CANCELLED),
            _ => client.connection.close(VarInt::from_u32(0x100), b""),
        }
        soon(is_dropped).await.unwrap();
    }
}

#[tokio::test]
async fn a_response_whose_client_left_is_dropped() {
    let (dropped, is_dropped) = oneshot::channel();
    let guard = Arc::new(std::sync::Mutex::new(Some(Guard(Some(dropped)))));
    let handler = move || async move {
        let guard = guard.lock().unwrap().take().unwrap();
        Body::from_stream(stream::unfold(guard, |guard| async {
            tokio::task::yield_now().await;
            Some((Ok::<Bytes, Infallible>(vec![1; 50_000].into()), guard))
        }))
    };
    let server = Server::start(Router::new().route("/", on_get(handler)));
    let mut client = server.client().await;
    let mut exchange = client.begin(get("/")).await;
    soon(exchange.recv_response()).await.unwrap();
    exchange.stop_sending(Code::H3_REQUEST_CANCELLED);
    soon(is_dropped).await.unwrap();
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let router = Router::new()
        .route("/text", on_get(|| async { "five!" }))
        .route("/empty", on_get(|| async { (StatusCode::NO_CONTENT, Body::from("not sent")) }))
        .route("/same", on_get(|| async { (StatusCode::NOT_MODIFIED, Body::from("not sent")) }));
    let server = Server::start(router);
    let mut client = server.client().await;
    let mut exchange = client.begin(Request::head("https://localhost/text")).await;
    exchange.finish().await.unwrap();
    let response = soon(exchange.recv_response()).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_LENGTH], "5");
    assert!(read(&mut exchange).await.unwrap().is_empty());
    for path in ["/empty", "/same"] {
        assert!(client.get(path).await.1.is_empty(), "{path}");
    }
    assert_eq!(client.get("/text").await.1, "five!");
}

#[tokio::test]
async fn connection_specific_fields_stay_here() {
    let handler = || async {
        [("connection", "close"), ("transfer-encoding", "chunked"), ("keep-alive", "1"), ("x-kept", "yes")]
    };
    let server = Server::start(Router::new().route("/", on_get(handler)));
    let (response, _) = server.client().await.get("/").await;
    let mut names: Vec<&str> = response.headers().keys().map(header::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "x-kept"]);
}

#[tokio::test]
async fn a_body_of_another_length_than_announced_fails() {
    let seen = Arc::new(AtomicUsize::new(0));
    let whole = seen.clone();
    let handler = move |body: Body| async move {
        to_bytes(body, usize::MAX).await.unwrap();
        whole.fetch_add(1, Ordering::SeqCst);
    };
    let server = Server::start(Router::new().route("/", on_put(handler)));
    let mut client = server.client().await;
    for length in [3, 5] {
        let mut exchange = client.begin(put("/").header("content-length", length)).await;
        exchange.send_data(Bytes::from_static(b"four")).await.unwrap();
        // Where it was too long, the server may have said so already.
        let _ = exchange.finish().await;
        assert_eq!(reset_code(soon(exchange.recv_response()).await), Code::H3_MESSAGE_ERROR);
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0, "the handler saw a whole body");
}

#[tokio::test]
async fn trailers_and_the_peer_are_seen() {
    let handler = |ConnectInfo(peer): ConnectInfo<SocketAddr>,
                   Extension(transport): Extension<Transport>,
                   body: Body| async move {
        transport.trust();
        transport.trust();
        let collected = body.collect().await.unwrap();
        let trailer = collected.trailers().unwrap()["x-sum"].clone();
        ([("x-peer", peer.to_string())], [("x-sum", trailer)], collected.to_bytes()).into_response()
    };
    let server = Server::start(Router::new().route("/", on_put(handler)));
    let mut client = server.client().await;
    let mut exchange = client.begin(put("/")).await;
    exchange.send_data(Bytes::from_static(b"body")).await.unwrap();
    exchange
        .send_trailers([(header::HeaderName::from_static("x-sum"), "42".parse().unwrap())].into_iter().collect())
        .await
        .unwrap();
    exchange.finish().await.unwrap();
    let response = soon(exchange.recv_response()).await.unwrap();
    assert_eq!(response.headers()["x-sum"], "42");
    let peer: SocketAddr = response.headers()["x-peer"].to_str().unwrap().parse().unwrap();
    assert!(peer.ip().is_loopback());
    assert_eq!(read(&mut exchange).await.unwrap(), "body");
}
