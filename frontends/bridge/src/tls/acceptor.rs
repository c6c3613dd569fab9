//! TLS with those who connect to us.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use lunix::certificates::{self, Certificate};
use rustls::crypto::ring;
use rustls::{CertificateError, DEFAULT_VERSIONS, Error, InvalidMessage};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::Terms;
use crate::stream::Stream;

/// Makes TLS connections of sockets. Those that it has made keep what they began with when it is renewed.
pub(crate) struct Acceptor {
    terms: Terms,
    current: RefCell<TlsAcceptor>,
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Acceptor {
    /// Reads the certificates, for TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// Which file or setting is wrong, in one line.
    pub(crate) fn new(terms: Terms) -> Result<Self, String> {
        let current = RefCell::new(read(&terms)?);
        Ok(Self { terms, current })
    }

    /// Reads the certificates again; those from before stay if something is wrong with them.
    ///
    /// # Errors
    /// As [`Acceptor::new`].
    pub(crate) fn renew(&self) -> Result<(), String> {
        self.current.replace(read(&self.terms)?);
        Ok(())
    }

    /// The handshake, and the certificate that was shown.
    ///
    /// # Errors
    /// Why there is none, in one line.
    pub(crate) async fn accept(&self, stream: TcpStream) -> Result<(Stream, Option<Shown>), String> {
        let current = self.current.borrow().clone();
        let stream = current.accept(stream).await.map_err(|error| trouble(&error))?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let shown = shown.and_then(Certificate::parse).map(Shown);
        Ok((Box::new(stream), shown))
    }
}

/// A certificate whose chain has been verified.
pub(crate) struct Shown(Certificate);

impl Shown {
    /// Which of `users` it is for: that of one of its e-mail addresses, DNS names or URIs, of its subject, or of its common name.
    pub(crate) fn user<'u>(&self, users: impl Iterator<Item = &'u str> + Clone) -> Option<&'u str> {
        let named = |name: &str| users.clone().find(|user| *user == name);
        let by = |is: fn(&Certificate, &str) -> bool| users.clone().find(|user| is(&self.0, user));
        self.0
            .names()
            .find_map(named)
            .or_else(|| by(Certificate::is_whole_subject))
            .or_else(|| by(Certificate::is_subject))
            .or_else(|| self.0.common_name().and_then(named))
    }
}

fn read(terms: &Terms) -> Result<TlsAcceptor, String> {
    let (Some(certificate), Some(key)) = (&terms.cert_file, &terms.key_file) else {
        return Err("expected a certificate and its key".to_owned());
    };
    let authorities = terms.ca_file.as_deref();
    let files = certificates::ServerFiles { certificate, key, verify: terms.verify, authorities };
    let config = certificates::server(files, ring::default_provider(), DEFAULT_VERSIONS)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Why a handshake failed. What rustls says in the words of `Debug` is empty in the size build.
fn trouble(error: &io::Error) -> String {
    let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => "the other side has gone".to_owned(),
            _ => error.to_string(),
        };
    };
    match inner {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "what came is not TLS".to_owned(),
        Error::InvalidMessage(_) => "what came is broken".to_owned(),
        Error::PeerIncompatible(_) => "the other side has no version or suite that we have".to_owned(),
        Error::PeerMisbehaved(_) => "the other side broke the protocol".to_owned(),
        Error::NoCertificatesPresented => "no certificate was shown".to_owned(),
        Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer => {
                "the certificate is signed by nobody whose signatures count".to_owned()
            }
            CertificateError::BadSignature => "the certificate's signature is wrong".to_owned(),
            CertificateError::BadEncoding => "the certificate cannot be read".to_owned(),
            CertificateError::InvalidPurpose => "the certificate is not for clients".to_owned(),
            // Such as an authority's own.
            CertificateError::Other(_) => "the certificate is none that a client may have".to_owned(),
            why => why.to_string(),
        },
        Error::AlertReceived(alert) => {
            format!("the other side says {}", alert.as_str().unwrap_or("something unknown"))
        }
        error => error.to_string(),
    }
}
