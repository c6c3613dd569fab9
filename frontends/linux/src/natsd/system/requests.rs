//! Requests to `$SYS.REQ.>`.

use std::fmt::Display;

use lunix_core::broker::{AccountId, Action, ClientId, ClientStatus, Control, Peer, Reason, Welcome};
use lunix_core::time::Instant;

use super::options::Options;
use crate::natsd::auth::grant::{Permissions, Rule};
use crate::natsd::monitor::{AccountFilter, AccountTotals, Json, Report, State, Wish, account_detail, nanos};
use crate::natsd::server::{Server, Token};
use crate::natsd::wires::Asked;
use crate::reactor::Reactor;

/// Which requests are answered.
#[derive(Debug, Default)]
pub(in crate::natsd) struct Served {
    /// The server's.
    pub(in crate::natsd) id: String,
    /// Tokens of accounts are kept.
    pub(in crate::natsd) claims: bool,
}

/// What a request's subject says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request<'s> {
    /// Who asks.
    User,
    /// This server, or all of them.
    Server(&'s str),
    /// This account.
    Account(&'s str, &'s str),
    /// The account of who asks.
    Own(&'s str),
    /// All accounts.
    Accounts,
    /// A token is sent, of this account or of any.
    Claims(Option<&'s str>),
}

/// What can be asked of all servers, and of one.
const REPORTS: [&str; 10] =
    ["IDZ", "STATSZ", "VARZ", "SUBSZ", "CONNZ", "ROUTEZ", "GATEWAYZ", "LEAFZ", "ACCOUNTZ", "JSZ"];
/// What one server can be told to do.
const ORDERS: [&str; 3] = ["KICK", "LDM", "RELOAD"];
const OF_ACCOUNTS: [&str; 7] = ["SUBSZ", "CONNZ", "LEAFZ", "JSZ", "INFO", "STATZ", "CONNS"];

/// The longest answer.
const LONGEST: usize = 4 << 20;

impl Served {
    /// Whether there is an answer to `subject`.
    pub(in crate::natsd) fn serves(&self, account: AccountId, subject: &[u8]) -> bool {
        str::from_utf8(subject).is_ok_and(|subject| self.request(account, subject).is_some())
    }

    fn request<'s>(&self, account: AccountId, subject: &'s str) -> Option<Request<'s>> {
        let rest = subject.strip_prefix("$SYS.REQ.")?;
        if rest == "USER.INFO" {
            return Some(Request::User);
        }
        if account != AccountId::SYSTEM {
            return match rest {
                "ACCOUNT.PING.CONNZ" | "SERVER.PING.CONNZ" => Some(Request::Own("CONNZ")),
                "ACCOUNT.PING.STATZ" => Some(Request::Own("STATZ")),
                _ => None,
            };
        }
        if self.claims
            && let Some(of) = rest.strip_suffix("CLAIMS.UPDATE")
        {
            let account = of.strip_prefix("ACCOUNT.").and_then(|of| of.strip_suffix('.'));
            return (of.is_empty() || account.is_some_and(|account| !account.contains('.')))
                .then_some(Request::Claims(account));
        }
        let mut tokens = rest.split('.');
        let request = match (tokens.next()?, tokens.next()?, tokens.next()) {
            ("SERVER", "PING", None) => Request::Server("STATSZ"),
            ("SERVER", "PING", Some(what)) if REPORTS.contains(&what) || what == "HEALTHZ" => {
                Request::Server(what)
            }
            ("SERVER", id, Some(what)) if id == self.id => {
                let known = REPORTS.contains(&what) || ORDERS.contains(&what) || what == "HEALTHZ";
                return known.then_some(Request::Server(what)).filter(|_| tokens.next().is_none());
            }
            ("ACCOUNT", "PING", Some("STATZ")) => Request::Accounts,
            ("ACCOUNT", name, Some(what)) if OF_ACCOUNTS.contains(&what) => Request::Account(name, what),
            _ => return None,
        };
        tokens.next().is_none().then_some(request)
    }
}

/// What an answer is made of.
enum Answer {
    /// JSON.
    Data(Vec<u8>),
    /// It is done.
    Done,
    /// What went wrong.
    Error(u16, String),
    /// There is no answer from here.
    None,
}

