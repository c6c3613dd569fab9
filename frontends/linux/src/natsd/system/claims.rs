//! Tokens of accounts that are sent to the server, as `nsc push` does.

use lunix_core::time::Instant;

use crate::escaped::Escaped;
use crate::natsd::log::Tag;
use crate::natsd::monitor::{Json, State};
use crate::natsd::server::Server;
use crate::natsd::wires::Asked;

impl Server {
    /// Keeps a token, and says so. `account` is whose it must be, if the subject tells.
    pub(super) fn keep_claims(&mut self, now: Instant, asked: &Asked, account: Option<&str>) {
        let text = String::from_utf8_lossy(&asked.payload);
        let kept = self.wires.door.keep_token(&text, account);
        let mut body = Vec::new();
        let mut json = Json::new(&mut body, State::new(false));
        json.begin_object().key("server").begin_object();
        self.write_server(&mut json, now);
        json.end_object();
        match kept {
            Ok(key) => {
                self.wires.log.line(Tag::Info, format_args!("jwt updated - {key}"));
                json.key("data").begin_object().string("account", key.to_string());
                json.number("code", 200).string("message", "jwt updated").end_object();
            }
            Err((key, why)) => {
                let whose = key.map_or_else(|| account.unwrap_or("n/a").to_owned(), |key| key.to_string());
                let line = format!("jwt update resulted in error - {why}");
                self.wires.log.line(Tag::Error, format_args!("{line} - {}", Escaped(&whose)));
                json.key("error").begin_object().string("account", whose);
                json.number("code", 500).string("description", line).end_object();
            }
        }
        json.end_object();
        if let Some(reply) = asked.reply.as_deref() {
            self.publish(now, asked.account, reply, body);
        }
    }
}
