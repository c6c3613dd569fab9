//! Names and numbers of the kernel: hostname, sysctl, modules.

use std::fs;
use std::io;
use std::path::Path;

use super::super::files::InitSettings;
use super::{NAME, PATIENCE, is_first_of_machine, step, tool};
use crate::log::{self, Level};

/// Everything of this page, as `settings` want it.
pub(super) fn tables(settings: &InitSettings) {
    if let Some(level) = settings.console.kernel_level.filter(|_| is_first_of_machine()) {
        step("kernel.printk", fs::write("/proc/sys/kernel/printk", level.to_string()));
    }
    step("Ctrl-Alt-Del", ctrl_alt_del());
    step("hostname", hostname(settings.hostname.as_deref()));
    for module in &settings.modules {
        let options = module.options.split_whitespace();
        let words: Vec<&str> = ["modprobe", &module.name].into_iter().chain(options).collect();
        match tool::run(&words, PATIENCE) {
            Ok(0) => {}
            Ok(code) => {
                log::line(
                    Level::Warn,
                    NAME,
                    format_args!("module {}: modprobe ended with {code}", module.name),
                );
            }
            Err(error) => log::line(Level::Warn, NAME, format_args!("module {}: {error}", module.name)),
        }
    }
    // Modules bring keys of their own.
    for (key, value) in &settings.sysctl {
        // `net.ipv4.conf.eth0/1.forwarding`: as sysctl(8), whichever separator comes first is the separator.
        let path = match key.find(['.', '/']).and_then(|at| key.get(at..=at)) {
            Some(".") => key
                .chars()
                .map(|c| {
                    if c == '.' {
                        '/'
                    } else if c == '/' {
                        '.'
                    } else {
                        c
                    }
                })
                .collect(),
            _ => key.clone(),
        };
        step(key, fs::write(Path::new("/proc/sys").join(path), value));
    }
}

/// The three keys are a signal for us instead of the end of the machine.
fn ctrl_alt_del() -> io::Result<()> {
    if is_first_of_machine() {
        rustix::system::reboot(rustix::system::RebootCommand::CadOff)?;
    }
    Ok(())
}

fn hostname(wanted: Option<&str>) -> io::Result<()> {
    let name = match wanted {
        Some(name) => name.to_owned(),
        // What a container is called is its maker's business.
        None if !is_first_of_machine() => return Ok(()),
        None => fs::read_to_string("/etc/hostname").unwrap_or_default(),
    };
    let name = name.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let Some(name) = name.filter(|name| rustix::system::uname().nodename().to_bytes() != name.as_bytes())
    else {
        return Ok(());
    };
    Ok(rustix::system::sethostname(name.as_bytes())?)
}
