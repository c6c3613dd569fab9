//! What natsws is told, on its command line and in its file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use lunix::bus::{Credentials, DEFAULT_URL, Options, Server, TlsFiles, UrlError};
use lunix::cli::{AUTHORITIES, BASIC, Command, DAEMON, Flag, Hint, Matches, SERVER, Style, UsageError};
use lunix::config::{self, Mistakes, Value};
use lunix::log::{self, Level};

use super::NAME;
use super::login::{Lend, Names};
use super::page::Page;
use crate::origin;
use crate::start::Wrong;
use crate::tls::{Acceptor, Connector, Terms};

/// The command line of `natsws`.
pub static COMMAND: Command = Command {
    name: NAME,
    about: "NATS for browsers, over WebSocket",
    arguments: &[],
    flags: &[
        &[
            Flag {
                names: &["listen", "l"],
                value: Some("ADDR:PORT"),
                help: "where browsers connect [127.0.0.1:8080]",
                hint: Hint::None,
            },
            SERVER,
            Flag {
                names: &["origin"],
                value: Some("ORIGIN"),
                help: "pages that may connect beside our own, as https://HOST (repeatable)",
                hint: Hint::None,
            },
            Flag {
                names: &["page"],
                value: Some("FOLDER"),
                help: "the files to serve beside the WebSocket [a page with toasts and events]",
                hint: Hint::Folder,
            },
            Flag {
                names: &["anonymous"],
                value: None,
                help: "lend everybody who connects what the server allows natsws itself",
                hint: Hint::None,
            },
            Flag {
                names: &["creds"],
                value: Some("FILE"),
                help: "who we are at the server: a user's token and seed, as nsc writes them [$NATS_CREDS]",
                hint: Hint::File,
            },
            Flag {
                names: &["nkey"],
                value: Some("FILE"),
                help: "who we are at the server: the seed of an nkey [$NATS_NKEY]",
                hint: Hint::File,
            },
            Flag {
                names: &["tlscert"],
                value: Some("FILE"),
                help: "our certificate, for wss://",
                hint: Hint::File,
            },
            Flag { names: &["tlskey"], value: Some("FILE"), help: "its key", hint: Hint::File },
            AUTHORITIES,
        ],
        DAEMON,
        BASIC,
    ],
    of: None,
    style: Style::Gnu,
    details: &[
        "nats.ws and wsconnect of @nats-io/nats-core connect to any path. Each WebSocket is a connection to the server of its own.",
        "Pages may connect that come from the listener itself, called by its address or as localhost, and those of --origin. What \
         runs as natsws's own user on this machine may do what natsws may; others are let through where the server asks for \
         credentials, unless --anonymous.",
    ],
    commands: &[],
    examples: &[
        ("natsws", "a page at http://localhost:8080, at the server of this machine"),
        (
            "natsws --listen 0.0.0.0:443 --tlscert cert.pem --tlskey key.pem --origin https://lunix.example",
            "for everybody who has credentials",
        ),
    ],
};

/// What it is told.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) listen: SocketAddr,
    pub(super) servers: Vec<Server>,
    pub(super) origins: Vec<String>,
    /// To whom natsws lends its own rights.
    lend: Lend,
    /// Otherwise to pages of these origins.
    lend_to: Vec<(String, Lend)>,
    /// Who natsws itself is, beside what the URLs say.
    pub(super) credentials: Credentials,
    pub(super) cookies: Names,
    pub(super) page: Page,
    /// Connections at a time.
    pub(super) connections: usize,
    /// From a connection to its WebSocket.
    pub(super) handshake: Duration,
    /// How long a browser or a server may take nothing of what waits for it.
    pub(super) write_deadline: Duration,
    /// For browsers, if they connect with TLS.
    pub(super) acceptor: Option<Rc<Acceptor>>,
    /// For servers that are to speak TLS.
    pub(super) connector: Option<Connector>,
}

