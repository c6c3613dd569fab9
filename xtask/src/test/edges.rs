//! The one direction: `uevent`, `proto` <- `core` <- `frontends/*` <- `targets/*`. Nothing points back.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use super::gate::Run;
use crate::{paths, shell};

/// Which of our packages a package may depend on. One that is not listed may depend on none.
const ALLOWED: &[(&str, &[&str])] = &[
    ("lunix-core", &["lunix-uevent", "lunix-proto"]),
    ("lunix", &["lunix-uevent", "lunix-proto", "lunix-core", "lunix-inject"]),
    // What daemons are made of: command line, configuration, log, the bus. It takes no daemon from there.
    ("lunix-bridge", &["lunix-proto", "lunix-core", "lunix"]),
    ("lunix-inject", &["lunix-uevent"]),
    ("lunix-fuzz", &["lunix-uevent", "lunix-proto", "lunix-core", "lunix", "lunix-bridge"]),
    ("lunix-bench", &["lunix-uevent", "lunix-proto", "lunix-core", "lunix-inject"]),
    ("no-alloc-link", &["lunix-uevent", "lunix-proto", "lunix-core"]),
    ("lm3s6965", &["lunix-proto", "lunix-core"]),
    ("boot-loader", &["lunix-core"]),
    // For completions and man pages, behind a feature.
    ("xtask", &["lunix", "lunix-bridge", "lunix-core"]),
];

/// Packages that everyone may take without taking anything else.
const WITHOUT_DEPENDENCIES: &[&str] = &["lunix-uevent"];

/// The manifests of all our workspaces.
pub(super) fn manifests() -> Result<Vec<PathBuf>> {
    let root = paths::root();
    let mut found =
        vec![root.join("Cargo.toml"), root.join("fuzz/Cargo.toml"), root.join("bench/Cargo.toml")];
    for folder in ["targets", "examples", "tests/interop"] {
        let Ok(entries) = root.join(folder).read_dir() else { continue };
        let mut inside: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path().join("Cargo.toml")).collect();
        inside.sort();
        found.append(&mut inside);
    }
    found.retain(|manifest| manifest.exists());
    Ok(found)
}

pub(super) fn check(run: &mut Run) -> Result<()> {
    let mut packages = Vec::new();
    for manifest in manifests()? {
        let text = shell::read(
            shell::cargo()
                .args(["metadata", "--format-version=1", "--no-deps", "--manifest-path"])
                .arg(&manifest),
        )?;
        let metadata: Value = serde_json::from_str(&text).context("cargo metadata")?;
        packages.extend(metadata["packages"].as_array().into_iter().flatten().cloned());
    }
    for wrong in violations(&packages) {
        run.fail("edges", &wrong);
    }
    run.write(&format!("{} packages", packages.len()));
    Ok(())
}

/// What a list of packages, as `cargo metadata` has them, breaks of the rules above.
fn violations(packages: &[Value]) -> Vec<String> {
    let ours: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let allowed = ALLOWED.iter().find(|(from, _)| *from == name).map_or(&[][..], |(_, to)| to);
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            if ours.contains(&to) && !allowed.contains(&to) {
                wrong.push(format!("{name} depends on {to}, which points the wrong way"));
            }
            if WITHOUT_DEPENDENCIES.contains(&name) && dependency["kind"].is_null() {
                wrong.push(format!("{name} depends on {to}, and has to depend on nothing"));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wrong_edge_is_named() {
        let packages = [
            json!({ "name": "lunix-uevent", "dependencies": [{ "name": "proptest", "kind": "dev" }] }),
            json!({ "name": "lunix-proto", "dependencies": [{ "name": "lunix-core", "kind": "dev" }] }),
            json!({ "name": "lunix-core", "dependencies": [{ "name": "lunix-proto", "kind": null }] }),
        ];
        assert_eq!(violations(&packages), ["lunix-proto depends on lunix-core, which points the wrong way"]);
    }
}
