//! `--help`: what a person reads.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};

use super::{Command, Flag, Style};

const WIDEST: usize = 100;
const FLAG_COLUMN: usize = 26;

pub(super) fn print(command: &Command) {
    let mut stdout = std::io::stdout().lock();
    let colour = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let width =
        rustix::termios::tcgetwinsize(&stdout).map_or(80, |size| usize::from(size.ws_col)).clamp(40, WIDEST);
    // A reader that went away (`--help | head -1`) is no error of ours.
    let _ = stdout.write_all(render(command, width, colour).as_bytes());
}

fn render(command: &Command, width: usize, colour: bool) -> String {
    let (bold, head, off) = if colour { ("\x1b[1m", "\x1b[1;36m", "\x1b[0m") } else { ("", "", "") };
    let called = command.called();
    let mut out = String::new();
    let _ = writeln!(out, "{bold}{called}{off} - {}\n", command.about);
    let _ = write!(out, "{head}Usage:{off} {bold}{called}{off} [FLAGS]");
    if !command.commands.is_empty() {
        out.push_str(" COMMAND …");
    }
    for argument in command.arguments {
        let dots = if argument.many { "…" } else { "" };
        let (open, close) = if argument.required { ("", "") } else { ("[", "]") };
        let _ = write!(out, " {open}{}{dots}{close}", argument.name);
    }
    out.push('\n');
    if !command.arguments.is_empty() {
        let _ = writeln!(out, "\n{head}Arguments:{off}");
        for argument in command.arguments {
            entry(&mut out, argument.name, argument.help, width, bold, off);
        }
    }
    let _ = writeln!(out, "\n{head}Flags:{off}");
    for flag in command.flags() {
        entry(&mut out, &spelled(flag, command.style), flag.help, width, bold, off);
    }
    if !command.commands.is_empty() {
        let _ = writeln!(out, "\n{head}Commands:{off}");
        for command in command.commands {
            entry(&mut out, command.name, command.about, width, bold, off);
        }
    }
    for paragraph in command.details {
        out.push('\n');
        for line in wrap(paragraph, width) {
            let _ = writeln!(out, "{line}");
        }
    }
    if !command.examples.is_empty() {
        let _ = writeln!(out, "\n{head}Examples:{off}");
        for (line, what) in command.examples {
            let _ = writeln!(out, "  {bold}{line}{off}");
            for line in wrap(what, width.saturating_sub(6)) {
                let _ = writeln!(out, "      {line}");
            }
        }
    }
    out
}

fn spelled(flag: &Flag, style: Style) -> String {
    let mut names: Vec<_> = flag.names.to_vec();
    names.sort_by_key(|name| name.len() > 1);
    let spelled: Vec<_> = names
        .iter()
        .map(
            |name| {
                if name.len() == 1 || style == Style::Go { format!("-{name}") } else { format!("--{name}") }
            },
        )
        .collect();
    let indent =
        if names.first().is_some_and(|name| name.len() == 1) || style == Style::Go { "" } else { "    " };
    let value = flag.value.map(|value| match value.strip_prefix('[') {
        Some(optional) => format!("[={optional}"),
        None => format!(" {value}"),
    });
    let value = value.unwrap_or_default();
    format!("{indent}{}{value}", spelled.join(", "))
}

fn entry(out: &mut String, left: &str, right: &str, width: usize, bold: &str, off: &str) {
    let used = left.chars().count();
    let _ = write!(out, "  {bold}{left}{off}");
    let mut lines = wrap(right, width.saturating_sub(FLAG_COLUMN + 2)).into_iter();
    if used + 2 <= FLAG_COLUMN {
        let pad = FLAG_COLUMN - used;
        let _ = writeln!(out, "{:pad$}{}", "", lines.next().unwrap_or_default());
    } else {
        out.push('\n');
    }
    for line in lines {
        let _ = writeln!(out, "  {:FLAG_COLUMN$}{line}", "");
    }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let room = lines.last().map_or(0, |line| line.chars().count());
        if room > 0 && room + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::{Argument, BASIC, Hint};
    use super::*;

    #[test]
    fn help_wraps_and_aligns() {
        let command = Command {
            name: "sub",
            about: "listen to subjects",
            arguments: &[Argument {
                name: "SUBJECT",
                help: "what to listen to",
                required: true,
                many: true,
                hint: Hint::None,
            }],
            flags: &[BASIC],
            of: Some("lunix"),
            style: Style::Gnu,
            details: &["One two three four five six seven eight nine ten eleven."],
            commands: &[],
            examples: &[("sub 'toast.>'", "all about toasts")],
        };
        let text = render(&command, 52, false);
        assert!(
            text.starts_with("lunix sub - listen to subjects\n\nUsage: lunix sub [FLAGS] SUBJECT…\n"),
            "{text}"
        );
        assert!(text.contains("  -h, --help                show this help and exit\n"), "{text}");
        assert!(text.contains("One two three four five six seven eight nine ten\neleven.\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 52), "{text}");
    }
}
