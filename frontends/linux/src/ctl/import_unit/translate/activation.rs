//! What starts a service.

use super::super::unit::Unit;
use super::super::words;
use super::super::write::{list, quote};
use super::{LONG, Work};
use crate::config::Span;

impl Work<'_> {
    /// A socket and a timer beside the service, and what `[Install]` says.
    pub(super) fn activation(&mut self) {
        let units = self.units;
        let installed = |unit: &Unit| {
            ["WantedBy", "RequiredBy", "UpheldBy"].iter().any(|key| !unit.all("Install", key).is_empty())
        };
        let mut enabled = installed(&units.service);
        if let Some(socket) = &units.socket {
            let stem = units.names.full.strip_suffix(".service").unwrap_or(&units.names.full);
            let name = format!("{stem}.socket");
            let of = [("Unit", "Requires"), ("Unit", "Wants"), ("Install", "Also"), ("Service", "Sockets")];
            let asked = of.iter().flat_map(|(section, key)| units.service.all(section, key));
            let asked =
                asked.into_iter().any(|it| it.value.split_ascii_whitespace().any(|word| word == name));
            if asked || !enabled {
                enabled |= installed(socket);
                self.socket(socket);
            } else if let Some(directive) = socket.first_of("Socket") {
                self.left_of(
                    socket,
                    directive,
                    "the service starts by itself; write activation.sockets if it should not",
                );
            }
        }
        if let Some(timer) = &units.timer {
            enabled |= installed(timer);
            self.timer(timer);
        }
        if !enabled || self.undone {
            self.set("", "enabled", "false");
        }
    }

    fn socket(&mut self, unit: &Unit) {
        if let Some(directive) =
            unit.last("Socket", "Accept").filter(|it| words::truth(&it.value) != Some(false))
        {
            self.left_of(unit, directive, "one process a connection: there is no such activation here");
            self.undone = true;
            return;
        }
        let named = unit.last("Socket", "FileDescriptorName").map(|it| it.value.clone());
        self.activated = true;
        let mut addresses = Vec::new();
        for (key, net, local) in [("ListenStream", "tcp", "unix"), ("ListenDatagram", "udp", "unixgram")] {
            for directive in unit.all("Socket", key) {
                match self.units.names.expand(&directive.value).map(|value| address(&value, net, local)) {
                    Ok(Some(address)) => addresses.push(address),
                    _ => self.left_of(unit, directive, "expected a port, an address or an absolute path"),
                }
            }
        }
        match (addresses.as_slice(), named) {
            ([], _) => self.undone = true,
            ([one], Some(name)) => {
                let value = format!("{{ {} = {} }}", quote(&name), quote(one));
                self.set("activation", "sockets", value);
            }
            (many, _) => self.set("activation", "sockets", list(many)),
        }
    }

    fn timer(&mut self, unit: &Unit) {
        let mut read = |keys: &[&str]| {
            let directive = keys.iter().find_map(|key| unit.last("Timer", key))?;
            match words::span(&directive.value) {
                Some(Some(span)) => Some(span.min(LONG)),
                _ => {
                    self.left_of(unit, directive, format_args!("'{}' has no meaning here", directive.value));
                    None
                }
            }
        };
        let first = read(&["OnBootSec", "OnStartupSec", "OnActiveSec"]);
        let every = read(&["OnUnitActiveSec"]);
        let every = every.or_else(|| read(&["OnUnitInactiveSec"]));
        if let Some(directive) = unit.last("Timer", "OnUnitInactiveSec") {
            self.left_of(unit, directive, "it counts from the start before, not from the end");
        }
        for directive in unit.all("Timer", "OnCalendar") {
            self.left_of(
                unit,
                directive,
                "there is no calendar here: a timer counts from boot (activation.timer)",
            );
        }
        let mut parts = Vec::new();
        for (key, span) in [("first", first), ("every", every.filter(|every| !every.is_zero()))] {
            parts.extend(span.map(|span| format!("{key} = {}", quote(&Span(span).to_string()))));
        }
        if parts.is_empty() {
            self.undone = true;
        } else if self.activated {
            if let Some(directive) = unit.first_of("Timer") {
                self.left_of(unit, directive, "a socket starts it already; a service has one activation");
            }
        } else {
            self.set("activation", "timer", format!("{{ {} }}", parts.join(", ")));
        }
    }
}

/// `80`, `127.0.0.1:80`, `[::1]:80`, `/run/x`.
fn address(text: &str, net: &str, local: &str) -> Option<String> {
    if text.starts_with('/') {
        return (text.len() <= 107).then(|| format!("{local}:{text}"));
    }
    if let Ok(port) = text.parse::<u16>() {
        return Some(format!("{net}:[::]:{port}"));
    }
    text.parse::<std::net::SocketAddr>().ok().map(|address| format!("{net}:{address}"))
}
