//! What a server is told on its command line and in its configuration file.
//!
//! Each subject has a file here with a struct that is a [`Subject`]: its values before anything is said (`Default`), what
//! it takes from the configuration file, what it takes from the command line, which wins, and which facts a reload
//! compares. A new subject needs that file, a field of [`Settings`], and its line in [`Settings::subjects`] and
//! [`Settings::subjects_mut`].

mod accounts;
mod auth;
mod authorization;
mod facts;
mod identity;
mod leafnodes;
mod limits;
mod listen;
mod logging;
mod monitoring;
mod operation;
mod operator;
mod permissions;
mod tls;

use std::fmt;

use lunix_core::broker::Limits;

use crate::cli::{Matches, UsageError};
use crate::config::{self, Mistake, Mistakes, Section};

pub(super) use accounts::{AccountLimits, Accounts, Export, Import};
pub(super) use auth::Auth;
pub(super) use authorization::Credential;
pub(super) use facts::Facts;
pub(super) use identity::{Asked, Identity};
pub use leafnodes::{LeafUser, Leafnodes, Remote, RemoteUrl, SeedText};
pub use listen::{Listen, Socket};
pub use logging::Logging;
pub use monitoring::Monitoring;
pub use operation::Operation;
#[cfg(feature = "jwt")]
pub(super) use operator::Resolver;
pub(super) use operator::{Operator, Trusted};
pub use tls::{ClientTls, First, Tls, TlsVersion};

/// What a server is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens, and how others find it.
    pub listen: Listen,
    /// What it says about itself.
    pub logging: Logging,
    /// What clients may do.
    pub limits: Limits,
    /// Where it tells about itself.
    pub monitoring: Monitoring,
    /// TLS for clients.
    pub tls: ClientTls,
    /// How it runs and stops.
    pub operation: Operation,
    /// The hubs that it joins, and who may join it.
    pub leafnodes: Leafnodes,
    /// What is worth a line in the log about the configuration file.
    pub remarks: Vec<Mistake>,
    /// Who they are.
    pub(super) auth: Auth,
}

/// A part of the settings.
pub(super) trait Subject {
    /// Takes its keys from the file. Mistakes are noted in `file`.
    fn configure(&mut self, file: &mut Section);

    /// Takes its flags from the command line.
    ///
    /// # Errors
    /// The first flag whose value is wrong.
    fn apply(&mut self, matches: &Matches) -> Result<(), UsageError>;

    /// Tells all that a reload compares.
    fn facts(&self, facts: &mut Facts);
}

/// Why there are no settings.
#[derive(Debug)]
pub enum Error {
    /// What is wrong with the command line.
    Usage(UsageError),
    /// What is wrong with the configuration file.
    File(Mistakes),
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => error.fmt(out),
            Self::File(mistakes) => mistakes.fmt(out),
        }
    }
}

impl std::error::Error for Error {}

/// What nats-server has and natsd or this build has not, by flag.
const ABSENT: [(&str, &str); 5] = [
    ("routes", "natsd has no clusters; it joins one as a leaf node"),
    ("jetstream", "natsd has no JetStream; as a leaf node it reaches that of a cluster"),
    ("syslog", "natsd has no syslog; log to stderr, and let the supervisor collect it"),
    ("remote_syslog", "natsd has no syslog; log to stderr, and let the supervisor collect it"),
    ("profile", "natsd has no profiling over HTTP; perf(1) works"),
];

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            logging: Logging::default(),
            limits: limits::of_this_machine(),
            monitoring: Monitoring::default(),
            tls: ClientTls::default(),
            operation: Operation::default(),
            leafnodes: Leafnodes::default(),
            remarks: Vec::new(),
            auth: Auth::default(),
        }
    }
}

impl Settings {
    /// From the command line, and from the configuration file that it names; the command line wins.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn new(matches: &Matches) -> Result<Self, Error> {
        let mut settings = Self::default();
        if let Some(path) = matches.path("config") {
            let file = config::read(path).map_err(Error::File)?;
            settings.configure(file).map_err(Error::File)?;
        }
        settings.apply(matches).map_err(Error::Usage)?;
        settings.limits.authenticate = true;
        settings.limits.trace = cfg!(feature = "monitoring");
        // It counts from the first moment, so that it must not end before the handshake may.
        let handshake = |tls: Option<&Tls>| tls.map(|tls| tls.timeout).unwrap_or_default();
        settings.limits.auth_timeout =
            settings.auth.authorization.timeout + handshake(settings.tls.tls.as_ref());
        let leafnodes = &settings.leafnodes;
        settings.limits.leaf_timeout = leafnodes.timeout + handshake(leafnodes.tls.as_ref());
        settings.limits.leaves = settings.leafnodes.most();
        Ok(settings)
    }

    fn subjects(&self) -> [&dyn Subject; 8] {
        [
            &self.listen,
            &self.logging,
            &self.limits,
            &self.monitoring,
            &self.tls,
            &self.operation,
            &self.auth,
            &self.leafnodes,
        ]
    }

    fn subjects_mut(&mut self) -> [&mut dyn Subject; 8] {
        [
            &mut self.listen,
            &mut self.logging,
            &mut self.limits,
            &mut self.monitoring,
            &mut self.tls,
            &mut self.operation,
            &mut self.auth,
            &mut self.leafnodes,
        ]
    }

    fn configure(&mut self, mut file: Section) -> Result<(), Mistakes> {
        for subject in self.subjects_mut() {
            subject.configure(&mut file);
        }
        let known = |name: &str| {
            !self.auth.operator.trusted.is_empty()
                || self.auth.accounts.list.iter().any(|account| account.name == name)
        };
        for name in self.leafnodes.accounts().filter(|name| !known(name)) {
            file.note(format_args!("leafnodes: there is no account '{name}'"));
        }
        if self.monitoring.secure && self.tls.tls.is_none() {
            file.note("https: expected a tls block, whose certificate is shown");
        }
        self.remarks = file.finish()?;
        Ok(())
    }

    fn apply(&mut self, matches: &Matches) -> Result<(), UsageError> {
        for (flag, what) in ABSENT {
            if matches.has(flag) {
                return Err(matches.error(format_args!("--{flag}: {what}")));
            }
        }
        self.subjects_mut().into_iter().try_for_each(|subject| subject.apply(matches))?;
        if self.monitoring.secure && self.tls.tls.is_none() {
            return Err(matches.error(format_args!("--https_port: expected TLS, whose certificate is shown")));
        }
        Ok(())
    }

    /// All that a reload compares.
    pub(super) fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        self.subjects().into_iter().for_each(|subject| subject.facts(&mut facts));
        facts
    }
}
