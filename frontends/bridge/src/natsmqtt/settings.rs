//! What natsmqtt is told, on its command line and in its file.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use lunix::bus::{Options, Overflow};
use lunix::cli::{BASIC, Command, DAEMON, Flag, Hint, Matches, NATS, Style};
use lunix::config::{self, Mistakes, Section};
use lunix::log::{self, Level};
use lunix_core::time::Duration;
use lunix_proto::mqtt::{Connect, Qos, Version};

use super::NAME;
use super::bridge::{Remote, settings as bridges};
use super::listen::{Listen, Welcome};
use super::path;
use super::rules::Rules;
use super::users::Users;
use crate::origin;
use crate::own::OwnUser;
use crate::start::Wrong;
use crate::tls::{Acceptor, Terms};

/// The command line of `natsmqtt`.
pub static COMMAND: Command = Command {
    name: NAME,
    about: "MQTT 3.1, 3.1.1 and 5 for devices, whose messages are NATS messages",
    arguments: &[],
    flags: &[
        &[
            Flag {
                names: &["listen", "l"],
                value: Some("ADDR:PORT"),
                help: "where devices connect, with mqtts://, ws:// or wss:// before it by TLS, WebSocket or both (repeatable) \
                       [127.0.0.1:1883]",
                hint: Hint::None,
            },
            Flag {
                names: &["cert"],
                value: Some("FILE"),
                help: "our certificate for devices, for mqtts:// and wss://",
                hint: Hint::File,
            },
            Flag { names: &["key"], value: Some("FILE"), help: "its key", hint: Hint::File },
            Flag {
                names: &["cafile"],
                value: Some("FILE"),
                help: "who signs devices' certificates, which they then have to show",
                hint: Hint::File,
            },
            Flag {
                names: &["origin"],
                value: Some("ORIGIN"),
                help: "pages that may connect by WebSocket, as https://HOST (repeatable)",
                hint: Hint::None,
            },
            Flag {
                names: &["user"],
                value: Some("NAME:PASSWORD"),
                help: "a user; with one or more, nobody connects without (repeatable)",
                hint: Hint::None,
            },
            Flag {
                names: &["anonymous"],
                value: None,
                help: "let everybody connect, without a name and with what the server allows natsmqtt itself",
                hint: Hint::None,
            },
            Flag {
                names: &["store"],
                value: Some("FILE"),
                help: "keep sessions, their messages, retained messages and wills there",
                hint: Hint::File,
            },
        ],
        NATS,
        DAEMON,
        BASIC,
    ],
    of: None,
    style: Style::Gnu,
    details: &[
        "Topic a/b is subject a.b, + is * and # is >; the topic temperature0 is the subject temperature0. QoS 1 and 2, kept sessions, \
         retained messages and wills need no JetStream.",
        "Request mqtt.retained.SUBJECT on NATS for the retained message of a topic.",
        "Without --user and --anonymous, only programs of natsmqtt's own user on this machine may connect.",
    ],
    commands: &[],
    examples: &[
        ("natsmqtt", "your own programs on this machine, at the server of this machine"),
        ("natsmqtt --listen 0.0.0.0:1883 --user sensor:secret", "devices of the network, with a password"),
        (
            "natsmqtt --listen mqtts://0.0.0.0:8883 --cert cert.pem --key key.pem --user sensor:secret",
            "the same, with TLS",
        ),
        ("mosquitto_pub -t temperature0 -m 17", "the same as `lunix pub temperature0 17`"),
    ],
};

/// What it is told.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) bus: Options,
    pub(super) listen: Vec<Listen>,
    pub(super) welcome: Welcome,
    pub(super) users: Users,
    pub(super) store: Option<PathBuf>,
    pub(super) limits: Limits,
    /// What this site is called in the paths of messages.
    pub(super) site: Option<String>,
    pub(super) bridges: Vec<Remote>,
}