impl Server {
    /// Answers what was asked in this turn.
    pub(in crate::natsd) fn answer_requests(&mut self, reactor: &mut Reactor<Token>) {
        while !self.wires.asked.is_empty() {
            for asked in std::mem::take(&mut self.wires.asked) {
                self.answer(reactor, &asked);
            }
            while let Some(client) = self.monitor.ask() {
                self.drive(reactor.now(), lunix_core::broker::Input::Ask { client });
            }
            self.close_what_ended(reactor);
        }
    }

    fn answer(&mut self, reactor: &mut Reactor<Token>, asked: &Asked) {
        let now = reactor.now();
        let Ok(subject) = str::from_utf8(&asked.subject) else { return };
        let served = &self.broker.memory().served;
        let Some(request) = served.request(asked.account, subject) else { return };
        if let Request::Claims(account) = request {
            return self.keep_claims(now, asked, account);
        }
        let Some(reply) = asked.reply.as_deref() else { return };
        let options = match Options::of(&asked.payload) {
            Ok(options) => options,
            Err(text) => return self.respond(now, asked.account, reply, Answer::Error(400, text)),
        };
        if !options.means(&self.view(now)) {
            return;
        }
        let answer = match request {
            Request::User => self.user(now, asked.client),
            Request::Server("IDZ") => {
                let body = self.identify();
                return self.publish(now, asked.account, reply, body);
            }
            Request::Server("STATSZ") => {
                return str::from_utf8(reply).map_or((), |reply| self.say_statsz(now, asked.account, reply));
            }
            Request::Server("HEALTHZ") => Answer::Data(br#"{"status":"ok","status_code":200}"#.to_vec()),
            Request::Server("KICK") => self.kick(reactor, &asked.payload, &options),
            Request::Server("LDM") => self.send_away(now, &asked.payload, &options),
            Request::Server("RELOAD") if self.reload(reactor) => Answer::Done,
            Request::Server("RELOAD") => {
                Answer::Error(500, "nothing has changed; the log says why".to_owned())
            }
            Request::Server(what) => self.report(now, wish(what, &options)),
            Request::Accounts => self.accounts(now, options.accounts()),
            Request::Own(what) => {
                let Some(status) = self.broker.client(asked.client) else { return };
                let name = self.wires.door.account_name(status.account).to_owned();
                self.account(now, asked.account, reply, &name, what, &options)
            }
            Request::Claims(_) => return,
            Request::Account(name, what) => self.account(now, asked.account, reply, name, what, &options),
        };
        self.respond(now, asked.account, reply, answer);
    }

    fn respond(&mut self, now: Instant, account: AccountId, reply: &[u8], answer: Answer) {
        if matches!(answer, Answer::None) {
            return;
        }
        let mut body = Vec::new();
        let mut json = Json::new(&mut body, State::new(false));
        json.begin_object().key("server").begin_object();
        self.write_server(&mut json, now);
        json.end_object();
        match answer {
            Answer::Data(data) => {
                json.key("data").raw(&data);
            }
            Answer::Error(code, text) => {
                json.key("error")
                    .begin_object()
                    .number("code", code)
                    .string("description", text)
                    .end_object();
            }
            Answer::Done | Answer::None => {}
        }
        json.end_object();
        self.publish(now, account, reply, body);
    }

    pub(super) fn account_totals(&mut self, now: Instant, account: AccountId) -> AccountTotals {
        let (mut view, books) = self.view_and_books(now);
        view.totals(books, account)
    }

    fn report(&mut self, now: Instant, wish: Wish) -> Answer {
        let (mut view, books) = self.view_and_books(now);
        let mut report = match Report::new(wish, State::new(false), &mut view, books) {
            Ok(report) => report,
            Err(text) => return Answer::Error(500, text),
        };
        let mut out = Vec::new();
        while report.piece(&mut view, books, &mut out, LONGEST) {
            if out.len() >= LONGEST {
                return Answer::Error(
                    500,
                    format!("the answer has more than {LONGEST} bytes; a limit helps"),
                );
            }
        }
        Answer::Data(out)
    }

    /// An answer about one account.
    fn account(
        &mut self,
        now: Instant,
        to: AccountId,
        reply: &[u8],
        name: &str,
        what: &str,
        options: &Options<'_>,
    ) -> Answer {
        let account = self.view(now).account(name);
        match what {
            "CONNZ" => {
                let mut wished = options.connz();
                name.clone_into(&mut wished.account);
                self.report(now, Wish::Connz(wished))
            }
            "SUBSZ" => {
                let mut wished = options.subsz();
                name.clone_into(&mut wished.account);
                wished.subs = true;
                self.report(now, Wish::Subsz(wished))
            }
            "STATZ" => {
                let accounts = vec![name.to_owned()];
                self.accounts(now, AccountFilter { accounts, ..options.accounts() })
            }
            "CONNS" => {
                // As in nats-server, what is said has no envelope, and nothing is said of an account without anybody.
                if let Some(account) = account
                    && self.account_totals(now, account).connections > 0
                    && let Ok(reply) = str::from_utf8(reply)
                {
                    self.say_account(now, to, reply, account, name);
                }
                Answer::None
            }
            "INFO" if account.is_none() => Answer::Error(500, format!("Account {name} does not exist")),
            "INFO" => {
                let (mut view, books) = self.view_and_books(now);
                Answer::Data(made(|json| account_detail(&mut view, books, json, name)))
            }
            "LEAFZ" => self.report(now, Wish::Leafz),
            _ => Answer::Error(500, "jetstream not enabled".to_owned()),
        }
    }

    fn accounts(&mut self, now: Instant, filter: AccountFilter) -> Answer {
        let (mut view, books) = self.view_and_books(now);
        let asked: Vec<AccountId> = match &*filter.accounts {
            [] => view.accounts(),
            names => names.iter().filter_map(|name| view.account(name)).collect(),
        };
        let any =
            asked.into_iter().any(|account| filter.unused || view.totals(books, account).connections > 0);
        if any { self.report(now, Wish::Accstatz(filter)) } else { Answer::None }
    }

    fn identify(&self) -> Vec<u8> {
        let identity = &self.wires.identity;
        made(|json| {
            json.begin_object().string("name", &identity.name).string("host", &identity.host);
            json.string("id", &identity.id).end_object();
        })
    }

    /// Who asks.
    fn user(&mut self, now: Instant, client: ClientId) -> Answer {
        let Some(status) = self.broker.client(client) else { return Answer::None };
        let view = self.view(now);
        let account = view.account_name(status.account);
        let entry = status.user.and_then(|user| view.broker.memory().users.find(user));
        Answer::Data(made(|json| {
            json.begin_object().string("user", view.user_name(status.user));
            json.string("account", account).string("account_name", account);
            if let Some(entry) = entry {
                write_permissions(json, &entry.permissions);
                if let Some(expires) = entry.expires {
                    json.number("expires", nanos(expires.since(now)));
                }
            }
            json.end_object();
        }))
    }

    fn by_number(&mut self, now: Instant, number: u64) -> Option<(ClientId, ClientStatus)> {
        self.view(now).clients().find(|(_, status)| status.number == number)
    }

    /// Ends a connection.
    fn kick(&mut self, reactor: &mut Reactor<Token>, payload: &[u8], options: &Options<'_>) -> Answer {
        if payload.is_empty() {
            return Answer::None;
        }
        let Some((client, _)) = self.by_number(reactor.now(), options.number("cid")) else {
            return Answer::Error(500, "no such client or leafnode id".to_owned());
        };
        self.finish(reactor, client, Some(Reason::Kicked));
        Answer::Done
    }

    /// Asks a client to go to another server.
    fn send_away(&mut self, now: Instant, payload: &[u8], options: &Options<'_>) -> Answer {
        if payload.is_empty() {
            return Answer::None;
        }
        let found = self.by_number(now, options.number("cid")).filter(|(_, status)| !status.leaf);
        let Some((to, status)) = found else {
            return Answer::Error(500, "no such client id".to_owned());
        };
        if !status.async_info {
            return Answer::Error(500, "the client does not understand INFO at any time".to_owned());
        }
        let client_ip = match status.peer {
            Peer::Tcp(address) => Some(address.ip().to_canonical()),
            Peer::Local => None,
        };
        let welcome =
            Welcome { client_id: status.number, client_ip, connected: true, account: status.account };
        let before = std::mem::replace(&mut self.wires.identity.ldm, true);
        self.wires.act(Action::Send { to, line: Control::Info(welcome) });
        self.wires.identity.ldm = before;
        Answer::Done
    }
}

/// What a request to a server asks for.
fn wish(what: &str, options: &Options<'_>) -> Wish {
    match what {
        "VARZ" => Wish::Varz,
        "SUBSZ" => Wish::Subsz(options.subsz()),
        "CONNZ" => Wish::Connz(options.connz()),
        "ROUTEZ" => Wish::Routez,
        "GATEWAYZ" => Wish::Gatewayz,
        "LEAFZ" => Wish::Leafz,
        "ACCOUNTZ" => Wish::Accountz(options.text("account")),
        _ => Wish::Jsz,
    }
}

/// JSON that `write` writes.
fn made(write: impl FnOnce(&mut Json<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut Json::new(&mut out, State::new(false)));
    out
}

/// `permissions`, unless everything is allowed.
fn write_permissions(json: &mut Json<'_>, permissions: &Permissions) {
    let Permissions { publish, subscribe, responses } = permissions;
    if *permissions == Permissions::default() {
        return;
    }
    json.key("permissions").begin_object();
    for (key, Rule { allow, deny }) in [("publish", publish), ("subscribe", subscribe)] {
        if allow.is_none() && deny.is_empty() {
            continue;
        }
        json.key(key).begin_object();
        list(json, "allow", allow.as_deref().unwrap_or(""));
        list(json, "deny", deny);
        json.end_object();
    }
    if let Some(responses) = responses {
        let expires: &dyn Display = &responses.expires.map_or(0, nanos);
        json.key("responses").begin_object().number("max", responses.max).number("ttl", expires).end_object();
    }
    json.end_object();
}

/// A key and its lines, if there are any.
fn list(json: &mut Json<'_>, key: &str, lines: &str) {
    if lines.is_empty() {
        return;
    }
    json.key(key).begin_array();
    lines.lines().for_each(|line| {
        json.text(line);
    });
    json.end_array();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_say_who_is_asked_and_what() {
        let mut served = Served { id: "ME".to_owned(), claims: false };
        assert_eq!(served.request(AccountId::SYSTEM, "$SYS.REQ.CLAIMS.UPDATE"), None);
        served.claims = true;
        for (subject, system, others) in [
            ("$SYS.REQ.USER.INFO", Some(Request::User), Some(Request::User)),
            ("$SYS.REQ.SERVER.PING", Some(Request::Server("STATSZ")), None),
            ("$SYS.REQ.SERVER.PING.CONNZ", Some(Request::Server("CONNZ")), Some(Request::Own("CONNZ"))),
            ("$SYS.REQ.SERVER.PING.KICK", None, None),
            ("$SYS.REQ.SERVER.ME.KICK", Some(Request::Server("KICK")), None),
            ("$SYS.REQ.SERVER.ME.KICK.x", None, None),
            ("$SYS.REQ.SERVER.YOU.VARZ", None, None),
            ("$SYS.REQ.SERVER", None, None),
            ("$SYS.REQ.ACCOUNT.PING.STATZ", Some(Request::Accounts), Some(Request::Own("STATZ"))),
            ("$SYS.REQ.ACCOUNT.A.INFO", Some(Request::Account("A", "INFO")), None),
            ("$SYS.REQ.ACCOUNT.A.NOTHING", None, None),
            ("$SYS.REQ.CLAIMS.UPDATE", Some(Request::Claims(None)), None),
            ("$SYS.REQ.ACCOUNT.A.CLAIMS.UPDATE", Some(Request::Claims(Some("A"))), None),
            ("$SYS.REQ.ACCOUNT.A.B.CLAIMS.UPDATE", None, None),
            ("$SYS.REQ.XCLAIMS.UPDATE", None, None),
        ] {
            assert_eq!(served.request(AccountId::SYSTEM, subject), system, "{subject}");
            assert_eq!(served.request(AccountId::GLOBAL, subject), others, "{subject}");
        }
    }
}
