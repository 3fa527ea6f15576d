//! A relay says to its server that it is there, and how much it has to do, again and again: so the server hands it out.
//!
//! The first answer brings the key by which tickets are verified, so a relay needs to be told of nothing but the server and the
//! operator's token. What the server sends besides is not looked at.

use crate::{
    place::{self, RelayPlace},
    switch::Observer,
};
use data_encoding::BASE64;
use hypersend_protocol::{fingerprint::Fingerprint, id::RelayId, name::RelayName};
use reqwest::{Client, StatusCode, header::CONTENT_TYPE};
use ring::digest::{SHA256, digest};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring as ring_provider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use serde::{Deserialize, Serialize};
use std::{convert::Infallible, fmt, net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait after an attempt that failed. A server hands out a relay for 30 s after it last heard of it.
const RETRY_AFTER: Duration = Duration::from_secs(3);

/// How long to wait after the first attempt that failed of a relay that nobody hands out yet; twice as long after each further one.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// How long a relay that ends tries to say so.
const FAREWELL: Duration = Duration::from_secs(3);

/// The longest answer, in bytes; a refusal's text is some hundred.
const MAX_ANSWER_BYTES: usize = 16 << 10;

/// Waits that a server may ask for, in seconds: it is not to be able to silence a relay, or to have it call all the time.
const NEXT_SECONDS: std::ops::RangeInclusive<u64> = 1..=60;

/// Which server, and what it is told of this relay at all times.
#[derive(Clone)]
pub struct Registration {
    /// Where the server is: `https://host`, perhaps with a port.
    pub server: String,
    /// The server's certificate, where no authority vouches for it.
    pub fingerprint: Option<Fingerprint>,
    /// The operator's.
    pub token: String,
    /// This relay.
    pub id: RelayId,
    /// What people call it.
    pub name: RelayName,
    /// Where clients find it; none for the address that the server sees.
    pub announce: Option<RelayPlace>,
    /// Sessions that it may have.
    pub max_sessions: usize,
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("server", &self.server).field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why the server does not know of this relay.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// There is no way to make TLS connections, or the address of the server is none.
    #[error("prepare to call the server")]
    Prepare(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It did not answer.
    #[error("call {server}")]
    Call {
        /// Which server.
        server: String,
        /// Why.
        source: reqwest::Error,
    },
    /// It said no. Asking again helps only when its operator has changed something.
    #[error("the server refuses ({status}): {said}")]
    Refused {
        /// The status of HTTP.
        status: StatusCode,
        /// What it said.
        said: String,
    },
    /// What it said is not to be understood.
    #[error("the server's answer is none to a relay; is it a HyperSend server of this version?")]
    Answer,
    /// It has another key, and this relay would refuse all tickets.
    #[error("the server has another key than before: start the relay again")]
    KeyChanged,
}

impl RegisterError {
    fn passes(&self) -> bool {
        match self {
            Self::Call { .. } => true,
            Self::Refused { status, .. } => status.is_server_error(),
            Self::Prepare(_) | Self::Answer | Self::KeyChanged => false,
        }
    }
}

/// What the server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The Ed25519 public key by which to verify tickets.
    pub server_key: [u8; 32],
    /// When to say it again.
    pub next: Duration,
}

#[derive(Serialize)]
struct Standing<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    ports: &'a [u16],
    sessions: usize,
    max_sessions: usize,
    draining: bool,
}

#[derive(Deserialize)]
struct Answer {
    server_key: String,
    next_seconds: u64,
}

#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// Calls the server.
#[derive(Clone, Debug)]
pub struct Registrar {
    registration: Registration,
    http: Client,
}

impl Registrar {
    /// Prepares to call.
    pub fn new(registration: Registration) -> Result<Self, RegisterError> {
        let prepare = |error: Box<dyn std::error::Error + Send + Sync>| RegisterError::Prepare(error);
        let tls = tls(registration.fingerprint).map_err(|error| prepare(error.into()))?;
        let http = Client::builder().tls_backend_preconfigured(tls).https_only(true).timeout(PATIENCE);
        let http = http.redirect(reqwest::redirect::Policy::none()).build().map_err(|error| prepare(error.into()))?;
        Ok(Self { registration, http })
    }

    /// Says that the relay is not to be handed out yet; brings the server's key. Tries until the server answers, or says no: what is
    /// wrong at its end passes, what is wrong with this relay does not.
    pub async fn introduce(&self) -> Result<Registered, RegisterError> {
        let mut wait = FIRST_RETRY;
        loop {
            match self.say(&[], 0, true).await {
                Err(error) if error.passes() => {
                    tracing::warn!(error = %report(&error), "calling the server again soon");
                    sleep(wait).await;
                    wait = (2 * wait).min(LAST_RETRY);
                }
                answer => return answer,
            }
        }
    }

