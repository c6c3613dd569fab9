//! Who a browser is to the server.
//!
//! A server may know natsws without credentials: natsd by the uid of its socket, and so does every server that asks for none. It
//! says so in its first `INFO`, by no `auth_required`, and then looks at no credentials either. What comes through natsws is
//! there done with the rights of natsws, which it lends as [`Lend`] says. Others are let through only to servers that ask for
//! credentials. To those who are lent its rights, and show no credentials, natsws also lends its own: those of its
//! credentials file or nkey, else the user in the URL of its server.

use lunix::bus::{Credentials, Server};
use lunix_proto::nats::{ClientDecoder, ClientOp, Connect, Limits};

use super::members;
use crate::request::Request;

/// The longest `CONNECT`: there are tokens in it.
const MAX_CONNECT: usize = 64 << 10;

/// What a member of `CONNECT` is called, in the order of [`Names`], and what a signature adds.
const MEMBERS: [&str; 6] = ["user", "pass", "auth_token", "jwt", "nkey", "sig"];

/// The cookies that stand for what is missing in `CONNECT`, by their names: user, password, token, JWT.
pub(super) type Names = [Option<String>; 4];

/// To whom natsws lends its own rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Lend {
    /// To its own user, whose browser is on this machine.
    #[default]
    User,
    /// To nobody.
    Nobody,
    /// To everybody who can connect.
    Everybody,
}

impl Lend {
    pub(super) const EXPECTED: &str = "user, nobody or everybody";

    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "user" => Some(Self::User),
            "nobody" => Some(Self::Nobody),
            "everybody" => Some(Self::Everybody),
            _ => None,
        }
    }

    /// Whether to somebody of whom it is known whether they are our user, and speak for themselves.
    pub(super) fn includes(self, is_ours: bool) -> bool {
        match self {
            Self::User => is_ours,
            Self::Nobody => false,
            Self::Everybody => true,
        }
    }
}

/// What natsws says of itself, by the names of [`MEMBERS`].
pub(super) type Own = [Option<String>; 6];

/// Who natsws is at `server`, which wants `nonce` signed.
///
/// # Errors
/// What is wrong with the file of the credentials, in one line.
pub(super) fn own(credentials: &Credentials, server: &Server, nonce: &str) -> Result<Own, String> {
    let mut own = Own::default();
    let [user, pass, auth_token, jwt, nkey, sig] = &mut own;
    if *credentials != Credentials::Url && !nonce.is_empty() {
        let signed = credentials.sign(nonce)?;
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        (*jwt, *nkey, *sig) = (some(signed.jwt), some(signed.nkey), some(signed.signature));
    } else {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        match server.login() {
            (found, Some(password)) => (*user, *pass) = (owned(found), Some(password.to_owned())),
            (token, None) => *auth_token = owned(token),
        }
    }
    Ok(own)
}

/// It does not begin with `CONNECT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoConnect;

/// What is known of somebody before the first word.
#[derive(Debug)]
pub(super) struct Login {
    cookies: [Option<String>; 4],
    /// Who natsws itself is, for those who are lent that.
    lent: Option<Own>,
    decoder: ClientDecoder,
    bytes: Vec<u8>,
}

impl Login {
    /// Who asks with `request`, and what they are lent.
    pub(super) fn new(request: &Request, names: &Names, lent: Option<Own>) -> Self {
        let cookies = names
            .each_ref()
            .map(|name| name.as_deref().and_then(|name| request.cookie(name)).map(str::to_owned));
        let limits = Limits { control_line: MAX_CONNECT, payload: 0 };
        Self { cookies, lent, decoder: ClientDecoder::new(limits), bytes: Vec::new() }
    }

