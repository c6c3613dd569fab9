//! Values of directives: words with quotes and escapes, specifiers, variables, durations, sizes.

use std::collections::BTreeMap;
use std::time::Duration;

/// What `%i` and the others stand for.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// `getty@tty1.service`
    pub(super) full: String,
    /// `getty`
    pub(super) prefix: String,
    /// `tty1`
    pub(super) instance: String,
}

impl Names {
    pub(super) fn of(full: &str) -> Self {
        let stem = full.rsplit_once('.').map_or(full, |(stem, _)| stem);
        let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
        Self { full: full.to_owned(), prefix: prefix.to_owned(), instance: instance.to_owned() }
    }

    /// `text` with what each `%x` stands for; the first that stands for nothing here is the error.
    pub(super) fn expand(&self, text: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text.chars();
        while let Some(letter) = rest.next() {
            if letter != '%' {
                out.push(letter);
                continue;
            }
            let letter = rest.next();
            out.push_str(match letter {
                Some('%') => "%",
                Some('n') => &self.full,
                Some('N') => self.full.rsplit_once('.').map_or(self.full.as_str(), |(stem, _)| stem),
                Some('p' | 'P') => &self.prefix,
                Some('i' | 'I') => &self.instance,
                Some('t') => "/run",
                Some('S') => "/var/lib",
                Some('C') => "/var/cache",
                Some('L') => "/var/log",
                Some('E') => "/etc",
                Some('T') => "/tmp",
                Some('V') => "/var/tmp",
                Some('u') => "root",
                Some('U') => "0",
                Some('h') => "/root",
                Some('s') => "/bin/sh",
                Some(other) => return Err(format!("there is nothing here for %{other}")),
                None => return Err("it ends with '%'".to_owned()),
            });
        }
        Ok(out)
    }
}

/// The words of `text`, without their quotes and escapes.
pub(super) fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        match (quote, letter) {
            (Some(end), letter) if letter == end => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, letter) if letter.is_ascii_whitespace() => words.extend(word.take()),
            (_, '\\') => {
                let letter = escape(&mut rest)?;
                word.get_or_insert_default().push(letter);
            }
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err("a quote has no end".to_owned());
    }
    words.extend(word);
    Ok(words)
}

fn escape(rest: &mut std::str::Chars<'_>) -> Result<char, String> {
    let letter = rest.next();
    let mut number = |radix: u32, digits: usize, first: Option<char>| {
        let digits: String = first.into_iter().chain(rest.take(digits)).collect();
        u32::from_str_radix(&digits, radix).ok().and_then(char::from_u32)
    };
    let found = match letter {
        Some('a') => Some('\u{7}'),
        Some('b') => Some('\u{8}'),
        Some('f') => Some('\u{c}'),
        Some('n') => Some('\n'),
        Some('r') => Some('\r'),
        Some('t') => Some('\t'),
        Some('v') => Some('\u{b}'),
        Some('s') => Some(' '),
        Some(same @ ('\\' | '"' | '\'' | ';')) => Some(same),
        Some('x') => number(16, 2, None),
        Some('u') => number(16, 4, None),
        Some('U') => number(16, 8, None),
        Some(first @ '0'..='7') => number(8, 2, Some(first)),
        _ => None,
    };
    found.filter(|letter| *letter != '\0').ok_or_else(|| "an escape has no meaning".to_owned())
}

/// A command of an `Exec…=` directive.
#[derive(Clone, Debug, Default)]
pub(super) struct Exec {
    pub(super) words: Vec<String>,
    /// `-`: that it fails is of no account.
    pub(super) may_fail: bool,
    /// `:`: `$` is a letter as any other.
    pub(super) literal: bool,
    /// `@`: the second word is the name that the program is called by.
    pub(super) renamed: bool,
    /// `+`, `!`: more rights than the service has.
    pub(super) privileged: bool,
}

