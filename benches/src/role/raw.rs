//! Raw QUIC streams, memory to memory: what there is to lose. The same sockets, ciphers and transport settings as the
//! product's, one connection, a stream for each MiB, each answered by one byte. Directly, or through a relay.

use super::{Stage, sender::Carried};
use crate::{process::Usage, relay::Seat};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use data_encoding::BASE64;
use hypersend_net::{socket, tls, transport};
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, RecvStream, SendStream, ServerConfig, TokioRuntime, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Instant,
};
use tokio::task::JoinSet;

/// Bytes of one stream.
const STREAM: usize = 1 << 20;

/// Bytes handed to quinn at once, as the product does.
const PIECE: usize = 128 << 10;

/// Streams at once: as many bytes in flight as the product's bulk may have.
const AT_ONCE: u64 = transport::BULK_WINDOW / STREAM as u64;

/// Where raw streams are taken in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sink {
    address: SocketAddr,
    certificate: String,
}

/// Takes streams in at this address until the parent has enough.
pub(super) async fn sink(mut stage: Stage, at: IpAddr, seat: Option<Seat>) -> Result<()> {
    let (config, certificate) = listening()?;
    let (socket, _) = socket::bind((at, 0).into())?;
    let endpoint = endpoint(socket, Some(config), seat)?;
    let address = seat.map_or(endpoint.local_addr()?, |seat| seat.relay);
    stage.say(&Sink { address, certificate: BASE64.encode(&certificate) })?;
    tokio::select! {
        over = stage.over() => over,
        () = accept(&endpoint) => Ok(()),
    }
}

/// How to listen, and the certificate by which that is known.
pub(super) fn listening() -> Result<(ServerConfig, CertificateDer<'static>)> {
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
    let mut tls = rustls::ServerConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
    tls.alpn_protocols = vec![b"raw".to_vec()];
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport::server_config()));
    Ok((config, certificate.der().clone()))
}

/// How to dial who has this certificate, by the name of `localhost`.
pub(super) fn dialling(certificate: CertificateDer<'static>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let mut tls = rustls::ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"raw".to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport::client_config()));
    Ok(config)
}

/// An endpoint on a socket that has taken its seat at a relay, if it is to have one.
pub(super) fn endpoint(socket: UdpSocket, server: Option<ServerConfig>, seat: Option<Seat>) -> Result<Endpoint> {
    let mut config = EndpointConfig::default();
    if let Some(seat) = seat {
        seat.take(&socket)?;
        // A relay passes on only what has the bit; what it says itself has it not, and quinn overlooks that.
        config.grease_quic_bit(false);
    }
    Ok(Endpoint::new(config, server, socket, Arc::new(TokioRuntime))?)
}

async fn accept(endpoint: &Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        let Ok(connection) = incoming.await else { continue };
        connection.set_receive_window(VarInt::from_u32(transport::RECEIVE_WINDOW));
        tokio::spawn(async move {
            while let Ok((answer, stream)) = connection.accept_bi().await {
                tokio::spawn(take(answer, stream));
            }
        });
    }
}

async fn take(mut answer: SendStream, mut stream: RecvStream) -> Result<()> {
    while stream.read_chunk(usize::MAX, true).await?.is_some() {}
    answer.write_all(&[1]).await?;
    Ok(answer.finish()?)
}

/// Sends that many bytes when told, and says how it went.
pub(super) async fn source(mut stage: Stage, sink: Sink, bytes: u64, seat: Option<Seat>) -> Result<()> {
    let config = dialling(CertificateDer::from(BASE64.decode(sink.certificate.as_bytes())?))?;
    // Of both families, as the product's is.
    let (socket, _) = socket::bind((Ipv6Addr::UNSPECIFIED, 0).into())?;
    let endpoint = endpoint(socket, None, seat)?;
    let connection = endpoint.connect_with(config, sink.address, "localhost")?.await?;
    stage.say(&())?;

    let Some(()) = stage.next().await? else { return Ok(()) };
    let (start, before) = (Instant::now(), Usage::own()?);
    send(&connection, bytes).await?;
    let elapsed = start.elapsed();
    stage.say(&Carried::since(before, elapsed, elapsed, None)?)?;
    stage.over().await
}

async fn send(connection: &Connection, bytes: u64) -> Result<()> {
    let data = Bytes::from((0..=255).cycle().take(STREAM).collect::<Vec<u8>>());
    let mut left = bytes.div_ceil(STREAM as u64);
    let mut streams = JoinSet::new();
    loop {
        while left > 0 && (streams.len() as u64) < AT_ONCE {
            left -= 1;
            streams.spawn(send_one(connection.clone(), data.clone()));
        }
        match streams.join_next().await {
            Some(sent) => sent??,
            None => return Ok(()),
        }
    }
}

async fn send_one(connection: Connection, mut data: Bytes) -> Result<()> {
    let (mut stream, mut answer) = connection.open_bi().await?;
    while !data.is_empty() {
        stream.write_chunk(data.split_to(data.len().min(PIECE))).await?;
    }
    stream.finish()?;
    let answered = answer.read_to_end(1).await.context("read the answer")?;
    ensure!(answered == [1], "the answer was {answered:?}");
    Ok(())
}