    /// Takes in what comes, until there is a `CONNECT`: answers that, as the server is to hear it, and what follows it.
    ///
    /// # Errors
    /// The connection ends.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, NoConnect> {
        self.bytes.extend_from_slice(bytes);
        match self.decoder.decode(&self.bytes) {
            Ok(None) => Ok(None),
            Ok(Some((ClientOp::Connect(json), len))) => {
                let mut line = self.connect(json)?;
                line.extend_from_slice(self.bytes.get(len..).unwrap_or_default());
                Ok(Some(line))
            }
            Ok(Some(_)) | Err(_) => Err(NoConnect),
        }
    }

    fn connect(&self, json: &[u8]) -> Result<Vec<u8>, NoConnect> {
        let connect = Connect::parse(json).map_err(|_| NoConnect)?;
        let said = [connect.user, connect.pass, connect.auth_token, connect.jwt];
        let is_said = said.map(|text| !text.is_empty());
        let mut added: [Option<&str>; 6] = Default::default();
        for ((place, cookie), is_said) in added.iter_mut().zip(&self.cookies).zip(is_said) {
            *place = cookie.as_deref().filter(|cookie| !is_said && !cookie.is_empty());
        }
        let shows = is_said.contains(&true) || !connect.nkey.is_empty() || added.iter().any(Option::is_some);
        if !shows && let Some(lent) = &self.lent {
            added = lent.each_ref().map(Option::as_deref);
        }
        let is_added =
            |key: &str| MEMBERS.iter().zip(added).any(|(member, text)| *member == key && text.is_some());
        let json = members::replaced(json, is_added, |writer| {
            for (member, text) in MEMBERS.iter().zip(added) {
                if let Some(text) = text {
                    writer.key(member).string(text);
                }
            }
        });
        let json = json.ok_or(NoConnect)?;
        Ok([b"CONNECT ", json.as_slice(), b"\r\n"].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(cookies: [Option<&str>; 4], lent: Option<[Option<&str>; 6]>) -> Login {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let limits = Limits { control_line: MAX_CONNECT, payload: 0 };
        Login {
            cookies: cookies.map(owned),
            lent: lent.map(|texts| texts.map(owned)),
            decoder: ClientDecoder::new(limits),
            bytes: Vec::new(),
        }
    }

    fn said(mut login: Login, stream: &str) -> Result<Option<String>, NoConnect> {
        let found = login.take(stream.as_bytes())?;
        Ok(found.map(|bytes| String::from_utf8(bytes).unwrap()))
    }

    #[test]
    fn cookies_fill_in_what_is_missing() {
        let cookies = [Some("ann"), Some("se\"cret"), None, None];
        assert_eq!(
            said(login(cookies, None), "CONNECT {\"user\":\"\",\"x\":1}\r\nPING\r\n"),
            Ok(Some("CONNECT {\"x\":1,\"user\":\"ann\",\"pass\":\"se\\\"cret\"}\r\nPING\r\n".to_owned()))
        );
        assert_eq!(
            said(login(cookies, None), "CONNECT {\"user\":\"eve\",\"pass\":\"p\"}\r\n"),
            Ok(Some("CONNECT {\"user\":\"eve\",\"pass\":\"p\"}\r\n".to_owned()))
        );
    }

    #[test]
    fn our_user_is_lent_to_who_shows_nothing() {
        let lent = || Some([None, None, Some("token"), None, None, None]);
        assert_eq!(
            said(login([None; 4], lent()), "CONNECT {}\r\n"),
            Ok(Some("CONNECT {\"auth_token\":\"token\"}\r\n".to_owned()))
        );
        assert_eq!(
            said(login([None; 4], lent()), "CONNECT {\"jwt\":\"j\"}\r\n"),
            Ok(Some("CONNECT {\"jwt\":\"j\"}\r\n".to_owned()))
        );
        assert_eq!(said(login([None; 4], None), "CONNECT {}\r\n"), Ok(Some("CONNECT {}\r\n".to_owned())));
    }

    #[test]
    fn who_is_lent_what() {
        for (lend, ours, others) in
            [(Lend::User, true, false), (Lend::Nobody, false, false), (Lend::Everybody, true, true)]
        {
            assert_eq!((lend.includes(true), lend.includes(false)), (ours, others), "{lend:?}");
        }
    }

    #[test]
    fn nothing_comes_before_connect() {
        let mut login = login([None; 4], None);
        assert_eq!(login.take(b"CONNEC"), Ok(None));
        assert_eq!(login.take(b"T {}\r\nPI").unwrap().unwrap(), b"CONNECT {}\r\nPI");
        for stream in ["PING\r\n", "PUB a 1\r\nx\r\n", "CONNECT []\r\n", "GET / HTTP/1.1\r\n"] {
            assert_eq!(said(self::login([None; 4], None), stream), Err(NoConnect), "{stream}");
        }
        let long = format!("CONNECT {{\"jwt\":\"{}\"}}\r\n", "a".repeat(MAX_CONNECT));
        assert_eq!(said(self::login([None; 4], None), &long), Err(NoConnect));
    }
}
