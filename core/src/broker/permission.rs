//! What a user may do with a subject.

use lunix_proto::nats::subject::{covers, is_pattern, matches, overlaps, tokens};

use super::user::Subjects;

impl Subjects<'_> {
    /// Whether one may publish to `subject`, whose wildcards are tokens like any others.
    pub(super) fn may_publish(&self, subject: &[u8]) -> bool {
        if is_torn(subject) {
            return self.allow.is_none();
        }
        let is_in = |list: &str| patterns(list).any(|(pattern, _)| matches(pattern, subject));
        self.allow.is_none_or(is_in) && !is_in(self.deny)
    }

    /// Whether one may subscribe to all of `pattern`, but for what [`Subjects::withholds`].
    ///
    /// If what is allowed of a subject is said for queue groups at all, that alone counts for them. In what is denied
    /// a wildcard matches any token of `pattern`, as in nats-server.
    pub(super) fn may_subscribe(&self, pattern: &[u8], queue: Option<&[u8]>) -> bool {
        if is_torn(pattern) {
            return self.allow.is_none();
        }
        // What cannot be subscribed to is refused for that only if it could be allowed.
        let includes = if is_pattern(pattern) { covers } else { matches };
        let allowed = self.allow.is_none_or(|allow| {
            let (mut plain, mut qualified, mut named) = (false, false, false);
            for (_, group) in patterns(allow).filter(|(whole, _)| includes(whole, pattern)) {
                match group {
                    None => plain = true,
                    Some(group) => {
                        qualified = true;
                        named |= queue.is_some_and(|queue| covers_queue(group, queue));
                    }
                }
            }
            if queue.is_some() && qualified { named } else { plain }
        });
        allowed
            && !patterns(self.deny)
                .any(|(denied, group)| matches(denied, pattern) && is_about(group, queue.map(Queue::Whole)))
    }

    /// Whether something of what a subscription matches might be withheld from it.
    pub(super) fn may_withhold(&self, pattern: &[u8], queue: bool) -> bool {
        let wild = pattern.split(|&byte| byte == b'.').any(|token| matches!(token, b"*" | b">"));
        (wild || queue) && patterns(self.deny).any(|(denied, _)| overlaps(denied, pattern))
    }

    /// Whether a message is withheld from a subscription to a larger pattern.
    pub(super) fn withholds(&self, subject: &[u8], queue: Option<Queue<'_>>) -> bool {
        patterns(self.deny).any(|(denied, group)| matches(denied, subject) && is_about(group, queue))
    }

    /// There is nothing that one may not do.
    pub(super) fn is_all(&self) -> bool {
        self.allow.is_none() && self.deny.is_empty()
    }
}

/// No line is about what has an empty token.
fn is_torn(subject: &[u8]) -> bool {
    tokens(subject).any(<[u8]>::is_empty)
}

/// A queue group's name, as far as it is at hand.
#[derive(Clone, Copy, Debug)]
pub(super) enum Queue<'a> {
    Whole(&'a [u8]),
    /// Too long to be compared.
    Long,
}

/// Whether a denied line is about a subscription.
fn is_about(group: Option<&[u8]>, queue: Option<Queue<'_>>) -> bool {
    match (group, queue) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(group), Some(Queue::Whole(queue))) => covers_queue(group, queue),
        // Rather one message too few.
        (Some(_), Some(Queue::Long)) => true,
    }
}

fn covers_queue(group: &[u8], queue: &[u8]) -> bool {
    group == queue || covers(group, queue)
}

/// The lines of a list: patterns, and names of queue groups.
fn patterns(list: &str) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    list.split('\n').filter_map(|line| {
        let mut words = line.split_ascii_whitespace().map(str::as_bytes);
        Some((words.next()?, words.next()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects<'m>(allow: &'m str, deny: &'m str) -> Subjects<'m> {
        Subjects { allow: (allow != "*all*").then_some(allow), deny }
    }

    #[test]
    fn publishing() {
        let some = subjects("a.*\nb.>\n\nc", "a.secret\nb.*.x");
        for (subject, may) in [
            ("a.b", true),
            ("a.secret", false),
            ("a.b.c", false),
            ("b.y", true),
            ("b.y.x", false),
            ("b.y.z.x", true),
            ("c", true),
            ("d", false),
            ("a.>", true),
            ("b", false),
            ("a.", false),
            ("b.y.", false),
        ] {
            assert_eq!(some.may_publish(subject.as_bytes()), may, "{subject}");
        }
        assert!(subjects("*all*", "*.*").may_publish(b"a."));
        assert!(!subjects("", "").may_publish(b"a"));
        assert!(subjects("*all*", "b").may_publish(b"a"));
        assert!(!subjects("*all*", "b").may_publish(b"b"));
    }

    #[test]
    fn subscribing() {
        let some = subjects("a.*\nb.>\nc v1\nd\nd v1.*", "b.no\nb.q *.dev");
        for (pattern, queue, may) in [
            ("a.b", None, true),
            ("a.*", None, true),
            ("a.>", None, false),
            ("*.b", None, false),
            (">", None, false),
            ("b.>", None, true),
            ("b.*", None, true),
            ("b.no", None, false),
            ("b.*", Some("q"), true),
            ("b.q", Some("x.prod"), true),
            ("b.q", Some("x.dev"), false),
            ("b.q", None, true),
            ("c", None, false),
            ("c", Some("v1"), true),
            ("c", Some("v2"), false),
            ("d", None, true),
            ("d", Some("v1.a"), true),
            ("d", Some("v2.a"), false),
            ("a.", None, false),
            ("b..c", None, false),
            ("b.>.c", None, true),
            ("c.>.d", None, false),
        ] {
            let queue = queue.map(str::as_bytes);
            assert_eq!(some.may_subscribe(pattern.as_bytes(), queue), may, "{pattern} {queue:?}");
        }
    }

    #[test]
    fn withholding() {
        let some = subjects("*all*", "a.no.*\nb q");
        assert!(some.may_withhold(b"a.>", false) && some.may_withhold(b"*.*.x", false));
        assert!(!some.may_withhold(b"a.yes.*", false) && !some.may_withhold(b"a.yes.x", false));
        assert!(some.may_withhold(b"b", true));
        assert!(some.withholds(b"a.no.x", None) && !some.withholds(b"a.x", None));
        assert!(some.withholds(b"b", Some(Queue::Whole(b"q"))) && !some.withholds(b"b", None));
        assert!(!some.withholds(b"b", Some(Queue::Whole(b"r"))) && some.withholds(b"b", Some(Queue::Long)));
    }
}
