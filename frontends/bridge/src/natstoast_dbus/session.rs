//! The session bus: who is the notification server there, what it is asked, and what is said.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::num::NonZeroU32;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;

use futures_core::Stream as _;
use lunix::escaped::Escaped;
use lunix::log::{self, Level};
use lunix_core::toast::Urgency;
use tokio::sync::Notify;
use zbus::message::{Flags, Type};
use zbus::{Connection, Message, MessageStream, Variant};

use super::NAME;
use super::client;
use super::daemon::Daemon;
use super::markup;
use super::notification::{self, Notification, ORIGIN};
use super::server::{self, Failure};
use super::settings::Role;

const SERVICE: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";
const DBUS: &str = "org.freedesktop.DBus";
const DBUS_PATH: &str = "/org/freedesktop/DBus";

/// What we can do [Desktop Notifications Specification 1.2: `GetCapabilities`]; and take the place of the one with the same tag.
const CAPABILITIES: [&str; 4] = ["actions", "body", "x-canonical-private-synchronous", "x-dunst-stack-tag"];
/// Name, vendor, version, and version of the specification.
const INFORMATION: (&str, &str, &str, &str) = ("natstoast", "lunix", env!("CARGO_PKG_VERSION"), "1.2");

const EXCESS: &str = "org.freedesktop.Notifications.Error.ExcessNotificationGeneration";
const UNAVAILABLE: &str = "org.freedesktop.Notifications.Error.Unavailable";
const LOOP: &str = "org.freedesktop.Notifications.Error.Loop";
const INVALID: &str = "org.freedesktop.DBus.Error.InvalidArgs";
const UNKNOWN: &str = "org.freedesktop.DBus.Error.UnknownMethod";

/// Of `RequestName` [D-Bus Specification: Message Bus Messages].
const ALLOW_REPLACEMENT: u32 = 1;
const REPLACE_EXISTING: u32 = 2;
const DO_NOT_QUEUE: u32 = 4;
const IN_QUEUE: u32 = 2;
const EXISTS: u32 = 3;

const INTROSPECTION: &str = r#"<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
<node><interface name="org.freedesktop.Notifications">
<method name="Notify"><arg name="app_name" type="s"/><arg name="replaces_id" type="u"/><arg name="app_icon" type="s"/><arg name="summary" type="s"/><arg name="body" type="s"/><arg name="actions" type="as"/><arg name="hints" type="a{sv}"/><arg name="expire_timeout" type="i"/><arg name="id" type="u" direction="out"/></method>
<method name="CloseNotification"><arg name="id" type="u"/></method>
<method name="GetCapabilities"><arg name="capabilities" type="as" direction="out"/></method>
<method name="GetServerInformation"><arg name="name" type="s" direction="out"/><arg name="vendor" type="s" direction="out"/><arg name="version" type="s" direction="out"/><arg name="spec_version" type="s" direction="out"/></method>
<signal name="NotificationClosed"><arg name="id" type="u"/><arg name="reason" type="u"/></signal>
<signal name="ActionInvoked"><arg name="id" type="u"/><arg name="action_key" type="s"/></signal>
</interface></node>"#;

/// Whom an answer goes to: a message with the head of the call and nothing of its content. `None` if no answer is wanted.
pub(super) type Caller = Option<Message>;

/// Our place among those on the bus.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// We do not know yet.
    Unsettled,
    /// There is no notification server.
    None,
    /// It is us.
    Server,
    /// It is somebody else.
    Client(Other),
}

#[derive(Debug, PartialEq, Eq)]
struct Other {
    /// Its name on the bus.
    owner: String,
    /// Its bodies have markup; `None` before it said whether.
    markup: Option<bool>,
    /// It was said that its notifications are our toasts.
    is_known: bool,
}

/// What we have asked.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Name,
    Owner,
    Capabilities,
    Notify(u32),
}

pub(super) struct Session {
    role: Role,
    /// Our name on the bus.
    own: String,
    place: Place,
    asked: VecDeque<(NonZeroU32, Asked)>,
    /// What is still to be sent: bounded as everything that makes it say something is.
    out: VecDeque<Message>,
    /// Something is.
    said: Rc<Notify>,
    fatal: Option<io::Error>,
}