impl Exec {
    /// The commands of a value, which a word `;` divides.
    pub(super) fn parse(value: &str, names: &Names) -> Result<Vec<Self>, String> {
        let mut all = Vec::new();
        for words in split(value)?.split(|word| word == ";").filter(|words| !words.is_empty()) {
            let mut exec = Self::default();
            let mut words = words.to_vec();
            let Some(first) = words.first_mut() else { continue };
            while let Some(sign) = first.chars().next().filter(|sign| "-:@+!|".contains(*sign)) {
                match sign {
                    '-' => exec.may_fail = true,
                    ':' => exec.literal = true,
                    '@' => exec.renamed = true,
                    _ => exec.privileged = true,
                }
                first.remove(0);
            }
            if exec.renamed && words.len() > 1 {
                words.remove(1);
            }
            exec.words = words.iter().map(|word| names.expand(word)).collect::<Result<_, _>>()?;
            if exec.words.first().is_none_or(String::is_empty) {
                return Err("it has no program".to_owned());
            }
            all.push(exec);
        }
        Ok(all)
    }

    /// The words with each variable replaced. `$X` alone becomes as many words as it has; `${X}` is part of one.
    pub(super) fn resolved(&self, variables: &BTreeMap<String, String>) -> Vec<String> {
        if self.literal {
            return self.words.clone();
        }
        let mut out = Vec::new();
        for word in &self.words {
            if let Some(name) = whole_variable(word) {
                let value = variables.get(name).map(String::as_str).unwrap_or_default();
                out.extend(value.split_ascii_whitespace().map(str::to_owned));
                continue;
            }
            let mut text = String::new();
            for piece in pieces(word) {
                text.push_str(match piece {
                    Piece::Text(text) => text,
                    Piece::Variable(name) => variables.get(name).map(String::as_str).unwrap_or_default(),
                });
            }
            out.push(text);
        }
        out
    }

    /// The same command for a shell.
    pub(super) fn shell(&self) -> String {
        let word = |word: &String| {
            if self.literal {
                return quoted(word);
            }
            if let Some(name) = whole_variable(word) {
                return format!("${name}");
            }
            let pieces = pieces(word).into_iter().map(|piece| match piece {
                Piece::Text(text) => quoted(text),
                Piece::Variable(name) => format!("\"${{{name}}}\""),
            });
            let text: String = pieces.collect();
            if text.is_empty() { "''".to_owned() } else { text }
        };
        self.words.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    /// The variables of the environment that it names.
    pub(super) fn variables(&self) -> Vec<&str> {
        let words = self.words.iter().filter(|_| !self.literal);
        words
            .flat_map(|word| {
                let inner = pieces(word).into_iter().filter_map(|piece| match piece {
                    Piece::Variable(name) => Some(name),
                    Piece::Text(_) => None,
                });
                whole_variable(word).into_iter().chain(inner)
            })
            .collect()
    }

    /// The signal, if it does nothing else than send one to `$MAINPID`.
    pub(super) fn kills(&self) -> Option<String> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let (program, rest) = words.split_first()?;
        if program.rsplit('/').next() != Some("kill") {
            return None;
        }
        let signal = match rest {
            ["$MAINPID" | "${MAINPID}"] => "TERM",
            ["-s" | "--signal", signal, "$MAINPID" | "${MAINPID}"] => signal,
            [flag, "$MAINPID" | "${MAINPID}"] => flag
                .strip_prefix("--signal=")
                .or_else(|| flag.strip_prefix('-'))
                .filter(|it| !it.starts_with('-'))?,
            _ => return None,
        };
        Some(signal.to_owned())
    }
}