/// How much of everything there may be. Who asks for more is refused with the reason code that the standard has for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at a time, those without a session included.
    pub(super) connections: usize,
    /// Sessions, connected or kept.
    pub(super) sessions: usize,
    /// Filters of one session.
    pub(super) subscriptions: usize,
    /// Bytes of one packet.
    pub(super) packet: usize,
    /// Messages with QoS 1 and 2 on their way at a time, in either direction of one connection.
    pub(super) inflight: u16,
    /// Topics that a connection may abbreviate.
    pub(super) aliases: u16,
    /// Messages, and bytes of them, that wait for one session.
    pub(super) queue: usize,
    pub(super) queue_bytes: usize,
    /// Bytes on their way to one connection; messages with QoS 0 beyond are given up.
    pub(super) output: usize,
    /// Retained messages, and bytes of all of them.
    pub(super) retained: usize,
    pub(super) retained_bytes: usize,
    /// The longest that a session is kept, whatever it asks for.
    pub(super) expiry: Duration,
    /// How long a connection may take to say who it is.
    pub(super) patience: Duration,
    /// Seconds of the longest keep alive, and that of clients who want none; zero leaves it to them.
    pub(super) keep_alive: u16,
    /// The QoS of messages that come from NATS.
    pub(super) nats_qos: Qos,
}

/// The longest packet that there can be [MQTT 5: 2.1.4].
pub(super) const LONGEST_PACKET: usize = 268_435_460;

impl Limits {
    pub(super) const STANDARD: Self = Self {
        connections: 1024,
        sessions: 4096,
        subscriptions: 256,
        packet: 1 << 20,
        inflight: 20,
        aliases: 10,
        queue: 1000,
        queue_bytes: 1 << 20,
        output: 1 << 20,
        retained: 4096,
        retained_bytes: 4 << 20,
        expiry: Duration::from_secs(7 * 24 * 3600),
        patience: Duration::from_secs(10),
        keep_alive: 0,
        nats_qos: Qos::AtLeastOnce,
    };

    /// Seconds within which a client says something, and what it is told of that if it is not what it said.
    pub(super) fn keep_alive(&self, connect: &Connect<'_>) -> (u16, Option<u16>) {
        let asked = connect.keep_alive;
        // Before MQTT 5 there is no way to tell.
        let is_too_long = self.keep_alive > 0 && (asked == 0 || asked > self.keep_alive);
        match is_too_long && connect.version == Version::V5 {
            true => (self.keep_alive, Some(self.keep_alive)),
            false => (asked, None),
        }
    }

    fn take(&mut self, mut block: Section) {
        let mut count = |name: &'static str, value: &mut usize| {
            if let Some(number) = block.integer(&[name], 1, 1 << 24) {
                *value = usize::try_from(number).unwrap_or(*value);
            }
        };
        count("connections", &mut self.connections);
        count("sessions", &mut self.sessions);
        count("subscriptions", &mut self.subscriptions);
        count("queue", &mut self.queue);
        count("retained", &mut self.retained);
        let mut size = |name: &'static str, value: &mut usize, most| {
            *value = block.size(&[name], 1 << 10, most).unwrap_or(*value);
        };
        size("packet", &mut self.packet, LONGEST_PACKET);
        size("queue_bytes", &mut self.queue_bytes, 1 << 30);
        size("output", &mut self.output, 1 << 30);
        size("retained_bytes", &mut self.retained_bytes, 1 << 30);
        let mut small = |name: &'static str, value: &mut u16, least| {
            let number = block.integer(&[name], least, 65_535);
            *value = number.and_then(|number| number.try_into().ok()).unwrap_or(*value);
        };
        small("inflight", &mut self.inflight, 1);
        small("topic_aliases", &mut self.aliases, 0);
        small("keep_alive", &mut self.keep_alive, 0);
        let mut span = |name: &'static str, value: &mut Duration, most| {
            let least = Duration::from_secs(1);
            *value = block.duration(&[name], least, Duration::from_secs(most)).unwrap_or(*value);
        };
        span("session_expiry", &mut self.expiry, u32::MAX.into());
        span("connect_timeout", &mut self.patience, 3600);
        block.end();
    }
}

const ORIGIN: &str = "an origin, such as https://lunix.example";

