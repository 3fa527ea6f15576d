//! A client of the HTTP door: HTTP/2, a request at a time, and the answers as they come.

use crate::{server::TestServer, wait::within};
use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::{
    HeaderMap, Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
};
use hypersend_net::tls;
use hypersend_protocol::{
    id::{ChatId, ClientId},
    name::Token,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection to a test server, and who speaks on it.
#[derive(Debug)]
pub struct HttpPeer {
    requests: SendRequest<Bytes>,
    token: Token,
}

/// An answer.
#[derive(Debug)]
pub struct HttpAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body: JSON, whatever the server says.
    pub body: Value,
}

impl HttpPeer {
    /// Connects.
    pub async fn connect(server: &TestServer, token: Token) -> Self {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(server.certificate()).expect("the server has a certificate");
        roots.add(certificate).expect("it is one");
        let mut config = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connecting = async {
            let stream = TcpStream::connect(server.socket_address()).await.expect("connect");
            let name = "localhost".try_into().expect("it is a name");
            let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("trust the server");
            h2::client::handshake(stream).await.expect("begin HTTP/2")
        };
        let (requests, connection) = within("the server answers", connecting).await;
        // Ends with the connection, and its requests say why.
        tokio::spawn(connection);
        Self { requests, token }
    }

    /// Posts a message, under a client's id.
    pub async fn post(&self, chat: ChatId, id: ClientId, text: &str) -> HttpAnswer {
        let path = format!("https://localhost/api/v1/chats/{chat}/messages");
        let request = Request::post(path)
            .header(AUTHORIZATION, format!("Bearer {}", self.token.as_str()))
            .header(CONTENT_TYPE, "application/json")
            .header("idempotency-key", id.0.to_string())
            .body(())
            .expect("a sound request");
        within("the server answers", self.ask(request, json!({ "text": text }))).await.expect("ask over HTTP")
    }

    async fn ask(&self, request: Request<()>, body: Value) -> Result<HttpAnswer, h2::Error> {
        let (answer, mut sending) = self.requests.clone().ready().await?.send_request(request, false)?;
        sending.send_data(body.to_string().into(), true)?;
        let (head, mut body) = answer.await?.into_parts();
        let mut bytes = BytesMut::new();
        while let Some(piece) = body.data().await.transpose()? {
            body.flow_control().release_capacity(piece.len())?;
            bytes.extend_from_slice(&piece);
        }
        let body = serde_json::from_slice(&bytes).expect("the server answers in JSON");
        Ok(HttpAnswer { status: head.status, headers: head.headers, body })
    }
}

impl HttpAnswer {
    /// After which time to try again, if that is what it says.
    ///
    /// # Panics
    /// When it says so in another way than it should.
    pub fn try_again_after(&self) -> Option<Duration> {
        let Self { status, headers, body } = self;
        if *status != StatusCode::SERVICE_UNAVAILABLE {
            return None;
        }
        assert_eq!(body["code"], "unavailable", "{body}");
        assert_eq!(headers[CONTENT_TYPE], "application/problem+json");
        let seconds = headers[RETRY_AFTER].to_str().ok().and_then(|seconds| seconds.parse().ok());
        Some(Duration::from_secs(seconds.unwrap_or_else(|| panic!("no number of seconds: {headers:?}"))))
    }
}
