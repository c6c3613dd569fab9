//! From the tables of `lunix::cli` to clap's model, and from that to manual pages and completions.

use std::fs;
use std::path::Path;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use lunix::applets::{Applet, COMMANDS, DAEMONS, TOOLS};
use lunix::cli::{self, Hint};

/// The programs, what each is about, and what each can be: daemons by their own names, and the commands for people.
struct Program {
    name: &'static str,
    about: &'static str,
    commands: &'static [Applet],
    daemons: &'static [Applet],
    tools: &'static [Applet],
}

const PROGRAMS: [Program; 2] = [
    Program {
        name: "lunix",
        about: "everything in user space, said over NATS",
        commands: COMMANDS,
        daemons: DAEMONS,
        tools: TOOLS,
    },
    Program {
        name: "lunix-bridge",
        about: "other protocols, said over NATS",
        commands: &[],
        daemons: lunix_bridge::DAEMONS,
        tools: &[],
    },
];

/// Writes `man/man1`, `completions/{bash,zsh,fish}` and the list of links, each with its program.
pub(super) fn write(folder: &Path) -> Result<()> {
    let man = folder.join("man/man1");
    fs::create_dir_all(&man)?;
    let mut links = String::new();
    for program in &PROGRAMS {
        program.pages(&man)?;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let folder = folder.join("completions").join(shell.to_string());
            fs::create_dir_all(&folder)?;
            program.completions(shell, &folder)?;
        }
        links.extend(program.linked().map(|applet| format!("{} {}\n", applet.command.name, program.name)));
    }
    fs::write(folder.join("links"), links)?;
    Ok(())
}

impl Program {
    /// What has a name of its own.
    fn linked(&self) -> impl Iterator<Item = &'static Applet> {
        self.daemons.iter().chain(self.tools)
    }

    fn command(&self) -> Command {
        Command::new(self.name)
            .about(self.about)
            .version(env!("CARGO_PKG_VERSION"))
            .disable_help_subcommand(true)
            .subcommand_required(true)
            .subcommands(self.commands.iter().chain(self.linked()).map(|applet| command(applet.command)))
    }

    fn pages(&self, man: &Path) -> Result<()> {
        page(man, self.name, &self.command(), Err(self.overview()))?;
        for applet in self.commands {
            sub_page(man, self.name, applet.command)?;
            for sub in applet.command.commands {
                sub_page(man, &applet.command.called(), sub)?;
            }
        }
        for applet in self.linked() {
            page(man, applet.command.name, &command(applet.command), Ok(applet.command))?;
            for sub in applet.command.commands {
                sub_page(man, applet.command.name, sub)?;
            }
        }
        Ok(())
    }

    fn completions(&self, shell: Shell, folder: &Path) -> Result<()> {
        clap_complete::generate_to(shell, &mut self.command(), self.name, folder)?;
        for applet in self.linked() {
            clap_complete::generate_to(shell, &mut command(applet.command), applet.command.name, folder)?;
        }
        Ok(())
    }

    /// What clap has no place for: the pages of all that it can be.
    fn overview(&self) -> String {
        let mut text = String::new();
        for (title, applets, prefix) in [
            ("COMMANDS", self.commands, "lunix\\-"),
            ("DAEMONS", self.daemons, ""),
            ("TOOLS", self.tools, ""),
        ] {
            if applets.is_empty() {
                continue;
            }
            text += &format!(".SH {title}\n");
            for applet in applets {
                let name = roff(applet.command.name);
                text += &format!(".TP\n\\fB{prefix}{name}\\fR(1)\n{}\n", roff(applet.command.about));
            }
        }
        text
    }
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
    let mut taken: Vec<&str> = Vec::new();
    for flag in table.flags() {
        // A name is the first one's that has it: `shutdown -h` asks for no help.
        let names: Vec<&'static str> =
            flag.names.iter().copied().filter(|name| !taken.contains(name)).collect();
        command = command.arg(hinted(named(flag, &names), flag.hint));
        taken.extend(names);
    }
    command.subcommands(table.commands.iter().map(|sub| self::command(sub)))
}

/// A flag with all its names: the first long one and the first short one are shown, the others are aliases.
fn named(flag: &cli::Flag, names: &[&'static str]) -> Arg {
    let mut arg = Arg::new(flag.key()).help(flag.help);
    for name in names {
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
    let called = format!("{program} {}", table.name);
    let name = called.replace(' ', "-");
    let command = command(table).display_name(name.clone()).bin_name(called);
    page(folder, &name, &command, Ok(table))
}

/// A page, by its table or else by what it says of all programs.
fn page(
    folder: &Path,
    name: &str,
    command: &Command,
    table: std::result::Result<&cli::Command, String>,
) -> Result<()> {
    let man = Man::new(command.clone()).title(name).section("1").source("lunix");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if table.as_ref().is_ok_and(|table| !table.commands.is_empty()) {
        man.render_subcommands_section(&mut page)?;
    }
    page.extend_from_slice(table.map_or_else(|overview| overview, rest).as_bytes());
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

/// Text as roff: a backslash and a hyphen are themselves, and no line is a request.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    let lines: Vec<String> = escaped
        .lines()
        .map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() })
        .collect();
    lines.join("\n")
}
