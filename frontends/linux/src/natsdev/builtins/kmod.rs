//! `kmod load`: loads the modules that drive the device, or those that are named.
//!
//! The kernel unpacks compressed modules itself (`CONFIG_MODULE_DECOMPRESS`); what it cannot unpack is not loaded.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::system::{finit_module, uname};

use super::modules::{Modules, Step};
use super::{Asked, Properties};
use crate::natsdev::rules::evaluate::Writes;

/// The file is compressed (`linux/module.h`).
const COMPRESSED: i32 = 4;

pub(super) fn run(asked: &Asked<'_>) -> io::Result<Option<Properties>> {
    let Some((b"load", names)) = asked.arguments.split_first().map(|(first, rest)| (first.as_slice(), rest))
    else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let alias = asked.property(b"MODALIAS").map(<[u8]>::to_vec);
    let names = if names.is_empty() { alias.into_iter().collect() } else { names.to_vec() };
    // Devices without an alias need none, and kernels without modules have none.
    if names.is_empty() {
        return Ok(Some(Properties::new()));
    }
    let modules = match Modules::read(asked.root, &uname().release().to_string_lossy()) {
        Ok(modules) => modules,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Properties::new())),
        Err(error) => return Err(error),
    };
    let mut wrong = None;
    if asked.writes == Writes::Told {
        return Ok(Some(Properties::new()));
    }
    for step in names.iter().flat_map(|name| modules.plan(name)) {
        // Of several that drive the same device, one that fails does not keep the others away.
        if let Err(error) = load(&step) {
            wrong = Some(io::Error::new(error.kind(), format!("{}: {error}", step.path.display())));
        }
    }
    wrong.map_or(Ok(Some(Properties::new())), Err)
}

fn load(step: &Step) -> io::Result<()> {
    let file = File::open(&step.path)?;
    let options = CString::new(step.options.as_slice()).unwrap_or_default();
    let compressed = is_compressed(&step.path);
    match finit_module(&file, &options, if compressed { COMPRESSED } else { 0 }) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(Errno::INVAL | Errno::OPNOTSUPP) if compressed => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the kernel does not unpack it (CONFIG_MODULE_DECOMPRESS)",
        )),
        Err(error) => Err(error.into()),
    }
}

fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension != "ko")
}