impl Settings {
    /// What the command line says, which counts more, and the file that it names.
    ///
    /// # Errors
    /// What is wrong with either.
    pub(super) fn from_matches(matches: &Matches) -> Result<Self, Wrong> {
        if let Some(level) = matches.text("log")?.and_then(Level::from_name) {
            log::set_level(level);
        }
        let mut bus = Options::from_matches(NAME, matches)?;
        bus.description = COMMAND.about;
        // A device hears of it when its message is not taken.
        bus.overflow = Overflow::RefuseNewest;
        let mut settings = Self {
            bus,
            listen: Vec::new(),
            welcome: Welcome { acceptor: None, maps_users: false, origins: Vec::new(), own: OwnUser::new() },
            users: Users::default(),
            store: None,
            limits: Limits::STANDARD,
            site: None,
            bridges: Vec::new(),
        };
        let mut terms = Terms::default();
        if let Some(file) = matches.path("config") {
            terms = settings.read(file)?;
        }
        let listen = matches.texts("listen")?;
        if !listen.is_empty() {
            settings.listen.clear();
        }
        for text in listen {
            let listen = text.parse().map_err(|()| matches.wrong("listen", Listen::EXPECTED, text))?;
            settings.listen.push(listen);
        }
        if settings.listen.is_empty() {
            settings.listen.push(Listen::STANDARD);
        }
        for text in matches.texts("origin")? {
            if !origin::is_origin(text) {
                return Err(matches.wrong("origin", ORIGIN, text).into());
            }
            settings.welcome.origins.push(text.to_owned());
        }
        if let Some(store) = matches.path("store") {
            settings.store = Some(store.to_owned());
        }
        if matches.has("anonymous") {
            settings.users.admit_anonymous();
        }
        for user in matches.texts("user")? {
            let added =
                user.split_once(':').is_some_and(|(name, password)| settings.users.add(name, password, None));
            if !added {
                return Err(matches.error("--user: expected NAME:PASSWORD").into());
            }
        }
        settings.secure(matches, terms)?;
        Ok(settings)
    }

    /// Makes what listeners with TLS need.
    fn secure(&mut self, matches: &Matches, mut terms: Terms) -> Result<(), Wrong> {
        let files =
            [(&mut terms.cert_file, "cert"), (&mut terms.key_file, "key"), (&mut terms.ca_file, "cafile")];
        for (file, flag) in files {
            *file = matches.path(flag).map(Path::to_path_buf).or(file.take());
        }
        terms.verify |= matches.path("cafile").is_some();
        self.welcome.maps_users = terms.verify_and_map;
        let secure = self.listen.iter().find(|listen| listen.is_secure());
        match secure {
            Some(listen) => {
                let acceptor = Acceptor::new(terms)
                    .map_err(|error| matches.error(format_args!("{listen} (--cert, --key, tls): {error}")))?;
                self.welcome.acceptor = Some(Rc::new(acceptor));
            }
            None if terms != Terms::default() => {
                let line = "--cert, --key, tls: expected a listener that speaks it, such as --listen mqtts://0.0.0.0:8883";
                return Err(matches.error(line).into());
            }
            None => {}
        }
        Ok(())
    }