/// Part of a word.
enum Piece<'w> {
    Text(&'w str),
    Variable(&'w str),
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// `$X`
fn whole_variable(word: &str) -> Option<&str> {
    word.strip_prefix('$').filter(|name| is_variable(name))
}

fn pieces(word: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        let (text, tail) = rest.split_at(at);
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        let inner = tail.strip_prefix("${").and_then(|tail| tail.split_once('}'));
        rest = match inner.filter(|(name, _)| is_variable(name)) {
            Some((name, after)) => {
                pieces.push(Piece::Variable(name));
                after
            }
            None => {
                pieces.push(Piece::Text("$"));
                // `$$` is one.
                tail.strip_prefix("$$").unwrap_or_else(|| tail.get(1..).unwrap_or_default())
            }
        };
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// A word for a shell.
pub(super) fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.,:=+@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// `5min 20s`, `500ms`, `30`; systemd.time(7). `None` for `infinity`.
pub(super) fn span(text: &str) -> Option<Option<Duration>> {
    if text == "infinity" {
        return Some(None);
    }
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at_checked(end)?;
        let tail = tail.trim_start();
        let end = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(end)?;
        let micros: u64 = match unit {
            "us" | "usec" | "µs" | "μs" => 1,
            "ms" | "msec" => 1_000,
            "" | "s" | "sec" | "second" | "seconds" => 1_000_000,
            "m" | "min" | "minute" | "minutes" => 60_000_000,
            "h" | "hr" | "hour" | "hours" => 3_600_000_000,
            "d" | "day" | "days" => 86_400_000_000,
            "w" | "week" | "weeks" => 604_800_000_000,
            "M" | "month" | "months" => 2_629_800_000_000,
            "y" | "year" | "years" => 31_557_600_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let mut sum = whole.parse::<u64>().ok()?.checked_mul(micros)?;
        let mut place = micros;
        for digit in fraction.bytes() {
            place /= 10;
            sum = sum.checked_add(place * u64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?))?;
        }
        total = total.checked_add(Duration::from_micros(sum))?;
        rest = tail.trim_start();
    }
    Some(Some(total))
}

/// `64M`, each unit 1024 of the one before.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let power = match unit.trim() {
        "" | "B" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1024_u64.checked_pow(power)?)
}

/// `yes`, `1`, `off` …
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_escapes() {
        assert_eq!(split(r#"a "b c" 'd e'f \x41\n\s "" "#).unwrap(), ["a", "b c", "d ef", "A\n ", ""]);
        assert_eq!(split("\\101\\;").unwrap(), ["A;"]);
        for wrong in ["\"a", "'", "\\", "\\q", "\\xZZ", "\\0"] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn variables_become_words() {
        let names = Names::of("a@b.service");
        let exec = &Exec::parse("-/bin/x $A ${A}z $$ $$B %i %n $1", &names).unwrap()[0];
        assert!(exec.may_fail);
        let variables = BTreeMap::from([("A".to_owned(), "1  2".to_owned())]);
        assert_eq!(
            exec.resolved(&variables),
            ["/bin/x", "1", "2", "1  2z", "$", "$B", "b", "a@b.service", "$1"]
        );
        assert_eq!(exec.shell(), "/bin/x $A \"${A}\"z '$' '$'B b a@b.service '$'1");
        assert_eq!(exec.variables(), ["A", "A"]);
        let two = Exec::parse("/a ; @/b c d", &names).unwrap();
        assert_eq!((two.len(), two[1].words.join(" ")), (2, "/b d".to_owned()));
        assert!(Exec::parse("/a %q", &names).is_err());
        assert!(Exec::parse("-", &names).is_err());
    }

    #[test]
    fn signals_to_the_main_process() {
        let kills = |text| Exec::parse(text, &Names::of("a")).unwrap()[0].kills();
        assert_eq!(kills("/bin/kill -HUP $MAINPID").as_deref(), Some("HUP"));
        assert_eq!(kills("kill -s USR1 ${MAINPID}").as_deref(), Some("USR1"));
        assert_eq!(kills("/usr/bin/kill --signal=INT $MAINPID").as_deref(), Some("INT"));
        assert_eq!(kills("/bin/kill $MAINPID").as_deref(), Some("TERM"));
        assert_eq!(kills("/bin/kill -HUP 1"), None);
        assert_eq!(kills("/bin/skill -HUP $MAINPID"), None);
    }

    #[test]
    fn spans() {
        assert_eq!(span("5min 20s"), Some(Some(Duration::from_secs(320))));
        assert_eq!(span("1.5h"), Some(Some(Duration::from_secs(5400))));
        assert_eq!(span("90"), Some(Some(Duration::from_secs(90))));
        assert_eq!(span("infinity"), Some(None));
        for wrong in ["", "s", "5 parsecs", "1..5s", "99999999999y", "-1"] {
            assert_eq!(span(wrong), None, "{wrong}");
        }
    }
}
