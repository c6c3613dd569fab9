//! The client's side, for connections that the server itself begins.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use lunix_core::time::Instant;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::acceptor::{provider, versions};
use super::session::Session;
use super::stream::Stream;
use crate::certificates;
use crate::natsd::settings::Tls;

/// Begins TLS on sockets that are connected.
#[derive(Clone, Debug)]
pub(in crate::natsd) struct Connector {
    config: Arc<ClientConfig>,
    timeout: Duration,
}

impl Connector {
    /// Reads the certificates. Without `ca_file` this machine's authorities count; with `insecure` nobody's word is asked.
    ///
    /// # Errors
    /// Which file or setting is wrong, in one line.
    pub(in crate::natsd) fn new(settings: &Tls) -> Result<Self, String> {
        let provider = Arc::new(provider(settings)?);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(settings))
            .map_err(|error| error.to_string())?;
        let builder = if settings.insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        } else {
            builder.with_root_certificates(match &settings.ca_file {
                Some(path) => certificates::authorities(path)?,
                None => certificates::authorities_of_this_machine()?,
            })
        };
        let mut config = match (&settings.cert_file, &settings.key_file) {
            (Some(certificate), Some(key)) => builder
                .with_client_auth_cert(certificates::read(certificate)?, certificates::key(key)?)
                .map_err(|error| format!("{} and {}: {error}", certificate.display(), key.display()))?,
            (None, None) => builder.with_no_client_auth(),
            _ => return Err("expected cert_file and key_file, or neither".to_owned()),
        };
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), timeout: settings.timeout })
    }

    /// Begins TLS with the server `name`, a host name or an IP address; what it says comes with the first flush.
    ///
    /// # Errors
    /// `name` is none.
    pub(in crate::natsd) fn connect(
        &self,
        socket: OwnedFd,
        name: &str,
        now: Instant,
    ) -> Result<Stream, String> {
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let server = ServerName::try_from(bare.to_owned())
            .map_err(|_| format!("expected a host name or an address, found '{name}'"))?;
        let session = UnbufferedClientConnection::new(Arc::clone(&self.config), server)
            .map_err(|error| error.to_string())?;
        Ok(Stream::connected(socket, Session::Client(session), now + self.timeout))
    }
}

/// `insecure`: a server may be anybody, but must have the key of the certificate that it shows.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
