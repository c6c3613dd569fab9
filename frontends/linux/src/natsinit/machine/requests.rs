//! What is asked about the machine, and what it is ordered to do.

use lunix_proto::json::{self, Writer};

use super::{Scope, facts};
use crate::encoded::encoded;

/// What a request comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::natsinit) enum Reply {
    /// This is the answer.
    Tell(Vec<u8>),
    /// It is refused for this reason.
    Refuse(String),
    /// It is to be done; once `answer` is on its way.
    Obey { order: Order, reason: String, answer: Vec<u8> },
}

/// What the machine can be ordered to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::natsinit) enum Order {
    /// Stop everything and switch off.
    PowerOff,
    /// Stop everything and start anew.
    Reboot,
    /// Stop everything and stay so.
    Halt,
    /// Stop everything and start the kernel that `kexec -l` loaded.
    Kexec,
    /// Execute the supervisor anew; services are not touched.
    Reexecute,
}

/// What both kinds of supervisors answer, and then what only that of the machine does.
const SUBJECTS: &[(&str, &str)] = &[
    ("system-info", "system.info"),
    ("system-usage", "system.usage"),
    ("shutdown", "system.shutdown"),
    ("reboot", "system.reboot"),
    ("halt", "system.halt"),
    ("kexec", "system.kexec"),
    ("reexec", "system.reexec"),
];
const QUESTIONS: usize = 2;

/// The longest reason that is kept.
const REASON: usize = 256;

pub(super) fn subjects(scope: Scope) -> &'static [(&'static str, &'static str)] {
    match scope {
        Scope::Machine => SUBJECTS,
        Scope::Session => SUBJECTS.get(..QUESTIONS).unwrap_or_default(),
    }
}

pub(super) fn answer(scope: Scope, subject: &[u8], payload: &[u8]) -> Option<Reply> {
    let known = subjects(scope).iter().find(|(_, known)| known.as_bytes() == subject)?.1;
    let order = match known {
        "system.info" => return Some(Reply::Tell(facts::info(scope))),
        "system.usage" => return Some(Reply::Tell(facts::usage())),
        "system.shutdown" => Order::PowerOff,
        "system.reboot" => Order::Reboot,
        "system.halt" => Order::Halt,
        "system.kexec" => Order::Kexec,
        _ => Order::Reexecute,
    };
    Some(match reason(payload) {
        Err(line) => Reply::Refuse(line),
        Ok(_) if order == Order::Kexec && !facts::kernel_is_loaded() => {
            Reply::Refuse("no kernel is loaded: kexec -l loads one".to_owned())
        }
        Ok(reason) => {
            let answer = encoded(64, |out| {
                let mut json = Writer::new(out);
                json.begin_object().key("accepted").bool(true).end_object();
                json.finish()
            });
            Reply::Obey { order, reason, answer }
        }
    })
}

/// Nothing, or an object that may say `reason`. Unknown keys are ignored.
fn reason(payload: &[u8]) -> Result<String, String> {
    if payload.trim_ascii().is_empty() {
        return Ok(String::new());
    }
    let parsed = json::parse(payload).map_err(|_| "expected nothing or one JSON object".to_owned())?;
    let object = parsed.as_object().ok_or("expected nothing or one JSON object")?;
    match object.get("reason") {
        None => Ok(String::new()),
        Some(value) => {
            let text = value.as_str().ok_or("reason: expected text")?;
            Ok(text.chars().filter(|c| !c.is_control()).take(REASON).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(subject: &str, payload: &str) -> Option<Reply> {
        answer(Scope::Machine, subject.as_bytes(), payload.as_bytes())
    }

    #[test]
    fn orders_are_checked_before_anything_happens() {
        for (subject, order) in [
            ("system.shutdown", Order::PowerOff),
            ("system.reboot", Order::Reboot),
            ("system.halt", Order::Halt),
            ("system.reexec", Order::Reexecute),
        ] {
            for (payload, reason) in [
                ("", ""),
                (" \n", ""),
                ("{}", ""),
                (r#"{"reason":"new\u001b kernel","x":[1]}"#, "new kernel"),
            ] {
                let accepted = br#"{"accepted":true}"#.to_vec();
                let obeyed = Reply::Obey { order, reason: reason.to_owned(), answer: accepted };
                assert_eq!(ask(subject, payload), Some(obeyed));
            }
            for (payload, why) in [
                ("now", "expected nothing or one JSON object"),
                ("[]", "expected nothing or one JSON object"),
                ("{", "expected nothing or one JSON object"),
                (r#"{"reason":1}"#, "reason: expected text"),
            ] {
                assert_eq!(ask(subject, payload), Some(Reply::Refuse(why.to_owned())), "{payload}");
            }
        }
        for nothing in ["system.shutdown2", "system", "", "system.shutdown.now", "service.list"] {
            assert_eq!(ask(nothing, ""), None);
        }
    }

    #[test]
    fn a_session_does_not_switch_the_machine_off() {
        assert_eq!(answer(Scope::Session, b"system.shutdown", b""), None);
        assert!(subjects(Scope::Session).iter().all(|(_, subject)| !subject.contains("shutdown")));
        assert!(matches!(answer(Scope::Session, b"system.info", b""), Some(Reply::Tell(_))));
    }

    #[test]
    fn a_reason_is_bounded() {
        let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(10_000));
        assert_eq!(reason(long.as_bytes()).map(|reason| reason.len()), Ok(REASON));
    }
}
