//! The end of a connection in good order.

use super::setup::*;
use axum::{Router, body::Body, routing::put as on_put};
use bytes::Bytes;
use h3::error::{Code, StreamError};
use quinn::ConnectionError;
use std::sync::Arc;
use tokio::sync::Notify;

#[tokio::test]
async fn running_requests_finish_new_ones_are_refused_and_the_connection_closes() {
    let (begun, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (has_begun, released) = (begun.clone(), release.clone());
    let handler = move |body: Body| async move {
        begun.notify_one();
        released.notified().await;
        body
    };
    let server = Server::start(Router::new().route("/", on_put(handler)));
    let mut client = server.client().await;
    let mut running = client.begin(put("/")).await;
    soon(has_begun.notified()).await;
    server.stopping.cancel();
    // The client hears of it.
    let refused = soon(async {
        loop {
            match client.requests.send_request(put("/").body(()).unwrap()).await {
                Ok(mut late) => match late.recv_response().await {
                    Err(error @ StreamError::RemoteTerminate { .. }) => break reset_code::<()>(Err(error)),
                    Err(_) => {}
                    Ok(response) => panic!("a late request was answered: {response:?}"),
                },
                Err(StreamError::RemoteClosing { .. }) => break Code::H3_REQUEST_REJECTED,
                Err(error) => panic!("{error}"),
            }
        }
    });
    assert_eq!(refused.await, Code::H3_REQUEST_REJECTED);
    // A client that did not hear is refused all the same.
    let (mut send, mut recv) = client.connection.open_bi().await.unwrap();
    send.write_all(&head(&put_fields("/"))).await.unwrap();
    let rejected = quinn::ReadError::Reset(u32::try_from(Code::H3_REQUEST_REJECTED.value()).unwrap().into());
    assert_eq!(soon(recv.read(&mut [0; 9])).await.unwrap_err(), rejected);
    // What was running gets all it needs, and all of its answer is delivered.
    release.notify_one();
    let body = Bytes::from(vec![7; 1 << 20]);
    running.send_data(body.clone()).await.unwrap();
    running.finish().await.unwrap();
    soon(running.recv_response()).await.unwrap();
    assert!(read(&mut running).await.unwrap() == body);
    match soon(client.connection.closed()).await {
        ConnectionError::ApplicationClosed(close) => {
            assert_eq!(u64::from(close.error_code), Code::H3_NO_ERROR.value());
        }
        other => panic!("{other}"),
    }
    server.connections.close();
    soon(server.connections.wait()).await;
}

#[tokio::test]
async fn an_idle_connection_closes_at_once() {
    let server = Server::start(Router::new());
    let client = server.client().await;
    server.stopping.cancel();
    assert!(matches!(soon(client.connection.closed()).await, ConnectionError::ApplicationClosed(_)));
    server.connections.close();
    soon(server.connections.wait()).await;
}
