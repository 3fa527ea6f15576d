//! The port, the socket buffers, and QUIC itself.

use super::Finding;
use crate::relay::addresses;
use hypersend_net::{
    socket::{self, BUFFER_SIZE, Buffers},
    tls,
};
use hypersend_protocol::ALPN;
use quinn::{
    ClientConfig, ConnectionError, Endpoint, EndpointConfig, ServerConfig, TokioRuntime,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;

/// How long a handshake on this machine may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is written in certificates that never leave this process.
const NAME: &str = "localhost";

type Tried<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Whether the kernel grants what full speed needs.
pub(super) fn buffers() -> Finding {
    match socket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))) {
        Ok((_, granted)) => granted_is_enough(granted),
        Err(error) => Finding::failed("buffers", format!("no UDP socket: {error}")),
    }
}

fn granted_is_enough(Buffers { receive, send }: Buffers) -> Finding {
    let says = format!("{} KiB to receive, {} KiB to send", receive >> 10, send >> 10);
    if receive.min(send) >= BUFFER_SIZE {
        return Finding::ok("buffers", says);
    }
    let remedy = format!("sysctl -w net.core.rmem_max={BUFFER_SIZE} net.core.wmem_max={BUFFER_SIZE}");
    Finding::warning("buffers", format!("{says}, too little for full speed: {remedy}"))
}

/// Whether the port can be had, or is this server's already.
pub(super) async fn port(listen: SocketAddr) -> Finding {
    let what = "port";
    let (udp, tcp) = (UdpSocket::bind(listen).map(drop), TcpListener::bind(listen).map(drop));
    let taken = |bound: &io::Result<()>| bound.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
    match (udp, tcp) {
        (Ok(()), Ok(())) => Finding::ok(what, format!("{listen} is free, for UDP and TCP")),
        (udp, tcp) if taken(&udp) && taken(&tcp) => {
            if answers(loopback(listen)).await.unwrap_or(false) {
                Finding::ok(what, format!("a server answers at {listen}"))
            } else {
                Finding::failed(what, format!("another program has {listen}: stop it, or give another LISTEN"))
            }
        }
        (udp, tcp) => {
            let (protocol, error) = match (udp, tcp) {
                (Err(error), _) => ("UDP", error),
                (_, Err(error)) => ("TCP", error),
                (Ok(()), Ok(())) => unreachable!("looked at above"),
            };
            let remedy = "end what has it, give the server's account the right to it, or give another LISTEN";
            Finding::failed(what, format!("{listen}, {protocol} ({error}): {remedy}"))
        }
    }
}

/// Whether the own relay's ports can be had. A server that runs has them, and is not asked.
pub(super) fn relay(listen: Option<SocketAddr>) -> Finding {
    let what = "relay";
    let Some(listen) = listen else { return Finding::ok(what, "off") };
    for address in addresses(listen) {
        match UdpSocket::bind(address) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let remedy = "by a server that runs, or else give another RELAY_LISTEN";
                return Finding::warning(what, format!("{address} (UDP) is taken: {remedy}"));
            }
            Err(error) => {
                let remedy = "give another RELAY_LISTEN, or off for no relay";
                return Finding::failed(what, format!("{address}, UDP ({error}): {remedy}"));
            }
        }
    }
    Finding::ok(what, format!("{listen} and the next port are free, for UDP"))
}

/// Where on this machine a server is reached that listens there.
fn loopback(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Whether somebody speaks QUIC there. Whose certificate it is does not matter: nothing is said but hello.
async fn answers(address: SocketAddr) -> Tried<bool> {
    let client = client(address, RootCertStore::empty())?;
    let dialled = timeout(PATIENCE, client.connect(address, NAME)?).await;
    // It is refused here, for its certificate; or there, for what it takes that to be.
    Ok(matches!(dialled, Ok(Ok(_) | Err(ConnectionError::TransportError(_) | ConnectionError::ConnectionClosed(_)))))
}

/// A QUIC handshake of this process with itself.
pub(super) async fn handshake() -> Finding {
    match timeout(PATIENCE, shake_hands()).await {
        Ok(Ok(())) => Finding::ok("QUIC", "a handshake over loopback"),
        Ok(Err(error)) => {
            Finding::failed("QUIC", format!("no handshake over loopback ({error}): let UDP through on lo"))
        }
        Err(_) => Finding::failed("QUIC", "no handshake over loopback: let UDP through on lo"),
    }
}

async fn shake_hands() -> Tried<()> {
    let key = KeyPair::generate()?;
    let certificate: CertificateDer<'static> = CertificateParams::new([NAME.to_owned()])?.self_signed(&key)?.into();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut tls = rustls::ServerConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    let (socket, _) = socket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let server = Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))?;
    let address = server.local_addr()?;
    let client = client(address, roots)?;
    let accepting = async {
        let incoming = server.accept().await.ok_or("the endpoint was closed")?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(incoming.await?)
    };
    let dialling = async { Ok(client.connect(address, NAME)?.await?) };
    tokio::try_join!(accepting, dialling)?;
    Ok(())
}

fn client(to: SocketAddr, roots: RootCertStore) -> Tried<Endpoint> {
    let mut tls = rustls::ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let mut client = Endpoint::client(SocketAddr::new(any, 0))?;
    client.set_default_client_config(ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?)));
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_buffers_come_with_the_remedy() {
        let small = granted_is_enough(Buffers { receive: 208 << 10, send: BUFFER_SIZE }).to_string();
        assert!(small.starts_with("warning") && small.contains("sysctl -w"), "{small}");
        assert!(granted_is_enough(Buffers { receive: BUFFER_SIZE, send: BUFFER_SIZE }).to_string().starts_with("ok"));
    }

    #[tokio::test]
    async fn this_process_reaches_itself() {
        let found = handshake().await;
        assert!(!found.is_failure(), "{found}");
    }

    #[test]
    fn a_relay_port_that_is_taken_is_found_out() {
        assert!(relay(None).to_string().contains("off"));
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let found = relay(Some(udp.local_addr().unwrap())).to_string();
        assert!(found.starts_with("warning") && found.contains("give another RELAY_LISTEN"), "{found}");
    }

    #[tokio::test]
    async fn a_port_that_another_program_has_is_found_out() {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let listen = udp.local_addr().unwrap();
        let found = port(listen).await;
        assert!(found.is_failure() && found.to_string().contains("UDP"), "{found}");
        let tcp = TcpListener::bind(listen);
        let found = port(listen).await;
        assert!(found.is_failure(), "{found}");
        drop((udp, tcp));
        let found = port(listen).await;
        assert!(found.to_string().starts_with("ok"), "{found}");
    }
}