const ADDRESS: &str = "an address and a port, such as 127.0.0.1:8080";
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
        let mut settings = Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            servers: Vec::new(),
            origins: Vec::new(),
            lend: Lend::User,
            lend_to: Vec::new(),
            credentials: credentials(matches)?,
            cookies: Names::default(),
            page: Page::Own,
            connections: 1024,
            handshake: Duration::from_secs(5),
            write_deadline: Duration::from_secs(10),
            acceptor: None,
            connector: None,
        };
        let mut terms = Terms::default();
        if let Some(file) = matches.path("config") {
            terms = settings.read(file)?;
        }
        if matches.has("anonymous") {
            settings.lend = Lend::Everybody;
            settings.lend_to.clear();
        }
        if let Some(listen) = matches.parsed("listen", ADDRESS)? {
            settings.listen = listen;
        }
        for text in matches.texts("origin")? {
            if !origin::is_origin(text) {
                return Err(matches.wrong("origin", ORIGIN, text).into());
            }
            settings.origins.push(text.to_owned());
        }
        if let Some(folder) = matches.path("page") {
            settings.page = Page::Folder(folder.to_path_buf());
        }
        if let Page::Folder(folder) = &settings.page
            && !folder.is_dir()
        {
            return Err(matches.wrong("page", "a folder", &folder.to_string_lossy()).into());
        }
        let variable = std::env::var("NATS_URL").ok().filter(|urls| !urls.is_empty());
        let (source, urls) = match (matches.text("nats")?, variable) {
            (Some(urls), _) => ("--nats", Some(urls.to_owned())),
            (None, variable) => ("$NATS_URL", variable),
        };
        if settings.servers.is_empty() || urls.is_some() {
            settings.servers = servers(urls.as_deref().unwrap_or(DEFAULT_URL))
                .map_err(|error| matches.error(format_args!("{source}: {error}")))?;
        }
        for (file, flag) in [(&mut terms.cert_file, "tlscert"), (&mut terms.key_file, "tlskey")] {
            *file = matches.path(flag).map(Path::to_path_buf).or(file.take());
        }
        if terms != Terms::default() {
            let acceptor = Acceptor::new(terms);
            let acceptor =
                acceptor.map_err(|error| matches.error(format_args!("--tlscert, --tlskey: {error}")))?;
            settings.acceptor = Some(Rc::new(acceptor));
        }
        if settings.servers.iter().any(Server::is_encrypted) {
            let variable = std::env::var_os("NATS_CA").filter(|path| !path.is_empty());
            let authorities = matches.path("tlsca").map(Path::to_path_buf).or(variable.map(Into::into));
            let connector = Connector::new(&TlsFiles { authorities, ..TlsFiles::default() });
            settings.connector =
                Some(connector.map_err(|error| matches.error(format_args!("tls://: {error}")))?);
        }
        Ok(settings)
    }

    /// The keys are those of nats-server's `websocket` block. Answers what it says of TLS.
    fn read(&mut self, path: &Path) -> Result<Terms, Mistakes> {
        let mut file = config::read(path)?;
        if let Some(listen) = file.take(&["listen"]) {
            self.listen = listen.parsed(ADDRESS, |text| text.parse().ok()).unwrap_or(self.listen);
        }
        if let Some(urls) = file.take(&["nats"]) {
            let expected = "nats://HOST:PORT, tls://HOST:PORT or unix:///PATH, several with commas";
            self.servers = urls.parsed(expected, |text| servers(text).ok()).unwrap_or_default();
        }
        for value in file.list(&["allowed_origins", "origins"]).unwrap_or_default() {
            let origin =
                |value: Value| value.parsed(ORIGIN, |text| origin::is_origin(text).then(|| text.to_owned()));
            if !value.is_block() {
                self.origins.extend(origin(value));
                continue;
            }
            let Some(mut block) = value.block() else { continue };
            let lend = block.take(&["lend"]).and_then(|lend| lend.parsed(Lend::EXPECTED, Lend::from_name));
            match block.take(&["origin"]) {
                None => block.note(format_args!("origin: expected {ORIGIN}")),
                Some(value) => {
                    let found = origin(value);
                    self.lend_to.extend(found.clone().zip(lend));
                    self.origins.extend(found);
                }
            }
            block.end();
        }
        if let Some(folder) = file.path(&["page"]) {
            self.page = Page::Folder(folder);
        }
        if let Some(lend) = file.take(&["lend"]) {
            self.lend = lend.parsed(Lend::EXPECTED, Lend::from_name).unwrap_or_default();
        }
        if file.truth(&["anonymous"]) == Some(true) {
            self.lend = Lend::Everybody;
        }
        let keys = ["user_cookie", "pass_cookie", "token_cookie", "jwt_cookie"];
        for (place, key) in self.cookies.iter_mut().zip(keys) {
            *place = file.text(&[key]).filter(|name| !name.is_empty());
        }
        if let Some(number) = file.integer(&["max_connections"], 1, 1 << 20) {
            self.connections = usize::try_from(number).unwrap_or(self.connections);
        }
        let seconds = Duration::from_secs;
        if let Some(time) = file.duration(&["handshake_timeout"], seconds(1), seconds(3600)) {
            self.handshake = time;
        }
        if let Some(time) = file.duration(&["write_deadline"], seconds(1), seconds(3600)) {
            self.write_deadline = time;
        }
        let terms = match file.take(&["tls"]) {
            Some(tls) => {
                let place = tls.clone();
                let terms = tls.block().map(Terms::take).unwrap_or_default();
                if terms.verify_and_map {
                    // Who a browser is, the server has to know.
                    place.note("expected no verify_and_map: natsws has no users");
                }
                terms
            }
            None => Terms::default(),
        };
        for remark in file.finish()? {
            log::line(Level::Warn, NAME, remark);
        }
        Ok(terms)
    }

    /// To whom natsws lends its own rights among those who come from a page of `origin`.
    pub(super) fn lend(&self, origin: Option<&str>) -> Lend {
        let of = |named: &&(String, Lend)| origin.is_some_and(|origin| named.0.eq_ignore_ascii_case(origin));
        self.lend_to.iter().find(of).map_or(self.lend, |(_, lend)| *lend)
    }

    /// Whether browsers connect with TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.acceptor.is_some()
    }
}

