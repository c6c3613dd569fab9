//! Accounts, which share no subject that they do not export and import: `accounts { … }`.

use std::time::Duration;

use lunix_proto::nats::subject;
use lunix_proto::nkey::{Kind, PublicKey};

use super::authorization::{User, users};
use super::permissions::permissions;
use crate::config::{Section, Value};
use crate::natsd::auth::grant::Responses;

/// Accounts and their users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Accounts {
    /// By number.
    pub(crate) list: Vec<Account>,
    /// All users of all accounts.
    pub(crate) users: Vec<User>,
    /// The name of the account of the server's own messages; `$SYS` if none is configured.
    pub(crate) system: Option<String>,
    /// Who clients without credentials are.
    pub(crate) no_auth_user: Option<String>,
}

/// An account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Account {
    /// Its name.
    pub(crate) name: String,
    /// What it gives to others.
    pub(crate) exports: Vec<Export>,
    /// What it takes from others.
    pub(crate) imports: Vec<Import>,
    /// What it may have.
    pub(crate) limits: AccountLimits,
}

/// What an account may have; `None` for no limit of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct AccountLimits {
    /// Clients at the same time.
    pub(crate) connections: Option<u32>,
    /// Subscriptions of one client.
    pub(crate) subscriptions: Option<u32>,
    /// The length of a message.
    pub(crate) payload: Option<usize>,
    /// Leaf nodes at the same time.
    pub(crate) leafnodes: Option<u32>,
}

/// What an account gives to others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Export {
    /// Requests, not messages.
    pub(crate) service: bool,
    /// The pattern.
    pub(crate) subject: String,
    /// To whom, by name; `None` for everybody.
    pub(crate) accounts: Option<Vec<String>>,
    /// Which token of the subject, from 1, must be the name of the importing account.
    pub(crate) token_position: Option<usize>,
    /// Only to accounts whose import brings an activation.
    pub(crate) needs_activation: bool,
    /// How requests may be answered.
    pub(crate) responses: Responses,
}

impl Export {
    /// One that is for everybody; its subject is still to be said.
    pub(crate) fn new(service: bool) -> Self {
        Self {
            service,
            subject: String::new(),
            accounts: None,
            token_position: None,
            needs_activation: false,
            responses: Responses::USUAL,
        }
    }
}

/// What an account takes from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Import {
    /// Requests, not messages.
    pub(crate) service: bool,
    /// The name of the exporting account.
    pub(crate) account: String,
    /// The exporter's pattern.
    pub(crate) subject: String,
    /// The importer's pattern; the same if there is none.
    pub(crate) to: Option<String>,
    /// What stands before the importer's pattern.
    pub(crate) prefix: Option<String>,
    /// It brings an activation that the exporter has given.
    pub(crate) activated: bool,
}

const RESERVED: [&str; 1] = ["$G"];

impl Accounts {
    /// Takes `accounts`, `system_account` and `no_auth_user`.
    pub(super) fn configure(&mut self, file: &mut Section) {
        self.system = file.text(&["system_account", "system"]);
        file.ignore(&["no_system_account", "no_system", "no_sys_acc"]);
        let no_auth_user = file.take(&["no_auth_user"]);
        self.no_auth_user = no_auth_user.as_ref().and_then(Value::text);
        let Some(value) = file.take(&["accounts"]) else { return };
        if value.is_list() {
            for element in value.list() {
                if let Some(name) = element.text() {
                    self.add(&element, name);
                }
            }
            return;
        }
        let Some(mut section) = value.block() else { return };
        let mut unfinished = Vec::new();
        for value in section.take_all() {
            if let Some(number) = self.add(&value, value.key().to_owned())
                && let Some(mut block) = value.block()
            {
                self.configure_account(number, &mut block, &mut unfinished);
                block.end();
            }
        }
        for (value, name) in unfinished {
            if !self.list.iter().any(|account| account.name == name) {
                value.note(format_args!("there is no account '{name}'"));
            }
        }
    }

    fn add(&mut self, value: &Value, name: String) -> Option<usize> {
        if RESERVED.contains(&name.as_str()) {
            value.note("this account is there already");
            return None;
        }
        if self.list.iter().any(|account| account.name == name) {
            value.note(format_args!("the account '{name}' is there twice"));
            return None;
        }
        self.list.push(Account { name, ..Account::default() });
        Some(self.list.len() - 1)
    }

