//! From the tables of `lunix::cli` to clap's model, and from that to manual pages and completions.

use std::fs;
use std::path::Path;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use lunix::applets::{COMMANDS, DAEMONS, TOOLS};
use lunix::cli::{self, Hint};

const ABOUT: &str = "everything in user space, said over NATS";

/// Writes `man/man1`, `completions/{bash,zsh,fish}` and the list of links to the program.
pub(super) fn write(folder: &Path) -> Result<()> {
    let man = folder.join("man/man1");
    fs::create_dir_all(&man)?;
    page(&man, "lunix", &program(), None)?;
    for applet in COMMANDS {
        sub_page(&man, "lunix", applet.command)?;
    }
    for applet in DAEMONS.iter().chain(TOOLS) {
        page(&man, applet.command.name, &command(applet.command), Some(applet.command))?;
        for sub in applet.command.commands {
            sub_page(&man, applet.command.name, sub)?;
        }
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let folder = folder.join("completions").join(shell.to_string());
        fs::create_dir_all(&folder)?;
        clap_complete::generate_to(shell, &mut program(), "lunix", &folder)?;
        for applet in DAEMONS.iter().chain(TOOLS) {
            clap_complete::generate_to(shell, &mut command(applet.command), applet.command.name, &folder)?;
        }
    }
    let links = DAEMONS.iter().chain(TOOLS).map(|applet| format!("{}\n", applet.command.name));
    fs::write(folder.join("links"), links.collect::<String>())?;
    Ok(())
}

/// The multi-call program.
fn program() -> Command {
    Command::new("lunix")
        .about(ABOUT)
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .subcommand_required(true)
        .subcommands(COMMANDS.iter().chain(DAEMONS).chain(TOOLS).map(|applet| command(applet.command)))
}

fn command(table: &cli::Command) -> Command {
    let mut command = Command::new(table.name)
        .about(table.about)
        .version(env!("CARGO_PKG_VERSION"))
        // The tables say these two themselves.
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true);
    for argument in table.arguments {
        let arg = Arg::new(argument.name).value_name(argument.name).help(argument.help);
        let arg = arg.required(argument.required);
        let arg = if argument.many { arg.num_args(1..) } else { arg };
        command = command.arg(hinted(arg, argument.hint));
    }
    for flag in table.flags() {
        command = command.arg(hinted(named(flag), flag.hint));
    }
    command.subcommands(table.commands.iter().map(|sub| self::command(sub)))
}

/// A flag with all its names: the first long one and the first short one are shown, the others are aliases.
fn named(flag: &cli::Flag) -> Arg {
    let mut arg = Arg::new(flag.key()).help(flag.help);
    for name in flag.names {
        let mut letters = name.chars();
        arg = match (letters.next(), letters.next()) {
            (Some(letter), None) if arg.get_short().is_none() => arg.short(letter),
            (Some(letter), None) => arg.visible_short_alias(letter),
            _ if arg.get_long().is_none() => arg.long(*name),
            _ => arg.visible_alias(*name),
        };
    }
    match flag.value {
        Some(value) if flag.is_optional() => {
            arg.value_name(value.trim_matches(['[', ']'])).num_args(0..=1).require_equals(true)
        }
        Some(value) => arg.value_name(value),
        None => arg.action(ArgAction::SetTrue),
    }
}

fn hinted(arg: Arg, hint: Hint) -> Arg {
    match hint {
        Hint::None => arg,
        Hint::File => arg.value_hint(ValueHint::FilePath),
        Hint::Folder => arg.value_hint(ValueHint::DirPath),
        Hint::OneOf(words) => arg.value_parser(PossibleValuesParser::new(words)),
    }
}

/// The page of a command of `program`.
fn sub_page(folder: &Path, program: &str, table: &cli::Command) -> Result<()> {
    let name = format!("{program}-{}", table.name);
    let command = command(table).display_name(name.clone()).bin_name(format!("{program} {}", table.name));
    page(folder, &name, &command, Some(table))
}

fn page(folder: &Path, name: &str, command: &Command, table: Option<&cli::Command>) -> Result<()> {
    let man = Man::new(command.clone()).title(name).section("1").source("lunix");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if table.is_some_and(|table| !table.commands.is_empty()) {
        man.render_subcommands_section(&mut page)?;
    }
    match table {
        Some(table) => page.extend_from_slice(rest(table).as_bytes()),
        None => page.extend_from_slice(overview().as_bytes()),
    }
    fs::write(folder.join(format!("{name}.1")), page)?;
    Ok(())
}

/// What clap has no place for.
fn rest(table: &cli::Command) -> String {
    let mut text = String::new();
    if !table.details.is_empty() {
        text += ".SH DESCRIPTION\n";
        for paragraph in table.details {
            text += &format!(".PP\n{}\n", roff(paragraph));
        }
    }
    if !table.examples.is_empty() {
        text += ".SH EXAMPLES\n";
        for (line, what) in table.examples {
            text += &format!(".TP\n\\fB{}\\fR\n{}\n", roff(line), roff(what));
        }
    }
    text
}

fn overview() -> String {
    let mut text = String::new();
    for (title, applets, prefix) in
        [("COMMANDS", COMMANDS, "lunix\\-"), ("DAEMONS", DAEMONS, ""), ("TOOLS", TOOLS, "")]
    {
        text += &format!(".SH {title}\n");
        for applet in applets {
            let name = roff(applet.command.name);
            text += &format!(".TP\n\\fB{prefix}{name}\\fR(1)\n{}\n", roff(applet.command.about));
        }
    }
    text
}

/// Text as roff: a backslash and a hyphen are themselves, and no line is a request.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    let lines: Vec<String> = escaped
        .lines()
        .map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() })
        .collect();
    lines.join("\n")
}
