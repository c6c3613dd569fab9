//! What the bus does between its owner, the session and the link.

use lunix_core::session::{Action, Identity, Input, Outgoing, Sid, SubscribeError, Why};
use lunix_core::time::Instant;

use crate::credentials::Signed;
use crate::log::{self, Level};
use crate::reactor::{Reactor, monotonic};

use super::link::{Moved, Progress};
use super::service::Service;
use super::tls::Connector;
use super::{Answer, BUSY, Bus, Event, IDLE, KEEP_ALIVE, Message, SERVERS};

impl<T: Copy, const SUBS: usize> Bus<T, SUBS> {
    pub(super) fn subscribe_any(
        &mut self,
        subject: &[u8],
        queue: Option<&[u8]>,
    ) -> Result<Sid, SubscribeError> {
        match self.session.subscribe(subject, queue) {
            Err(SubscribeError::Full { needed }) => {
                self.session.subjects_memory().resize(needed.next_power_of_two(), 0);
                self.session.subscribe(subject, queue)
            }
            other => other,
        }
    }

    /// Lets the outbox grow for `message`, up to the limit. What is large already is written first, so that a
    /// burst within one turn is no reason to drop anything while the server keeps up.
    pub(super) fn make_room(&mut self, message: &Outgoing<'_>) {
        let mut needed = self.session.outbox_used() + message.room();
        if needed > BUSY && self.session.is_ready() {
            // A broken connection shows itself again in `flush`, which can close it.
            let _ = self.write();
            needed = self.session.outbox_used() + message.room();
        }
        let limit = self.options.pending;
        let memory = self.session.outbox_memory();
        if needed > memory.len() && memory.len() < limit {
            memory.resize(needed.next_power_of_two().max(IDLE).min(limit), 0);
        }
    }

    pub(super) fn write(&mut self) -> Moved {
        loop {
            let bytes = self.session.outgoing();
            if bytes.is_empty() {
                return Moved::Bytes(0);
            }
            match self.link.write(bytes) {
                Moved::Bytes(written) => self.session.sent(written),
                other => return other,
            }
        }
    }

    pub(super) fn read(&mut self, reactor: &mut Reactor<T>) {
        if !self.attached {
            return;
        }
        if self.at > 0 {
            self.input.copy_within(self.at..self.filled, 0);
            self.filled -= self.at;
            self.at = 0;
        }
        let room = self.needed.max(self.filled + IDLE / 2);
        if self.input.len() < room {
            self.input.resize(room.next_power_of_two().max(IDLE), 0);
        }
        let space = self.input.get_mut(self.filled..).unwrap_or_default();
        let size = space.len();
        match self.link.read(reactor, space) {
            Moved::Bytes(read) => {
                self.filled += read;
                // Whoever fills it has more to say.
                if read == size && self.input.len() < BUSY {
                    self.input.resize(BUSY, 0);
                }
            }
            Moved::Blocked if self.link.is_handshaking() => {}
            Moved::Blocked => {
                if let Some(server) = self.identifying.take() {
                    self.identify(server, false);
                }
            }
            Moved::Ended => {
                self.link.close(reactor);
                self.end_input(reactor.now());
            }
        }
    }

    /// The server's last words count, in particular why it goes.
    pub(super) fn end_input(&mut self, now: Instant) {
        let mut kept = Vec::new();
        while let Some(event) = self.next() {
            kept.push(event);
        }
        self.events.extend(kept);
        self.events.extend(self.link.trouble().map(Event::Failed));
        self.disconnected(now);
        self.take_actions();
    }

    pub(super) fn opened(&mut self, now: Instant, progress: Progress) {
        if !self.attached {
            return;
        }
        match progress {
            Progress::None => {}
            Progress::Connected { local } => {
                self.forget_input();
                let keep_alive = (!local).then_some(KEEP_ALIVE);
                self.session.handle(now, Input::Connected { keep_alive });
            }
            Progress::Failed(error) => {
                self.events.push_back(Event::Failed(error.to_string()));
                self.disconnected(now);
            }
        }
    }

    pub(super) fn disconnected(&mut self, now: Instant) {
        if std::mem::take(&mut self.attached) {
            self.session.handle(now, Input::Disconnected);
        }
    }

    pub(super) fn forget_input(&mut self) {
        (self.at, self.filled, self.needed) = (0, 0, 1);
        self.identifying = None;
    }

    /// Takes what the session wants: what the reactor must do is put off to the turn's end.
    pub(super) fn take_actions(&mut self) {
        while let Some(action) = self.session.poll() {
            match action {
                Action::Open { .. } => self.todo.push_back(action),
                Action::Close { .. } => {
                    self.attached = false;
                    self.forget_input();
                    self.todo.push_back(action);
                }
                Action::Identify { server, tls_required } => self.identify(server, tls_required),
                Action::Ready { server, again } => {
                    self.failing = false;
                    self.say(Level::Info, server, "connected");
                    self.events.push_back(Event::Ready { again });
                }
                Action::Lost { server, why } => {
                    self.say(Level::Warn, server, why);
                    self.events.push_back(Event::Lost);
                }
                Action::Failed { server, why } => self.say_failed(server, why),
                Action::LameDuck => {
                    if self.options.servers.len() > 1 {
                        self.session.reconnect(monotonic());
                    }
                }
                Action::Dropped { messages, bytes } => {
                    let text = format_args!("{messages} messages ({bytes} bytes) were dropped");
                    log::line(Level::Warn, self.options.name, text);
                    self.events.push_back(Event::Dropped { messages, bytes });
                }
                Action::TimedOut { request } => {
                    self.events.push_back(Event::Answer { request, answer: Answer::TimedOut });
                }
                Action::Flushed { barrier, certain } => {
                    self.events.push_back(Event::Flushed { barrier, certain });
                }
                Action::Closed => self.events.push_back(Event::Closed),
            }
        }
    }

