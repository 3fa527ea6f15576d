//! Who a side is to the other: a certificate made for the purpose, known by its fingerprint.

use hypersend_net::{tls, transport};
use hypersend_protocol::{fingerprint::Fingerprint, paths::PEER_ALPN};
use quinn::{
    ClientConfig, IdleTimeout, ServerConfig, TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::{fmt, sync::Arc, time::Duration};

use crate::pin::{OnlyThis, OnlyThisClient};

/// How often a silent connection is heard of; NATs that forget fast do so after 20 s.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Silence after which a connection is given up that has no probes beside it: a relayed one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// A key and its self-signed certificate. Cloning shares it; two sessions may use one.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    fingerprint: Fingerprint,
}

/// No identity could be made.
#[derive(Debug, thiserror::Error)]
#[error("make a key and its certificate")]
pub struct IdentityError(#[from] rcgen::Error);

impl Identity {
    /// A new one, with an ECDSA P-256 key. Takes a fraction of a millisecond.
    pub fn new() -> Result<Self, IdentityError> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
        let certificate = made.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let fingerprint = tls::fingerprint(&certificate);
        Ok(Self(Arc::new(Inner { certificate, key, fingerprint })))
    }

    /// By which the other side knows it.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// The settings of a connection to whoever has that fingerprint.
    pub(crate) fn client_config(&self, peer: Fingerprint) -> ClientConfig {
        let mut tls = rustls::ClientConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(OnlyThis::new(peer)))
            .with_client_auth_cert(vec![self.0.certificate.clone()], self.key())
            .expect("the key is the certificate's");
        tls.alpn_protocols = vec![PEER_ALPN.to_vec()];
        tls.resumption = rustls::client::Resumption::disabled();
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("TLS 1.3 ciphers")));
        config.transport_config(Arc::new(transport_config()));
        config
    }

    /// The settings of a connection from whoever has that fingerprint.
    pub(crate) fn server_config(&self, peer: Fingerprint) -> ServerConfig {
        let mut tls = rustls::ServerConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3")
            .with_client_cert_verifier(Arc::new(OnlyThisClient(OnlyThis::new(peer))))
            .with_single_cert(vec![self.0.certificate.clone()], self.key())
            .expect("the key is the certificate's");
        tls.alpn_protocols = vec![PEER_ALPN.to_vec()];
        tls.send_tls13_tickets = 0;
        let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).expect("TLS 1.3 ciphers")));
        config.transport_config(Arc::new(transport_config()));
        config
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        self.0.key.clone_key().into()
    }
}

/// The name in every certificate, and the one that is asked for: it says nothing, the fingerprint says all.
pub(crate) const NAME: &str = "peer.hypersend.invalid";

fn transport_config() -> TransportConfig {
    let mut config = transport::config();
    config
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IdleTimeout::try_from(IDLE_TIMEOUT).expect("10 s is a QUIC duration")))
        .max_concurrent_uni_streams(VarInt::from_u32(transport::MAX_STREAMS));
    config
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.0.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quinn::{Connection, ConnectionError, Endpoint};

    async fn meet(server: ServerConfig, client: ClientConfig) -> Result<[Connection; 2], ConnectionError> {
        let [taker, maker] = [Some(server), None].map(|server| {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            Endpoint::new(quinn::EndpointConfig::default(), server, socket, Arc::new(quinn::TokioRuntime)).unwrap()
        });
        let connecting = maker.connect_with(client, taker.local_addr().unwrap(), NAME).unwrap();
        let (made, taken) = tokio::join!(connecting, async { taker.accept().await.unwrap().await });
        // In TLS 1.3 the one that connects is done before its certificate has been looked at.
        Ok([made?, taken?])
    }

    #[tokio::test]
    async fn only_the_two_that_know_each_other_are_connected() {
        let [one, other, third] = [(); 3].map(|()| Identity::new().unwrap());
        let [a, b, c] = [&one, &other, &third].map(Identity::fingerprint);
        assert!(meet(one.server_config(b), other.client_config(a)).await.is_ok());
        assert!(
            meet(one.server_config(b), other.client_config(c)).await.is_err(),
            "another was taken for the receiver"
        );
        assert!(meet(one.server_config(b), third.client_config(a)).await.is_err(), "another was taken for the sender");
        assert!(meet(one.server_config(Fingerprint([0; 32])), other.client_config(a)).await.is_err());
    }
}
