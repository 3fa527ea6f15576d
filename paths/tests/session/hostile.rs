//! Strangers who send probes and want to connect.

use crate::pair::{Registers, both, talk};
use hypersend_paths::Way;
use hypersend_protocol::paths::{PEER_ALPN, PROBE_BYTES, PROBE_MARK};
use quinn::{ClientConfig, ConnectionError, Endpoint, crypto::rustls::QuicClientConfig};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::UdpSocket, time::timeout};

/// Long enough for an answer on one machine, were there one.
const A_WHILE: Duration = Duration::from_millis(700);

/// Where a side is on this machine.
fn near(candidates: &[hypersend_protocol::paths::Candidate]) -> SocketAddr {
    let port = candidates[0].address.port();
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[tokio::test]
async fn whoever_sends_what_he_cannot_seal_has_no_answer() {
    let [mut sender, mut receiver] = both(&Registers::new(), |_| {});
    let (one, other) = (sender.up(Way::is_direct).await, receiver.up(Way::is_direct).await);
    let victim = near(&receiver.paths.report().borrow().own.candidates);
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut probe = [0; PROBE_BYTES];
    for bytes in [[PROBE_MARK, 1, 1, 0], [PROBE_MARK, 1, 2, 0], [PROBE_MARK, 9, 1, 0], [0x0b, 1, 4, 0]] {
        probe[..4].copy_from_slice(&bytes);
        for length in [1, 4, PROBE_BYTES - 1, PROBE_BYTES] {
            stranger.send_to(&probe[..length], victim).await.unwrap();
        }
    }
    assert!(timeout(A_WHILE, stranger.recv_from(&mut [0; 2_000])).await.is_err(), "a stranger was answered");
    talk(&one.connection, &other.connection).await;
}

#[tokio::test]
async fn a_strangers_handshake_has_no_answer() {
    let [mut sender, mut receiver] = both(&Registers::new(), |_| {});
    let (one, other) = (sender.up(Way::is_direct).await, receiver.up(Way::is_direct).await);
    let victim = near(&receiver.paths.report().borrow().own.candidates);
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let connecting = endpoint.connect_with(stranger(), victim, "peer.hypersend.invalid").unwrap();
    match timeout(A_WHILE, connecting).await {
        Err(_) | Ok(Err(ConnectionError::TimedOut)) => {}
        answered => panic!("a stranger was answered: {answered:?}"),
    }
    talk(&one.connection, &other.connection).await;
}

fn stranger() -> ClientConfig {
    let provider = hypersend_net::tls::provider();
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    tls.alpn_protocols = vec![PEER_ALPN.to_vec()];
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()))
}