    /// Says that the relay takes nobody new. If that is not heard in some seconds, the server forgets it by itself.
    pub async fn farewell(&self) {
        let said = timeout(FAREWELL, self.say(&[], 0, true)).await;
        if !matches!(said, Ok(Ok(_))) {
            tracing::debug!("the server did not hear that this relay ends");
        }
    }

    /// Says how the relay stands, which listens here, for as long as it is awaited. Returns only when the server has another key
    /// than it had.
    pub async fn keep(
        &self,
        first: Registered,
        listening: &[SocketAddr],
        observer: &Observer,
    ) -> Result<Infallible, RegisterError> {
        let ports = place::ports(listening, self.registration.announce.as_ref());
        let mut told = false;
        loop {
            let wait = match self.say(&ports, observer.snapshot().sessions, false).await {
                Ok(registered) if registered.server_key != first.server_key => return Err(RegisterError::KeyChanged),
                Ok(registered) => {
                    if !told {
                        tracing::info!(server = self.registration.server, "the server hands this relay out");
                    }
                    told = true;
                    registered.next
                }
                Err(error) => {
                    tracing::warn!(error = %report(&error), "the server does not hear of this relay; calling again soon");
                    told = false;
                    RETRY_AFTER
                }
            };
            sleep(wait).await;
        }
    }

    async fn say(&self, ports: &[u16], sessions: usize, draining: bool) -> Result<Registered, RegisterError> {
        let Registration { server, token, id, name, announce, max_sessions, .. } = &self.registration;
        let host = announce.as_ref().map(|place| place.host.as_str());
        let standing = Standing { name: name.as_str(), host, ports, sessions, max_sessions: *max_sessions, draining };
        let body = serde_json::to_vec(&standing).expect("strings and numbers are JSON");
        let url = format!("{}/api/v1/relays/{id}", server.trim_end_matches('/'));
        let failed = |source| RegisterError::Call { server: server.clone(), source };
        let request = self.http.put(url).bearer_auth(token).header(CONTENT_TYPE, "application/json").body(body);
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let mut said = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            said.extend_from_slice(&piece);
            if said.len() > MAX_ANSWER_BYTES {
                return Err(RegisterError::Answer);
            }
        }
        if !status.is_success() {
            let problem = serde_json::from_slice::<Problem>(&said);
            return Err(RegisterError::Refused { status, said: problem.map(|it| it.detail).unwrap_or_default() });
        }
        read(&said).ok_or(RegisterError::Answer)
    }
}

fn read(said: &[u8]) -> Option<Registered> {
    let Answer { server_key, next_seconds } = serde_json::from_slice(said).ok()?;
    let server_key = BASE64.decode(server_key.as_bytes()).ok()?.try_into().ok()?;
    let next = Duration::from_secs(next_seconds.clamp(*NEXT_SECONDS.start(), *NEXT_SECONDS.end()));
    Some(Registered { server_key, next })
}

/// An error with its causes: what reqwest says by itself is that something failed.
fn report(error: &dyn std::error::Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn tls(pinned: Option<Fingerprint>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring_provider::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match pinned {
        Some(pinned) => Arc::new(Pinned { pinned, provider: provider.clone() }),
        None => Arc::new(rustls_platform_verifier::Verifier::new(provider.clone())?),
    };
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Takes one certificate, whoever vouches for it, and no other.
#[derive(Debug)]
struct Pinned {
    pinned: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if digest(&SHA256, end_entity).as_ref() == self.pinned.0 {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_at_the_server_passes_and_what_is_wrong_here_does_not() {
        let refused = |status| RegisterError::Refused { status, said: String::new() };
        assert!(refused(StatusCode::SERVICE_UNAVAILABLE).passes() && refused(StatusCode::BAD_GATEWAY).passes());
        assert!(!refused(StatusCode::UNAUTHORIZED).passes() && !RegisterError::KeyChanged.passes());
    }

    #[test]
    fn an_answer_has_a_key_and_a_wait_within_reason() {
        let said = |next: u64| format!(r#"{{"server_key":"{}","next_seconds":{next}}}"#, BASE64.encode(&[7; 32]));
        for (asked, waits) in [(10, 10), (0, 1), (u64::MAX, 60)] {
            let expected = Registered { server_key: [7; 32], next: Duration::from_secs(waits) };
            assert_eq!(read(said(asked).as_bytes()), Some(expected));
        }
        assert_eq!(read(br#"{"server_key":"AAAA","next_seconds":10}"#), None);
    }
}
