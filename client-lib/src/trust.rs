//! Which certificate a server may have.
//!
//! Two ways to be trusted: an authority vouches for the certificate (the machine's own list, or one given), or its
//! fingerprint is pinned, as ssh does with host keys. A pinned server may move to a vouched-for certificate without
//! anybody being asked.

use hypersend_net::tls;
use hypersend_protocol::fingerprint::Fingerprint;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use std::sync::{Arc, OnceLock};

/// Trust settings that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Not a certificate, or several of which one is none.
    #[error("no certificate authority in PEM form was given")]
    Authority,
}

/// Whom to believe.
#[derive(Clone, Debug)]
pub struct Trust {
    authorities: Authorities,
    pinned: Option<Fingerprint>,
}

#[derive(Clone, Debug)]
enum Authorities {
    Machine,
    Given(Arc<RootCertStore>),
}

impl Trust {
    /// The certificate authorities that this machine trusts.
    pub fn web_pki() -> Self {
        Self { authorities: Authorities::Machine, pinned: None }
    }

    /// The certificate authorities in this PEM text, and no others.
    pub fn authorities(pem: &[u8]) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| TrustError::Authority)?;
            roots.add(certificate).map_err(|_| TrustError::Authority)?;
        }
        if roots.is_empty() {
            return Err(TrustError::Authority);
        }
        Ok(Self { authorities: Authorities::Given(Arc::new(roots)), pinned: None })
    }

    /// Also a certificate that no authority vouches for, if it has this fingerprint.
    #[must_use]
    pub fn or_pinned(mut self, fingerprint: Fingerprint) -> Self {
        self.pinned = Some(fingerprint);
        self
    }

    /// What is pinned.
    pub fn pinned(&self) -> Option<Fingerprint> {
        self.pinned
    }

    /// A verifier for one handshake, and where it leaves the fingerprint of a certificate that it refused.
    pub(crate) fn verifier(&self) -> (Arc<Verifier>, Arc<OnceLock<Fingerprint>>) {
        let provider = tls::provider();
        let vouched: Option<Arc<dyn ServerCertVerifier>> = match &self.authorities {
            // A machine without any authorities can still pin.
            Authorities::Machine => rustls_platform_verifier::Verifier::new(provider.clone())
                .ok()
                .map(|verifier| Arc::new(verifier) as Arc<dyn ServerCertVerifier>),
            Authorities::Given(roots) => WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone())
                .build()
                .ok()
                .map(|verifier| verifier as Arc<dyn ServerCertVerifier>),
        };
        let refused = Arc::new(OnceLock::new());
        (Arc::new(Verifier { vouched, pinned: self.pinned, refused: refused.clone(), provider }), refused)
    }
}

/// Applies a [`Trust`] to a handshake.
#[derive(Debug)]
pub(crate) struct Verifier {
    vouched: Option<Arc<dyn ServerCertVerifier>>,
    pinned: Option<Fingerprint>,
    refused: Arc<OnceLock<Fingerprint>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let vouched = self.vouched.as_ref().is_some_and(|authorities| {
            authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).is_ok()
        });
        let found = tls::fingerprint(end_entity);
        if vouched || self.pinned == Some(found) {
            return Ok(ServerCertVerified::assertion());
        }
        self.refused.get_or_init(|| found);
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    /// The proof that the server holds the certificate's key: demanded of a pinned one like of any other.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_have_to_be_certificates() {
        assert_eq!(Trust::authorities(b"nonsense").unwrap_err(), TrustError::Authority);
    }
}