    pub(super) fn carry_out(&mut self, reactor: &mut Reactor<T>, action: Action) {
        match action {
            Action::Open { server } => {
                self.server = server;
                let Some(server) = self.options.servers.get(server) else { return };
                self.attached = true;
                let progress = self.link.open(reactor, server);
                self.opened(reactor.now(), progress);
            }
            Action::Close { .. } => self.link.close(reactor),
            _ => {}
        }
    }

    /// Adds servers that this one tells of to those that are tried when it is gone.
    pub(super) fn meet(&mut self, urls: &[String]) {
        let Some(teller) = self.options.servers.get(self.server).cloned() else { return };
        // Who wants TLS believes nothing that anybody on the way may have said.
        if teller.tls && !self.link.is_tls() {
            return;
        }
        for server in urls.iter().filter_map(|url| teller.told_of(url)) {
            let servers = &mut self.options.servers;
            if servers.len() < SERVERS && servers.iter().all(|known| known.place != server.place) {
                servers.push(server);
            }
        }
        self.session.offer(self.options.servers.len());
    }

    pub(super) fn identify(&mut self, server: usize, tls_required: bool) {
        let Some(place) = self.options.servers.get(server) else { return };
        if (tls_required || place.tls) && !self.link.is_tls() {
            match self.begin_tls(&place.certified()) {
                Ok(()) => self.identifying = Some(server),
                Err(words) => self.give_up(words),
            }
            return;
        }
        // Who is not asked for a signature gets none.
        let signed = match self.nonce.is_empty() {
            true => Ok(Signed::default()),
            false => self.options.credentials.sign(&self.nonce),
        };
        let signed = match signed {
            Ok(signed) => signed,
            Err(words) => return self.give_up(words),
        };
        let (user, password, token) = match (place.user.as_deref(), place.password.as_deref()) {
            (Some(user), Some(password)) => (user, password, ""),
            (Some(token), None) => ("", "", token),
            (None, _) => ("", "", ""),
        };
        let identity = Identity {
            name: self.options.name,
            user,
            password,
            token,
            nkey: &signed.nkey,
            jwt: &signed.jwt,
            signature: &signed.signature,
            tls: self.link.is_tls(),
            ..Identity::default()
        };
        let memory = self.session.control_memory();
        memory.resize(memory.len().max(IDLE + signed.jwt.len()), 0);
        self.session.handle(monotonic(), Input::Identity(identity));
    }

    fn begin_tls(&mut self, name: &str) -> Result<(), String> {
        if self.at < self.filled {
            // Anybody on the way may have put it there, for us to take it for the server's once TLS is on.
            return Err("the server says more in the clear than it may before TLS".to_owned());
        }
        self.link.begin_tls(&Connector::new(&self.options.tls)?, name)
    }

    /// The server is there, but of no use.
    fn give_up(&mut self, words: String) {
        self.events.push_back(Event::Failed(words));
        self.todo.push_back(Action::Close { why: Why::Transport });
        self.disconnected(monotonic());
    }

    pub(super) fn say(&self, level: Level, server: usize, what: impl std::fmt::Display) {
        if let Some(place) = self.options.servers.get(server) {
            log::line(level, self.options.name, format_args!("{place}: {what}"));
        }
    }

    pub(super) fn say_failed(&mut self, server: usize, why: Why) {
        // The transport's own words are better than the session's.
        let words = match self.events.back() {
            Some(Event::Failed(words)) if why == Why::Transport => words.clone(),
            _ => {
                let words = why.to_string();
                self.events.push_back(Event::Failed(words.clone()));
                words
            }
        };
        let level = if std::mem::replace(&mut self.failing, true) { Level::Debug } else { Level::Warn };
        self.say(level, server, format_args!("{words}; trying again"));
    }

    pub(super) fn become_service(&mut self, id: String) {
        let mut service = Service::new(self.options.name, self.options.description, id);
        for subject in service.subjects() {
            // These fit: the table is empty, and the names are this program's own.
            if let Ok(sid) = self.subscribe(subject) {
                service.listens(sid);
            }
        }
        self.service = Some(service);
    }

    /// Whether the message was a question about the service itself.
    pub(super) fn answer_service(&mut self, message: &Message) -> bool {
        let (Some(service), Some(sid)) = (&mut self.service, message.sid()) else { return false };
        if !service.is_asked(sid) {
            service.count(sid);
            return false;
        }
        if let (Some(answer), Some(reply)) = (service.answer(message.subject()), message.reply()) {
            // Who asks with an impossible reply subject gets none.
            let _ = self.publish(reply, &answer);
        }
        true
    }
}
