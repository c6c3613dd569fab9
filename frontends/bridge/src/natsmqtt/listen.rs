//! Where devices connect, and what comes before their first word of MQTT: TLS, and the handshake of a WebSocket.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::str::FromStr;

use lunix::escaped::Escaped;
use lunix::log::{self, Level};
use lunix_proto::ws::handshake;
use tokio::net::TcpStream;

use super::NAME;
use super::transport::Transport;
use super::users::{Users, Who};
use crate::own::OwnUser;
use crate::request::{Answer, Request};
use crate::stream::{Outbox, Stream};
use crate::tls::{Acceptor, Shown};
use crate::{gone, origin};

/// Where devices connect, and how: `127.0.0.1:1883`, or an address behind a scheme of MQTT's URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listen {
    scheme: Scheme,
    pub(super) address: SocketAddr,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Mqtt,
    Mqtts,
    Ws,
    Wss,
}

const SCHEMES: [(&str, Scheme); 4] =
    [("mqtt", Scheme::Mqtt), ("mqtts", Scheme::Mqtts), ("ws", Scheme::Ws), ("wss", Scheme::Wss)];

impl Listen {
    /// TCP on the loopback address, at MQTT's port.
    pub(super) const STANDARD: Self = Self {
        scheme: Scheme::Mqtt,
        address: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1883),
    };

    /// What it takes, for those who wrote something else.
    pub(super) const EXPECTED: &str =
        "an address and a port, such as 127.0.0.1:1883 or with mqtts://, ws:// or wss:// before it";

    /// Whether it speaks TLS.
    pub(super) fn is_secure(self) -> bool {
        matches!(self.scheme, Scheme::Mqtts | Scheme::Wss)
    }

    fn is_web(self) -> bool {
        matches!(self.scheme, Scheme::Ws | Scheme::Wss)
    }
}

impl FromStr for Listen {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (scheme, address) = text.split_once("://").unwrap_or(("mqtt", text));
        let (_, scheme) = SCHEMES.iter().find(|(name, _)| *name == scheme).ok_or(())?;
        Ok(Self { scheme: *scheme, address: address.parse().map_err(|_| ())? })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = SCHEMES.iter().find(|(_, scheme)| *scheme == self.scheme && *scheme != Scheme::Mqtt);
        if let Some((name, _)) = scheme {
            write!(out, "{name}://")?;
        }
        self.address.fmt(out)
    }
}

/// What of a connection is looked at before its first word of MQTT.
#[derive(Debug)]
pub(super) struct Welcome {
    /// For listeners with TLS.
    pub(super) acceptor: Option<Rc<Acceptor>>,
    /// Certificates say who devices are.
    pub(super) maps_users: bool,
    /// Pages that may connect.
    pub(super) origins: Vec<String>,
    pub(super) own: OwnUser,
}

/// The path of MQTT on a WebSocket, as nats-server has it.
const PATH: &str = "/mqtt";

/// The subprotocols that MQTT has had: the standard's, and that of 3.1 before there was one.
const PROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

impl Welcome {
    /// Makes of a socket what MQTT is spoken on, and says whose it is.
    ///
    /// # Errors
    /// Why it ends here, in one line.
    pub(super) async fn open(
        &self,
        stream: TcpStream,
        listen: Listen,
        users: &Users,
    ) -> Result<(Transport, Who), String> {
        // What is said is gathered already.
        let _ = stream.set_nodelay(true);
        gone::find_out(&stream);
        let who = if self.own.is_at(&stream) { Who::Ours } else { Who::Stranger };
        if listen.scheme == Scheme::Mqtt {
            return Ok((Transport::Tcp(stream), who));
        }
        // Connections without have no room for it.
        Box::pin(self.wrapped(stream, listen, users, who)).await
    }

    async fn wrapped(
        &self,
        stream: TcpStream,
        listen: Listen,
        users: &Users,
        mut who: Who,
    ) -> Result<(Transport, Who), String> {
        let mut stream: Stream = match self.acceptor.as_ref().filter(|_| listen.is_secure()) {
            None => Box::new(stream),
            Some(acceptor) => {
                let (stream, shown) = acceptor.accept(stream).await.map_err(|why| format!("TLS: {why}"))?;
                if self.maps_users {
                    who = named(shown, users);
                }
                stream
            }
        };
        if !listen.is_web() {
            return Ok((Transport::stream(stream), who));
        }
        if self.upgrade(&mut stream, listen).await? && who == Who::Ours {
            who = Who::Stranger;
        }
        Ok((Transport::web_socket(stream), who))
    }

    /// The handshake of a WebSocket; `true` if somebody speaks for somebody else.
    async fn upgrade(&self, stream: &mut Stream, listen: Listen) -> Result<bool, String> {
        let request = match Request::read(stream).await {
            Ok(request) => request,
            Err(None) => return Err("gone before its request".to_owned()),
            Err(Some(answer)) => return Err(refuse(stream, answer, false).await),
        };
        match self.look_at(&request, listen) {
            Ok(response) => {
                let mut outbox = Outbox::from(response);
                outbox.flush(stream).await.map_err(|error: io::Error| error.to_string())?;
                Ok(request.is_forwarded())
            }
            Err(answer) => Err(refuse(stream, answer, request.method == "HEAD").await),
        }
    }

    /// What a request is answered.
    fn look_at(&self, request: &Request, listen: Listen) -> Result<Vec<u8>, Answer> {
        if request.path.split('?').next() != Some(PATH) {
            return Err(Answer::new(404, format_args!("MQTT is at {PATH}")));
        }
        let accept = request.accept()?;
        let offered = request.field("sec-websocket-protocol").unwrap_or_default();
        let protocol = offered.split(',').map(str::trim).find(|offered| PROTOCOLS.contains(offered));
        let Some(protocol) = protocol else {
            return Err(Answer::new(400, "expected Sec-WebSocket-Protocol: mqtt"));
        };
        let host = request.field("host").unwrap_or_default();
        let origin = request.field("origin");
        if !origin::may_connect(&self.origins, listen.is_secure(), host, origin) {
            let origin = Escaped(origin.unwrap_or_default());
            log::line(Level::Warn, NAME, format_args!("a page of {origin} was refused (see --origin)"));
            return Err(Answer::new(403, "pages of this origin may not connect"));
        }
        let mut response = vec![0; 200];
        let len = handshake::response_with(&mut response, &accept, protocol).unwrap_or(0);
        response.truncate(len);
        Ok(response)
    }
}

/// Whose a certificate is.
fn named(shown: Option<Shown>, users: &Users) -> Who {
    match shown.as_ref().and_then(|shown| shown.user(users.names())) {
        Some(user) => Who::User(user.into()),
        // Who connects is told in the words of MQTT.
        None => Who::Nobody,
    }
}

/// Answers, and says the same for the log.
async fn refuse(stream: &mut Stream, answer: Answer, head: bool) -> String {
    let why = format!("its request was refused: {}", answer.line());
    let _ = answer.send(stream, head).await;
    why
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_said_as_they_are_written() {
        for text in ["127.0.0.1:1883", "mqtts://[::]:8883", "ws://127.0.0.1:0", "wss://0.0.0.0:443"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        assert_eq!("mqtt://127.0.0.1:1883".parse(), Ok(Listen::STANDARD));
        for text in ["1883", "http://127.0.0.1:80", "mqtts://localhost:8883", "ws://", "ws://127.0.0.1"] {
            assert_eq!(text.parse::<Listen>(), Err(()), "{text}");
        }
    }
}
