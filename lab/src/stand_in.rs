//! A server that says what the test says, where a real one cannot be brought to it: it refuses at an awkward moment, or
//! takes something and never answers.

use crate::wait::within;
use hypersend_client::{Client, Config, Credentials, Fingerprint, MemoryTokens, Trust};
use hypersend_net::{
    connection::Connection,
    frames::{FrameReader, send},
    stream::SendStream,
    tls, transport,
};
use hypersend_protocol::{
    ALPN,
    account::Profile,
    id::{SessionId, UserId},
    session::{Hello, Tokens, VERSION, Welcome},
    stream::Opening,
    time::UnixMillis,
};
use quinn::{Endpoint, ServerConfig, crypto::rustls::QuicServerConfig};
use rustls::pki_types::PrivateKeyDer;
use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// How long the access token of [`tokens`] lasts: longer than any test.
const ACCESS_LASTS: Duration = Duration::from_hours(1);

/// Listens on a loopback port.
#[derive(Debug)]
pub struct StandIn {
    endpoint: Endpoint,
    fingerprint: Fingerprint,
}

/// A client's connection, seen from the server.
#[derive(Debug)]
pub struct Guest {
    connection: Connection,
    /// The client takes its end for the connection's.
    _session: SendStream,
}

impl StandIn {
    /// Must be called within a tokio runtime.
    pub fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("make a certificate");
        let certificate = made.cert.der().clone();
        let fingerprint = tls::fingerprint(&certificate);
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let mut tls = rustls::ServerConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("the certificate is the key's");
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).expect("TLS 1.3 ciphers")));
        config.transport_config(Arc::new(transport::config()));
        let endpoint = Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).expect("bind a loopback port");
        Self { endpoint, fingerprint }
    }

    /// A client that logs in with these tokens, and its connection.
    pub async fn meet(&self, tokens: Tokens) -> (Client, Guest) {
        let address = self.endpoint.local_addr().expect("it is bound").to_string();
        let trust = Trust::web_pki().or_pinned(self.fingerprint);
        let config = Config::new(address.parse().expect("a socket address is a server address"), trust);
        let client = Client::start(config, Credentials::Stored, MemoryTokens::with(tokens)).expect("start a client");
        let guest = within("the client connects", self.welcome()).await;
        (client, guest)
    }

    async fn welcome(&self) -> Guest {
        let incoming = self.endpoint.accept().await.expect("the endpoint is open");
        let connection = Connection::from(incoming.await.expect("the client trusts the certificate"));
        let (mut session, hello) = connection.accept_bi().await.expect("the client opens a stream");
        FrameReader::new(hello).expect::<Hello>().await.expect("the client says hello");
        let me = Profile {
            id: UserId(uuid::Uuid::from_u128(1)),
            email: crate::user::email("ann"),
            name: "ann".parse().expect("a name is a display name"),
        };
        let session_id = SessionId(uuid::Uuid::from_u128(2));
        let (features, now) = (Vec::new(), UnixMillis::from(SystemTime::now()));
        let welcome = Welcome { version: VERSION, features, me, session: session_id, tokens: None, now };
        send(&mut session, &welcome).await.expect("answer");
        Guest { connection, _session: session }
    }
}

impl Guest {
    /// The next stream that the client opens: what it asks for, and both halves.
    pub async fn next(&self) -> (Opening, SendStream, FrameReader) {
        let next = async {
            let (answer, stream) = self.connection.accept_bi().await.expect("the connection is open");
            let mut reader = FrameReader::new(stream);
            let opening = reader.expect().await.expect("a stream begins with a frame");
            (opening, answer, reader)
        };
        within("the client opens a stream", next).await
    }
}

/// Tokens of a session that ends after a while unless it is renewed.
pub fn tokens(session_lasts: Duration) -> Tokens {
    let now = UnixMillis::from(SystemTime::now());
    let token = || "a-token".parse().expect("it is one");
    Tokens {
        access: token(),
        access_expires: now.plus(ACCESS_LASTS),
        refresh: token(),
        refresh_expires: now.plus(session_lasts),
    }
}
