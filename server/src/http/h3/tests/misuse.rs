//! What no honest client does, and what becomes of it.

use super::{
    super::{Limits, sieve},
    setup::*,
};
use axum::{Router, body::Body, http::StatusCode, routing::put as on_put};
use bytes::Bytes;
use h3::error::Code;
use http_body_util::BodyExt as _;
use quinn::{ConnectionError, ReadError, VarInt};
use std::time::Duration;
use tokio::sync::mpsc;

fn hello() -> Server {
    Server::start(Router::new().route("/", on_put(|| async { "hello" })))
}

/// `:status: 400`, an entry of QPACK's static table (RFC 9204, Appendix A).
const BAD_REQUEST: [u8; 2] = [0xff, 0x04];

fn reset(code: Code) -> ReadError {
    ReadError::Reset(VarInt::from_u64(code.value()).unwrap())
}

/// Shows that a connection still serves.
async fn assert_serves(client: &mut Client) {
    let mut exchange = client.begin(put("/")).await;
    exchange.finish().await.unwrap();
    assert_eq!(soon(exchange.recv_response()).await.unwrap().status(), StatusCode::OK);
    assert_eq!(read(&mut exchange).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_answered_and_an_absurd_one_is_cut() {
    let server = hello();
    let mut client = server.client().await;
    let large = put("/").header("x-large", "x".repeat(20 << 10));
    let mut heedless = server.heedless_client().await;
    let mut exchange = heedless.begin(large).await;
    let response = soon(exchange.recv_response()).await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert!(read(&mut exchange).await.unwrap().is_empty());
    let (mut send, mut recv) = client.connection.open_bi().await.unwrap();
    // 2^30 - 1 bytes of HEADERS.
    send.write_all(&[1, 0xbf, 0xff, 0xff, 0xff]).await.unwrap();
    assert_eq!(soon(recv.read(&mut [0; 9])).await.unwrap_err(), reset(Code::H3_EXCESSIVE_LOAD));
    assert_serves(&mut client).await;
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_is_cut() {
    let limits = Limits { head: Duration::from_millis(200), ..Limits::default() };
    let server = Server::with_limits(Router::new().route("/", on_put(|| async { "hello" })), limits);
    let mut client = server.client().await;
    let mut cut = Vec::new();
    for dribbled in [1, 3, 30] {
        let (mut send, recv) = client.connection.open_bi().await.unwrap();
        send.write_all(&head(&put_fields("/"))[..dribbled]).await.unwrap();
        cut.push((send, recv));
    }
    for (send, mut recv) in cut {
        assert_eq!(soon(recv.read(&mut [0; 9])).await.unwrap_err(), reset(Code::H3_REQUEST_REJECTED));
        assert_eq!(soon(send.stopped()).await.unwrap().map(u64::from), Some(Code::H3_REQUEST_REJECTED.value()));
    }
    assert_serves(&mut client).await;
}

#[tokio::test]
async fn malformed_heads_are_bad_requests() {
    let no_authority = [(":method", "PUT"), (":scheme", "https"), (":path", "/")];
    let bad: [&[(&str, &str)]; 6] = [
        &no_authority,
        &[(":scheme", "https"), (":authority", "localhost"), (":path", "/")],
        &[(":method", "PUT"), (":scheme", "https"), (":authority", "localhost")],
        &[&put_fields("/")[..], &[("transfer-encoding", "chunked")]].concat(),
        &[&put_fields("/")[..], &[("content-length", "4"), ("content-length", "5")]].concat(),
        &[&put_fields("/")[..], &[("Upper", "case")]].concat(),
    ];
    let server = hello();
    let mut client = server.client().await;
    for fields in bad {
        let (mut send, mut recv) = client.connection.open_bi().await.unwrap();
        send.write_all(&head(fields)).await.unwrap();
        let answer = soon(recv.read_to_end(1_000)).await.unwrap();
        assert_eq!(answer.get(4..6), Some(&BAD_REQUEST[..]), "{fields:?}: {answer:?}");
        assert_eq!(soon(send.stopped()).await.unwrap().map(u64::from), Some(Code::H3_MESSAGE_ERROR.value()));
    }
    assert_serves(&mut client).await;
}

#[tokio::test]
async fn a_cut_body_is_never_a_whole_one() {
    let (outcomes, mut seen) = mpsc::unbounded_channel();
    let handler = move |body: Body| async move { outcomes.send(body.collect().await.is_ok()).unwrap() };
    let server = Server::start(Router::new().route("/", on_put(handler)));
    let client = server.client().await;
    // A DATA frame of four bytes, none or some of which come; then the end.
    for part in [&b"\x00\x04"[..], b"\x00\x04ab", b"\x00"] {
        let (mut send, mut recv) = client.connection.open_bi().await.unwrap();
        send.write_all(&[&head(&put_fields("/")), part].concat()).await.unwrap();
        send.finish().unwrap();
        assert_eq!(soon(recv.read(&mut [0; 9])).await.unwrap_err(), reset(Code::H3_REQUEST_INCOMPLETE));
    }
    // Empty DATA frames and unknown frames are within a whole one.
    let (mut send, mut recv) = client.connection.open_bi().await.unwrap();
    let parts = b"\x00\x00\x00\x02ab\x00\x00\x21\x03xyz\x00\x02cd";
    send.write_all(&[&head(&[&put_fields("/")[..], &[("content-length", "4")]].concat()), &parts[..]].concat())
        .await
        .unwrap();
    send.finish().unwrap();
    soon(recv.read_to_end(1_000)).await.unwrap();
    assert_eq!(soon(seen.recv()).await, Some(true));
    assert!(seen.try_recv().is_err(), "a handler saw the end of a cut body");
}

#[tokio::test]
async fn a_client_that_sends_or_reads_nothing_is_given_up() {
    let short = Duration::from_millis(200);
    let limits = Limits { body: short, response: short, ..Limits::default() };
    let router = Router::new()
        .route(
            "/idle",
            on_put(|body: Body| async move { body.collect().await.map_err(|_| StatusCode::REQUEST_TIMEOUT).map(drop) }),
        )
        .route("/large", on_put(|| async { vec![0; 64 << 20] }));
    let server = Server::with_limits(router, limits);
    let mut client = server.client().await;
    let mut idle = client.begin(put("/idle")).await;
    assert_eq!(soon(idle.recv_response()).await.unwrap().status(), StatusCode::REQUEST_TIMEOUT);
    let (mut send, mut recv) = client.connection.open_bi().await.unwrap();
    send.write_all(&head(&put_fields("/large"))).await.unwrap();
    send.finish().unwrap();
    let code = soon(recv.received_reset()).await.unwrap().map(u64::from);
    assert_eq!(code, Some(Code::H3_REQUEST_CANCELLED.value()));
}

#[tokio::test]
async fn what_breaks_the_protocol_costs_the_connection_and_no_other() {
    let server = hello();
    let mut honest = server.client().await;
    let long = u32::try_from(sieve::MAX_FRAME).unwrap() + 1;
    let long_settings = [&[0, 4][..], &(0x8000_0000 | long).to_be_bytes()].concat();
    let cases: [(&str, bool, &[u8], Code); 5] = [
        ("DATA before HEADERS", true, b"\x00\x01x", Code::H3_FRAME_UNEXPECTED),
        ("a dynamic reference", true, b"\x01\x03\x02\x00\x80", Code::QPACK_DECOMPRESSION_FAILED),
        ("a frame of HTTP/2", true, b"\x06\x00", Code::H3_FRAME_UNEXPECTED),
        ("no SETTINGS", false, b"\x00\x07\x01\x00", Code::H3_MISSING_SETTINGS),
        ("long SETTINGS", false, &long_settings, Code::H3_CLOSED_CRITICAL_STREAM),
    ];
    for (what, bidirectional, bytes, code) in cases {
        let connection = server.connect().await;
        let mut stream =
            if bidirectional { connection.open_bi().await.unwrap().0 } else { connection.open_uni().await.unwrap() };
        stream.write_all(bytes).await.unwrap();
        match soon(connection.closed()).await {
            ConnectionError::ApplicationClosed(close) => {
                assert_eq!(u64::from(close.error_code), code.value(), "{what}");
            }
            other => panic!("{what}: {other}"),
        }
    }
    assert_serves(&mut honest).await;
}

#[tokio::test]
async fn datagrams_and_unknown_streams_are_ignored() {
    let server = hello();
    let mut client = server.client().await;
    let mut unknown = client.connection.open_uni().await.unwrap();
    unknown.write_all(b"\x21what is this").await.unwrap();
    assert!(client.connection.send_datagram(Bytes::from_static(b"\x00hi")).is_err(), "the server takes no datagrams");
    assert_eq!(soon(unknown.stopped()).await.unwrap().map(u64::from), Some(Code::H3_STREAM_CREATION_ERROR.value()));
    assert_serves(&mut client).await;
}