/// What flags or environment say of who natsws itself is, the file looked into.
fn credentials(matches: &Matches) -> Result<Credentials, UsageError> {
    let variable = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let flag = |name: &str| matches.path(name).map(Path::to_path_buf);
    let credentials = match (flag("creds"), flag("nkey")) {
        (Some(_), Some(_)) => return Err(matches.error("--creds and --nkey: expected one of them")),
        (Some(path), None) => Credentials::File(path),
        (None, Some(path)) => Credentials::Nkey(path),
        (None, None) => match (variable("NATS_CREDS"), variable("NATS_NKEY")) {
            (Some(path), _) => Credentials::File(path),
            (None, Some(path)) => Credentials::Nkey(path),
            (None, None) => Credentials::Url,
        },
    };
    credentials.sign("").map_err(|error| matches.error(format_args!("--creds, --nkey: {error}")))?;
    Ok(credentials)
}

fn servers(urls: &str) -> Result<Vec<Server>, UrlError> {
    Ok(Options::new(NAME, urls)?.servers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(args: &[&str]) -> Result<Settings, String> {
        let matches = COMMAND.try_parse(args.iter().map(Into::into)).map_err(|error| error.to_string())?;
        Settings::from_matches(&matches).map_err(|wrong| wrong.to_string())
    }

    fn file(name: &str, text: &str) -> String {
        let path = std::env::temp_dir().join(format!("natsws-{}-{name}.conf", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    }

    #[test]
    fn flags_count_more_than_the_file() {
        let path = file(
            "good",
            "listen: '0.0.0.0:1'\nnats: 'unix:///run/nats'\nlend: everybody\n\
             allowed_origins: ['https://a.example', { origin: 'https://c.example', lend: nobody }]\n\
             token_cookie: token\nmax_connections: 5\nhandshake_timeout: 2s\n",
        );
        let found = settings(&["--config", &path]).unwrap();
        assert_eq!((found.listen.port(), found.connections, found.handshake.as_secs()), (1, 5, 2));
        assert_eq!(found.servers.first().unwrap().to_string(), "unix:///run/nats");
        assert_eq!(
            (&found.origins, &found.cookies[2]),
            (
                &vec!["https://a.example".to_owned(), "https://c.example".to_owned()],
                &Some("token".to_owned())
            )
        );
        let lends = [None, Some("https://a.example"), Some("https://C.example")];
        assert_eq!(lends.map(|origin| found.lend(origin)), [Lend::Everybody, Lend::Everybody, Lend::Nobody]);
        let both =
            settings(&["--config", &path, "--listen", "[::1]:2", "--origin", "https://b.example"]).unwrap();
        assert_eq!((both.listen.port(), both.origins.len()), (2, 3));
    }

    #[test]
    fn mistakes_say_what_is_expected() {
        for (args, expected) in [
            (&["--listen", "here"][..], "an address and a port"),
            (&["--origin", "lunix.example"], "https://lunix.example"),
            (&["--nats", "ws://a.example"], "ws://a.example"),
            (&["--nats", "tls://a.example", "--tlsca", "/nowhere.pem"], "/nowhere.pem"),
            (&["--tlscert", "a.pem"], "expected a certificate and its key"),
            (
                &["--config", &file("bad", "listen: '127.0.0.1:8080'\nallowed_origins: ['*']\norigen: x\n")],
                "2:",
            ),
        ] {
            let error = settings(args).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