    /// Answers what the file says of TLS.
    fn read(&mut self, path: &Path) -> Result<Terms, Mistakes> {
        let mut file = config::read(path)?;
        for listen in file.list(&["listen"]).unwrap_or_default() {
            self.listen.extend(listen.parsed(Listen::EXPECTED, |text| text.parse::<Listen>().ok()));
        }
        let terms = file.block(&["tls"]).map(Terms::take).unwrap_or_default();
        for origin in file.list(&["allowed_origins", "origins"]).unwrap_or_default() {
            let origin = origin.parsed(ORIGIN, |text| origin::is_origin(text).then(|| text.to_owned()));
            self.welcome.origins.extend(origin);
        }
        for user in file.list(&["users"]).unwrap_or_default() {
            let place = user.clone();
            let Some(mut block) = user.block() else { continue };
            let (name, password) = (block.text(&["user"]), block.text(&["password", "pass"]));
            let rules = block.take(&["permissions"]).and_then(Rules::take);
            let name = name.unwrap_or_default();
            let good = match password {
                None if terms.verify_and_map => self.users.add_certified(&name, rules),
                password => self.users.add(&name, &password.unwrap_or_default(), rules),
            };
            if !good {
                place.note("expected user and password, plain or bcrypt's hash");
            }
            block.end();
        }
        self.store = file.path(&["store"]);
        if file.truth(&["anonymous"]) == Some(true) {
            self.users.admit_anonymous();
        }
        if let Some(rules) = file.take(&["permissions"]).and_then(Rules::take) {
            self.users.set_rules(rules);
        }
        if let Some(qos) = file.integer(&["nats_qos"], 0, 2) {
            let qos = u8::try_from(qos).ok().and_then(Qos::of);
            self.limits.nats_qos = qos.unwrap_or(self.limits.nats_qos);
        }
        if let Some(pending) = file.size(&["pending"], 64 << 10, 1 << 30) {
            self.bus.pending = pending;
        }
        if let Some(limits) = file.block(&["limits"]) {
            self.limits.take(limits);
        }
        if let Some(site) = file.take(&["site"]) {
            let expected = "letters, digits and . _ : - [ ], 64 at most";
            self.site = site.parsed(expected, |text| path::is_site(text).then(|| text.to_owned()));
        }
        self.bridges = bridges::take(&mut file);
        for remark in file.finish()? {
            log::line(Level::Warn, NAME, remark);
        }
        Ok(terms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(args: &[&str]) -> Result<Settings, String> {
        let matches = COMMAND.try_parse(args.iter().map(Into::into)).map_err(|error| error.to_string())?;
        Settings::from_matches(&matches).map_err(|wrong| wrong.to_string())
    }

    fn file(name: &str, text: &str) -> String {
        let path = std::env::temp_dir().join(format!("natsmqtt-{}-{name}.conf", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    }

    fn said(settings: &Settings) -> Vec<String> {
        settings.listen.iter().map(Listen::to_string).collect()
    }

    #[test]
    fn several_listeners_and_pages() {
        let path = file(
            "listeners",
            "listen: ['127.0.0.1:1', 'ws://127.0.0.1:2']\nallowed_origins: ['https://a.example']\n",
        );
        let of_file = settings(&["--config", &path, "--origin", "https://b.example"]).unwrap();
        assert_eq!(said(&of_file), ["127.0.0.1:1", "ws://127.0.0.1:2"]);
        assert_eq!(of_file.welcome.origins, ["https://a.example", "https://b.example"]);
        assert_eq!(said(&settings(&[]).unwrap()), ["127.0.0.1:1883"]);
    }

    #[test]
    fn flags_count_more_than_the_file() {
        let path = file(
            "good",
            "listen: '0.0.0.0:1'\nstore: /s\nusers: [{ user: a, password: b }]\nnats_qos: 0\npending: 1MB\n\
             limits { packet: 64KB, queue: 5, inflight: 7, session_expiry: 1h }\n",
        );
        let of_file = settings(&["--config", &path]).unwrap();
        assert_eq!((said(&of_file), of_file.bus.pending), (vec!["0.0.0.0:1".to_owned()], 1 << 20));
        let Limits { packet, queue, inflight, expiry, nats_qos, .. } = of_file.limits;
        assert_eq!((packet, queue, inflight, nats_qos), (64 << 10, 5, 7, Qos::AtMostOnce));
        assert_eq!(expiry, Duration::from_secs(3600));
        let both =
            settings(&["--config", &path, "--listen", "[::1]:2", "--user", "c:d", "--store", "/t"]).unwrap();
        assert_eq!(said(&both), ["[::1]:2"]);
        assert_eq!(
            [&of_file, &both].map(|of| of.store.as_deref()),
            ["/s", "/t"].map(|path| Some(Path::new(path)))
        );
        assert!(!both.users.is_empty());
    }

    #[test]
    fn mistakes_name_their_place() {
        let path = file("bad", "listen: here\nlimits { queue: 0 }\nuser: x\nusers: [{ user: a }]\n");
        let error = settings(&["--config", &path]).unwrap_err();
        for expected in [
            ":1:9: listen: expected an address and a port, such as 127.0.0.1:1883 or with mqtts://, ws:// or wss:// before it, found 'here'",
            ":2:17: queue: expected a whole number from 1 to",
            ":3:1: user: unknown key, did you mean 'users'?",
            ": users: expected user and password",
        ] {
            assert!(error.contains(expected), "{expected}\n{error}");
        }
        assert!(settings(&["--listen", "1883"]).unwrap_err().contains("--listen: expected an address"));
        for (args, expected) in [
            (&["--listen", "wss://[::1]:1"][..], "wss://[::1]:1 (--cert, --key, tls): "),
            (&["--cert", "a.pem"], "expected a listener that speaks it"),
            (&["--origin", "a.example"], "--origin: expected an origin"),
        ] {
            let error = settings(args).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(settings(&["--user", "name"]).unwrap_err().contains("--user: expected NAME:PASSWORD"));
    }
}
