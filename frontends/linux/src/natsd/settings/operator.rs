//! Trust in an operator's tokens: `operator`, `resolver`, `resolver_preload`, `trusted_keys`.

use std::fs;
use std::path::{Path, PathBuf};

use lunix_proto::nkey::{Kind, PublicKey};

use crate::config::{Section, Value};
use crate::natsd::auth::jwt;

/// Whose tokens are trusted, and where those of accounts are found. Without operators there are no tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Operator {
    /// Operators, each with the keys that sign for it.
    pub(crate) trusted: Vec<Trusted>,
    /// Where the tokens of accounts are.
    pub(crate) resolver: Resolver,
    /// Tokens of accounts that are known from the start.
    pub(crate) preload: Vec<(PublicKey, String)>,
    /// Users of other accounts are refused; none for all accounts.
    pub(crate) pinned: Vec<PublicKey>,
    /// The system account that an operator's token names.
    pub(crate) system: Option<PublicKey>,
}

/// An operator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Trusted {
    /// What signs accounts.
    pub(crate) keys: Vec<PublicKey>,
    /// The accounts' own keys do not sign users, only their signing keys.
    pub(crate) strict: bool,
}

/// Where the tokens of accounts are found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Resolver {
    /// Those that were preloaded, and that are published to the server while it runs.
    #[default]
    Memory,
    /// In files `ACCOUNT.jwt` of a folder.
    Folder {
        /// Which.
        path: PathBuf,
        /// Accounts may be deleted by a request.
        deletes: bool,
    },
}

const KEYS: [&str; 9] = [
    "operator",
    "operators",
    "trusted_keys",
    "trusted",
    "resolver",
    "account_resolver",
    "resolver_preload",
    "resolver_pinned_accounts",
    "resolver_tls",
];

impl Operator {
    /// Takes `operator`, `resolver` and what belongs to them.
    pub(super) fn configure(&mut self, file: &mut Section) {
        if !cfg!(feature = "jwt") {
            return file.left_out(&KEYS, "signed tokens are");
        }
        let folder = file.file().parent().map(Path::to_owned).unwrap_or_default();
        if let Some(value) =
            file.take(&["operator", "operators", "root", "roots", "root_operator", "root_operators"])
        {
            for element in value.list() {
                let read = |text: &str| operator(text, &folder);
                if let Some((trusted, system)) =
                    element.parsed("an operator's token, or a file that holds it", read)
                {
                    self.trusted.push(trusted);
                    self.system = self.system.or(system);
                }
            }
        }
        let keys: Vec<PublicKey> = file
            .list(&["trusted_keys", "trusted"])
            .unwrap_or_default()
            .iter()
            .filter_map(|value| key(value, Kind::Operator, "the public key of an operator, O…"))
            .collect();
        if !keys.is_empty() {
            self.trusted.push(Trusted { keys, strict: false });
        }
        if let Some(value) = file.take(&["resolver", "account_resolver", "accounts_resolver"]) {
            self.resolver = resolver(value, &folder).unwrap_or_default();
        }
        if let Some(mut section) = file.block(&["resolver_preload"]) {
            for value in section.take_all() {
                self.preload(&value);
            }
        }
        self.pinned = file
            .list(&["resolver_pinned_accounts"])
            .unwrap_or_default()
            .iter()
            .filter_map(|value| key(value, Kind::Account, "the public key of an account, A…"))
            .collect();
        file.absent(&[
            ("resolver_tls", "account resolver over HTTP"),
            ("default_sentinel", "authorization callouts"),
        ]);
    }

    fn preload(&mut self, value: &Value) {
        let Ok(account) = PublicKey::parse_as(Kind::Account, value.key()) else {
            return value.note("expected the public key of an account, A…");
        };
        let token = value
            .parsed("the token of this account", |text| jwt::is_of(text, &account).then(|| text.to_owned()));
        self.preload.extend(token.map(|token| (account, token)));
    }
}

fn key(value: &Value, kind: Kind, expected: &str) -> Option<PublicKey> {
    value.parsed(expected, |text| PublicKey::parse_as(kind, text).ok())
}

/// A token, or the file that holds it, bare or between lines of dashes.
fn operator(text: &str, folder: &Path) -> Option<(Trusted, Option<PublicKey>)> {
    let text = if text.starts_with("eyJ") {
        text.to_owned()
    } else {
        // As all paths it may be seen from where the server was started.
        fs::read_to_string(folder.join(text)).or_else(|_| fs::read_to_string(text)).ok()?
    };
    jwt::operator(&text)
}

/// `MEMORY`, or `{ type: full dir: FOLDER … }`.
fn resolver(value: Value, folder: &Path) -> Option<Resolver> {
    const EXPECTED: &str = "MEMORY, or a block with type and dir";
    if !value.is_block() {
        return value.parsed(EXPECTED, |text| {
            ["MEM", "MEMORY"]
                .iter()
                .any(|name| text.trim().eq_ignore_ascii_case(name))
                .then_some(Resolver::Memory)
        });
    }
    let mut section = value.block()?;
    let kind = section.take(&["type"]);
    let dir = section.path(&["dir"]);
    let deletes = section.truth(&["allow_delete"]).unwrap_or(false);
    // How often servers of a cluster compare their folders, how long and how many tokens a cache holds.
    section.ignore(&["interval", "timeout", "limit", "ttl", "hard_delete"]);
    let in_memory = kind.as_ref().and_then(|value| {
        value.parsed("full, cache or memory", |text| match text.to_ascii_lowercase().as_str() {
            "full" | "cache" => Some(false),
            "mem" | "memory" => Some(true),
            _ => None,
        })
    });
    let resolver = match (in_memory, dir) {
        (Some(true), _) => Some(Resolver::Memory),
        (Some(false), Some(dir)) => Some(Resolver::Folder { path: folder.join(dir), deletes }),
        (Some(false), None) => {
            section.note("expected 'dir', a folder");
            None
        }
        (None, _) => {
            if kind.is_none() {
                section.note("expected 'type': full, cache or memory");
            }
            None
        }
    };
    section.end();
    resolver
}
