//! `cargo xtask screenshots`: the pictures of the page that the documentation shows.

use std::process::Command;

use anyhow::Result;

use crate::server::Server;
use crate::{paths, setup, shell};

/// Makes `docs/page-*.png` anew.
pub fn run() -> Result<()> {
    setup::need(setup::SCREENSHOTS)?;
    shell::run(shell::cargo().args(["build", "--package", "lunix", "--package", "lunix-bridge"]))?;
    let server = Server::start(&paths::target().join("debug/lunix"))?;
    server.join(&paths::target().join("debug/lunix-bridge"))?;
    let docs = paths::root().join("docs");
    shell::run(server.command(&paths::root().join("tests/page/run.sh"))?.arg("--screenshots").arg(&docs))?;
    for entry in docs.read_dir()? {
        let file = entry?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("page-") && name.ends_with(".png") {
            shell::run(
                Command::new("pngquant")
                    .args(["--force", "--strip", "--speed", "1", "--ext", ".png", "64"])
                    .arg(&file),
            )?;
        }
    }
    Ok(())
}