    fn configure_account(&mut self, number: usize, block: &mut Section, named: &mut Vec<(Value, String)>) {
        let default = block.take(&["default_permissions"]).and_then(permissions);
        if let Some(value) = block.take(&["users"]) {
            self.users.extend(users(value, Some(number), default.as_ref()));
        }
        if let Some(value) = block.take(&["nkey"]) {
            value.parsed("the public key of an account, A…", |text| {
                PublicKey::parse_as(Kind::Account, text).ok()
            });
        }
        let exports = block.list(&["exports"]).unwrap_or_default();
        let imports = block.list(&["imports"]).unwrap_or_default();
        let limits = block.block(&["limits"]).map(limits);
        block.absent(&[
            ("jetstream", "JetStream"),
            ("mappings", "subject mappings"),
            ("maps", "subject mappings"),
            ("msg_trace", "message tracing"),
            ("trace_dest", "message tracing"),
        ]);
        if let Some(account) = self.list.get_mut(number) {
            account.exports = exports.into_iter().filter_map(|value| export(value, named)).collect();
            account.imports = imports.into_iter().filter_map(|value| import(value, named)).collect();
            account.limits = limits.unwrap_or_default();
        }
    }
}

fn limits(mut section: Section) -> AccountLimits {
    let mut number = |names: &[&'static str]| {
        // 0 and -1 mean that there is no limit.
        section.integer(names, -1, 1 << 30).and_then(|number| u32::try_from(number).ok()).filter(|n| *n > 0)
    };
    let limits = AccountLimits {
        connections: number(&["max_connections", "max_conn"]),
        subscriptions: number(&["max_subscriptions", "max_subs"]),
        payload: number(&["max_payload", "max_pay"]).and_then(|bytes| usize::try_from(bytes).ok()),
        leafnodes: number(&["max_leafnodes", "max_leafs"]),
    };
    section.end();
    limits
}

const SUBJECT: &str = "a subject, which may hold '*' and '>'";

fn subject(value: &Value) -> Option<String> {
    value.parsed(SUBJECT, |text| subject::is_pattern(text.as_bytes()).then(|| text.to_owned()))
}

/// `{ stream: SUBJECT accounts: [] }` or `{ service: SUBJECT … }`
fn export(value: Value, named: &mut Vec<(Value, String)>) -> Option<Export> {
    let mut section = value.block()?;
    let stream = section.take(&["stream"]);
    let service = section.take(&["service"]);
    let accounts = section.list(&["accounts"]).map(|values| {
        let names = values.into_iter().filter_map(|value| {
            let name = value.text()?;
            named.push((value, name.clone()));
            Some(name)
        });
        names.collect()
    });
    let token_position =
        section.integer(&["account_token_position"], 1, 255).and_then(|at| usize::try_from(at).ok());
    let mut responses = Responses::USUAL;
    if let Some(many) = section.take(&["response", "response_type"]).and_then(|value| {
        value.parsed("single, stream or chunked", |text| match text.to_ascii_lowercase().as_str() {
            "single" | "singleton" => Some(false),
            "stream" | "chunk" | "chunked" => Some(true),
            _ => None,
        })
    }) {
        responses.max = if many { 0 } else { 1 };
    }
    let threshold = ["threshold", "response_threshold", "response_max_time", "response_time"];
    if let Some(span) = section.duration(&threshold, Duration::from_millis(1), Duration::from_secs(86_400)) {
        responses.expires = Some(span);
    }
    section.ignore(&["latency", "allow_trace"]);
    let export = match (stream, service) {
        (Some(value), None) | (None, Some(value)) => {
            let service = value.key().eq_ignore_ascii_case("service");
            subject(&value).map(|subject| Export {
                subject,
                accounts,
                token_position,
                responses,
                ..Export::new(service)
            })
        }
        _ => {
            section.note("expected either 'stream' or 'service'");
            None
        }
    };
    section.end();
    export
}

/// `{ stream: { account: NAME subject: SUBJECT } to: SUBJECT prefix: SUBJECT }` or `{ service: … }`
fn import(value: Value, named: &mut Vec<(Value, String)>) -> Option<Import> {
    let mut section = value.block()?;
    let stream = section.take(&["stream"]);
    let service = section.take(&["service"]);
    let to = section.take(&["to"]).as_ref().and_then(subject);
    let prefix_value = section.take(&["prefix"]);
    let prefix = prefix_value.as_ref().and_then(subject);
    section.ignore(&["share", "allow_trace"]);
    if let (Some(_), Some(value)) = (&to, &prefix_value) {
        value.note("expected either 'to' or 'prefix'");
    }
    let import = match (stream, service) {
        (Some(value), None) | (None, Some(value)) => {
            let service = value.key().eq_ignore_ascii_case("service");
            source(value, named).map(|(account, subject)| Import {
                service,
                account,
                subject,
                to,
                prefix,
                activated: false,
            })
        }
        _ => {
            section.note("expected either 'stream' or 'service'");
            None
        }
    };
    section.end();
    import
}

fn source(value: Value, named: &mut Vec<(Value, String)>) -> Option<(String, String)> {
    let mut section = value.block()?;
    let account = section.take(&["account"]);
    let from = section.take(&["subject"]);
    if account.is_none() || from.is_none() {
        section.note("expected an account and a subject");
    }
    section.end();
    let (account, subject) = (account?, subject(&from?)?);
    let name = account.text()?;
    named.push((account, name.clone()));
    Some((name, subject))
}