/// Connects to the session bus.
///
/// # Errors
/// There is none.
pub(super) async fn connect() -> io::Result<Connection> {
    if std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_none() {
        let folder = std::env::var_os("XDG_RUNTIME_DIR");
        let place = folder.map(|folder| Path::new(&folder).join("bus"));
        if place.is_none_or(|place| !place.exists()) {
            let text = "there is no session bus: $DBUS_SESSION_BUS_ADDRESS is not set, and there is no $XDG_RUNTIME_DIR/bus";
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
    }
    Connection::session().await.map_err(|error| io::Error::other(format!("session bus: {error}")))
}

/// Hears and says until the session bus goes away, or our place there is taken.
pub(super) async fn run(
    connection: Connection,
    daemon: &RefCell<Daemon>,
    changed: &Notify,
    said: &Notify,
) -> io::Result<()> {
    let gone = || io::Error::other("the session bus has gone away");
    let mut stream = pin!(MessageStream::from(&connection));
    daemon.borrow_mut().session.begin();
    loop {
        loop {
            let next = daemon.borrow_mut().session.out.pop_front();
            let Some(message) = next else { break };
            connection.send(&message).await.map_err(|_| gone())?;
        }
        tokio::select! {
            message = poll_fn(|context| stream.as_mut().poll_next(context)) => {
                let Some(Ok(message)) = message else { return Err(gone()) };
                let mut daemon = daemon.borrow_mut();
                daemon.heard(&message);
                if let Some(error) = daemon.session.fatal.take() {
                    return Err(error);
                }
                changed.notify_one();
            }
            () = said.notified() => {}
        }
    }
}

impl Session {
    pub(super) fn new(role: Role, connection: &Connection, said: Rc<Notify>) -> Self {
        Self {
            role,
            own: connection.unique_name().map(ToString::to_string).unwrap_or_default(),
            place: Place::Unsettled,
            asked: VecDeque::new(),
            out: VecDeque::new(),
            said,
            fatal: None,
        }
    }

    /// We know our place.
    pub(super) fn is_settled(&self) -> bool {
        self.place != Place::Unsettled
    }

    /// Toasts are shown by another server.
    pub(super) fn forwards(&self) -> bool {
        matches!(&self.place, Place::Client(Other { markup: Some(_), .. }))
    }

    /// Watches who is the server, and what it says; and becomes it, if we may.
    fn begin(&mut self) {
        for rule in [
            format!("type='signal',sender='{DBUS}',member='NameOwnerChanged',arg0='{SERVICE}'"),
            format!("type='signal',sender='{SERVICE}',interface='{SERVICE}'"),
        ] {
            self.call(None, DBUS, "AddMatch", &rule.as_str());
        }
        let flags = match self.role {
            Role::Client => return self.ask_owner(),
            Role::Either => ALLOW_REPLACEMENT,
            Role::Server => REPLACE_EXISTING | DO_NOT_QUEUE,
        };
        self.call(Some(Asked::Name), DBUS, "RequestName", &(SERVICE, flags));
    }

    fn ask_owner(&mut self) {
        self.call(Some(Asked::Owner), DBUS, "GetNameOwner", &SERVICE);
    }

    /// Calls a method of the bus or of a notification server; whether that could be said.
    fn call<B: serde::Serialize + zbus::DynamicType>(
        &mut self,
        asked: Option<Asked>,
        destination: &str,
        member: &str,
        body: &B,
    ) -> bool {
        let (path, interface) = if destination == DBUS { (DBUS_PATH, DBUS) } else { (PATH, SERVICE) };
        let call = Message::method_call(path, member).destination(destination).interface(interface);
        let call = if asked.is_none() { call.with_flags(Flags::NO_REPLY_EXPECTED) } else { call };
        let Ok(call) = call.build(body) else { return false };
        self.asked.extend(asked.map(|asked| (call.primary_header().serial_num(), asked)));
        self.send(Ok(call));
        true
    }

    fn signal<B: serde::Serialize + zbus::DynamicType>(&mut self, member: &str, body: &B) {
        self.send(Message::signal(PATH, SERVICE, member).build(body));
    }

    fn reply<B: serde::Serialize + zbus::DynamicType>(&mut self, caller: &Caller, body: &B) {
        if let Some(call) = caller {
            self.send(Message::method_return(&call.header()).build(body));
        }
    }

    fn refuse(&mut self, caller: &Caller, error: &str, text: &str) {
        if let Some(call) = caller {
            self.send(Message::error(&call.header(), error).build(&text));
        }
    }

    fn send(&mut self, message: zbus::Result<Message>) {
        match message {
            Ok(message) => {
                self.out.push_back(message);
                self.said.notify_one();
            }
            // A text that D-Bus cannot hold.
            Err(error) => log::line(Level::Debug, NAME, error),
        }
    }
}

impl Daemon {
    /// Says on D-Bus what there is to say.
    pub(super) fn say(&mut self) {
        let session = &mut self.session;
        while let Some(said) = self.server.poll() {
            match said {
                server::Said::Shown(caller, id) => session.reply(&caller, &id),
                server::Said::Closed(id, why) => session.signal("NotificationClosed", &(id, why as u32)),
                server::Said::Invoked(id, key) => session.signal("ActionInvoked", &(id, key)),
                server::Said::Failed(caller, failure) => {
                    let (name, text) = match &failure {
                        Failure::Excess(text) => (EXCESS, text.as_str()),
                        Failure::Unavailable(text) => (UNAVAILABLE, *text),
                        Failure::Refused(text) => (INVALID, text.as_str()),
                        Failure::Loop => (LOOP, "it is a toast of this NATS server"),
                    };
                    session.refuse(&caller, name, text);
                }
            }
        }
        while let Some(said) = self.client.poll() {
            let Place::Client(other) = &session.place else { continue };
            let (owner, markup) = (other.owner.clone(), other.markup == Some(true));
            match said {
                client::Said::Notify(toast, replaces, notification) => {
                    if !session.notify(&owner, markup, toast, replaces, &notification) {
                        self.client.answered(toast, None);
                    }
                }
                client::Said::Close(id) => drop(session.call(None, &owner, "CloseNotification", &id)),
            }
        }
    }

    /// A message has come.
    fn heard(&mut self, message: &Message) {
        match message.message_type() {
            Type::MethodCall => self.called(message),
            Type::Signal => self.signalled(message),
            Type::MethodReturn | Type::Error => self.replied(message),
        }
        self.say();
        self.report();
    }

    fn called(&mut self, message: &Message) {
        let header = message.header();
        let caller = caller(message);
        let interface = header.interface().map(|interface| interface.as_str());
        let member = header.member().map(|member| member.as_str()).unwrap_or_default();
        let session = &mut self.session;
        match (interface.unwrap_or(SERVICE), member) {
            (SERVICE, "GetCapabilities") => session.reply(&caller, &CAPABILITIES.as_slice()),
            (SERVICE, "GetServerInformation") => session.reply(&caller, &INFORMATION),
            (SERVICE, "Notify" | "CloseNotification") if session.place != Place::Server => {
                session.refuse(&caller, UNAVAILABLE, "another program is the notification server");
            }
            (SERVICE, "Notify") => match notification::Notify::read(message) {
                Some(notify) => self.server.notify(Self::now(), &mut self.nats, caller, notify),
                None => session.refuse(&caller, INVALID, "expected arguments of the types susssasa{sv}i"),
            },
            (SERVICE, "CloseNotification") => match message.body().deserialize::<u32>() {
                Ok(id) if self.server.close(&mut self.nats, id) => session.reply(&caller, &()),
                // As the specification has it where there is no such notification.
                Ok(_) => session.refuse(&caller, INVALID, ""),
                Err(_) => session.refuse(&caller, INVALID, "expected an argument of the type u"),
            },
            ("org.freedesktop.DBus.Introspectable", "Introspect") => session.reply(&caller, &INTROSPECTION),
            ("org.freedesktop.DBus.Peer", "Ping") => session.reply(&caller, &()),
            // We have none.
            ("org.freedesktop.DBus.Properties", "GetAll") => {
                session.reply(&caller, &HashMap::<&str, Variant<'_>>::new());
            }
            _ => session.refuse(&caller, UNKNOWN, "there is no such method"),
        }
    }

    fn signalled(&mut self, message: &Message) {
        let (header, body) = (message.header(), message.body());
        let sender = header.sender().map(|sender| sender.as_str()).unwrap_or_default();
        let member = header.member().map(|member| member.as_str()).unwrap_or_default();
        if sender == DBUS && member == "NameOwnerChanged" {
            if let Ok((SERVICE, _, owner)) = body.deserialize::<(&str, &str, &str)>() {
                self.owned(owner);
            }
            return;
        }
        // Others may say what they want.
        if !matches!(&self.session.place, Place::Client(other) if other.owner == sender) {
            return;
        }
        match member {
            "NotificationClosed" => {
                if let Ok((id, why)) = body.deserialize::<(u32, u32)>() {
                    self.client.gone(&mut self.nats, id, why == server::Why::Dismissed as u32);
                }
            }
            "ActionInvoked" => {
                if let Ok((id, key)) = body.deserialize::<(u32, &str)>() {
                    self.client.invoked(&mut self.nats, id, key);
                }
            }
            _ => {}
        }
    }

    fn replied(&mut self, message: &Message) {
        let (header, body) = (message.header(), message.body());
        let serial = header.reply_serial();
        let index = self.session.asked.iter().position(|(asked, _)| Some(*asked) == serial);
        let Some((_, asked)) = index.and_then(|index| self.session.asked.remove(index)) else { return };
        let error = header.error_name().map(|name| name.as_str());
        let text = || body.deserialize::<&str>().map(|text| Escaped(text).to_string()).unwrap_or_default();
        match (asked, error) {
            (Asked::Name, Some(_)) => {
                self.session.fatal = Some(io::Error::other(format!("{SERVICE}: {}", text())))
            }
            (Asked::Name, None) => match body.deserialize::<u32>() {
                Ok(IN_QUEUE) => self.session.ask_owner(),
                Ok(EXISTS) => {
                    let text = format!("--own: {SERVICE} is another program's, which does not give way");
                    self.session.fatal = Some(io::Error::other(text));
                }
                _ => {
                    let own = self.session.own.clone();
                    self.owned(&own);
                }
            },
            (Asked::Owner, None) => {
                if let Ok(owner) = body.deserialize::<&str>() {
                    self.owned(owner);
                }
            }
            (Asked::Owner, Some(_)) => self.owned(""),
            (Asked::Capabilities, None) => {
                let capabilities = body.deserialize::<Vec<&str>>().unwrap_or_default();
                self.can(capabilities.contains(&"body-markup"));
            }
            (Asked::Capabilities, Some(_)) => self.can(false),
            (Asked::Notify(toast), None) => self.client.answered(toast, body.deserialize::<u32>().ok()),
            (Asked::Notify(toast), Some(name)) => {
                if name == LOOP {
                    self.met();
                } else {
                    Self::warn(format_args!("the notification server does not show a toast: {}", text()));
                }
                self.client.answered(toast, None);
            }
        }
    }

    /// The notification server is `owner`, or nobody.
    fn owned(&mut self, owner: &str) {
        let session = &mut self.session;
        let is_old = match &session.place {
            Place::Unsettled => false,
            Place::None => owner.is_empty(),
            Place::Server => owner == session.own,
            Place::Client(other) => other.owner == owner,
        };
        if is_old {
            return;
        }
        let before = std::mem::replace(&mut session.place, Place::None);
        if before == Place::Server {
            self.server.give_up();
        }
        self.client.forget();
        session.asked.retain(|(_, asked)| !matches!(asked, Asked::Capabilities | Asked::Notify(_)));
        if owner == session.own {
            session.place = Place::Server;
            log::line(Level::Info, NAME, "is the notification server of this session");
        } else if !owner.is_empty() {
            session.place = Place::Client(Other { owner: owner.to_owned(), markup: None, is_known: false });
            session.call(Some(Asked::Capabilities), owner, "GetCapabilities", &());
            log::line(Level::Info, NAME, format_args!("toasts are shown by the notification server {owner}"));
        } else if before == Place::Unsettled && session.role == Role::Client {
            // The bus may know one that is started when it is called.
            session.call(Some(Asked::Capabilities), SERVICE, "GetCapabilities", &());
            log::line(Level::Info, NAME, "there is no notification server yet");
        }
    }

    /// The other server has said what it can.
    fn can(&mut self, markup: bool) {
        if let Place::Client(other) = &mut self.session.place {
            other.markup = Some(markup);
            self.ask_for_all();
        }
    }

    /// The other server has its notifications from the NATS server that we have toasts from.
    fn met(&mut self) {
        if let Place::Client(other) = &mut self.session.place
            && !std::mem::replace(&mut other.is_known, true)
        {
            Self::warn("the notification server's notifications are toasts here: none are shown there again");
        }
    }
}

impl Session {
    fn notify(
        &mut self,
        owner: &str,
        markup: bool,
        toast: u32,
        replaces: u32,
        notification: &Notification,
    ) -> bool {
        let body = if markup { markup::escape(&notification.body) } else { notification.body.clone() };
        let urgency: u8 = match notification.urgency {
            Urgency::Low => 0,
            Urgency::Normal => 1,
            Urgency::Critical => 2,
        };
        let mut hints = HashMap::from([("urgency", Variant::from(urgency)), (ORIGIN, Variant::from(toast))]);
        hints.extend(notification.progress.map(|percent| ("value", Variant::from(i32::from(percent)))));
        let truths = [("resident", notification.resident), ("transient", notification.transient)];
        hints.extend(
            truths.into_iter().filter(|(_, is_so)| *is_so).map(|(name, _)| (name, Variant::from(true))),
        );
        let actions: Vec<&str> = notification
            .actions
            .iter()
            .flat_map(|action| [action.id.as_str(), action.label.as_str()])
            .collect();
        let timeout = notification.timeout_ms.map_or(-1, |ms| i32::try_from(ms).unwrap_or(i32::MAX));
        let Notification { app, icon, summary, .. } = notification;
        let arguments = (app, replaces, icon, summary, body, actions, hints, timeout);
        self.call(Some(Asked::Notify(toast)), owner, "Notify", &arguments)
    }
}

/// Whom an answer to `message` goes to.
fn caller(message: &Message) -> Caller {
    let header = message.header();
    let primary = header.primary();
    if primary.flags().contains(Flags::NO_REPLY_EXPECTED) {
        return None;
    }
    let call =
        Message::method_call("/", "Call").serial(primary.serial_num()).endian(primary.endian_sig().into());
    match header.sender() {
        Some(sender) => call.sender(sender.to_owned()).build(&()).ok(),
        None => call.build(&()).ok(),
    }
}
