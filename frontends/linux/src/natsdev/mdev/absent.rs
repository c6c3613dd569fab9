//! No `mdev.conf` in this program: the Cargo feature `mdev` is off.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use super::device::{Device, Root};
use super::rules::evaluate::{NoTime, Time};
use crate::config::{Mistake, Mistakes};

/// There is none.
#[derive(Clone, Copy, Debug)]
pub(super) enum Conf {}

impl Conf {
    pub(super) fn read(path: &Path, _: &Root) -> Result<Self, Mistakes> {
        Err(Mistake::of_file(path, &"this natsdev was made without mdev.conf").into())
    }

    pub(super) fn lines(&self) -> usize {
        match *self {}
    }

    pub(super) fn handle(
        &self,
        _: &Root,
        _: bool,
        _: &Device,
        _: Time,
        _: &mut dyn FnMut(&str, io::Error),
    ) -> Result<(), NoTime> {
        match *self {}
    }

    pub(super) fn test(&self, _: &Root, _: &[u8], _: &str, _: bool) -> io::Result<ExitCode> {
        match *self {}
    }
}
