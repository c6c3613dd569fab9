//! Finds every public function of the library crates and writes a reference to it.
//!
//! It reads the sources as rustfmt leaves them: `impl` and free functions begin in the first column, methods in the fifth.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [(&str, &str); 3] =
    [("lunix_core", "core"), ("lunix_proto", "proto"), ("lunix_uevent", "uevent")];

fn main() {
    let here = PathBuf::from(env("CARGO_MANIFEST_DIR"));
    let root = here.join("../..");
    let generic = fs::read_to_string(here.join("src/generic.rs")).expect("src/generic.rs");
    println!("cargo::rerun-if-changed=src/generic.rs");
    let by_hand: BTreeSet<String> = generic
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("// = "))
        .map(str::to_owned)
        .collect();
    let types: BTreeMap<String, String> = generic
        .lines()
        .filter_map(|line| line.strip_prefix("// : ")?.split_once(" = "))
        .map(|(path, arguments)| (path.to_owned(), arguments.to_owned()))
        .collect();

    let mut found = Found::default();
    for (name, folder) in CRATES {
        let folder = root.join(folder).join("src");
        println!("cargo::rerun-if-changed={}", folder.display());
        found.module(name, &folder.join("lib.rs"), &folder, true);
    }

    let mut references = String::new();
    let mut missing = Vec::new();
    let mut used = BTreeSet::new();
    for function in &found.functions {
        let written = format!("{}::{}", function.owner, function.name);
        // A free function is seen by itself, a method with its type.
        let path = if found.modules.contains(&function.owner) {
            found.public_path(&written).and_then(|path| Some(path.rsplit_once("::")?.0.to_owned()))
        } else {
            found.public_path(&function.owner)
        };
        let key = path.as_ref().map_or(written, |path| format!("{path}::{}", function.name));
        if by_hand.contains(&key) {
            used.insert(key);
            continue;
        }
        let arguments = types.get(path.as_deref().unwrap_or_default());
        match (path, arguments) {
            (Some(path), Some(arguments)) if !function.generic => {
                references
                    .push_str(&format!("    one({path}::<{arguments}>::{} as *const ());\n", function.name));
            }
            (Some(_), None) if !function.generic && !function.generic_owner => {
                references.push_str(&format!("    one({key} as *const ());\n"));
            }
            _ => missing.push(key),
        }
    }
    let stale: Vec<&String> = by_hand.difference(&used).collect();
    assert!(missing.is_empty(), "to be added to src/generic.rs: {missing:#?}");
    assert!(stale.is_empty(), "in src/generic.rs and nowhere else: {stale:#?}");

    let count = references.lines().count();
    let text = format!(
        "/// Every public function that is not generic: {count}.\nfn references() {{\n{references}}}\n"
    );
    fs::write(Path::new(&env("OUT_DIR")).join("references.rs"), text).expect("references.rs");
}

fn env(name: &str) -> String {
    std::env::var(name).expect(name)
}

struct Function {
    /// The module or type that it is in, by where it is written.
    owner: String,
    name: String,
    /// It has type parameters of its own, or is made by a macro.
    generic: bool,
    /// Its type has type or constant parameters.
    generic_owner: bool,
}

#[derive(Default)]
struct Found {
    functions: Vec<Function>,
    modules: BTreeSet<String>,
    public_modules: BTreeSet<String>,
    /// Where types are written that are seen there.
    types: BTreeSet<String>,
    /// What is exported: where it is written, where it is seen.
    exports: BTreeMap<String, String>,
}

impl Found {
    fn module(&mut self, path: &str, file: &Path, folder: &Path, public: bool) {
        self.modules.insert(path.to_owned());
        if public {
            self.public_modules.insert(path.to_owned());
        }
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut owner = Some((path.to_owned(), false));
        let mut in_macro = false;
        let mut attributes = String::new();
        for (number, line) in text.lines().enumerate() {
            let statement = |end: &[char]| -> String {
                let rest: String = text.lines().skip(number).flat_map(|line| [line, " "]).collect();
                rest.split(end).next().unwrap_or_default().to_owned()
            };
            if line.starts_with("#[") {
                attributes.push_str(line);
                continue;
            }
            let for_tests = std::mem::take(&mut attributes).contains("cfg(test)");
            if for_tests && line.ends_with('{') {
                // Tests in the file are its end.
                break;
            }
            if let Some(module) = line.strip_suffix(';').and_then(|line| {
                line.strip_prefix("pub mod ")
                    .map(|name| (name, true))
                    .or(line.strip_prefix("mod ").map(|name| (name, false)))
            }) {
                let (name, is_public) = module;
                let (flat, nested) = (folder.join(name).with_extension("rs"), folder.join(name));
                let file = if flat.exists() { flat } else { nested.join("mod.rs") };
                if !for_tests {
                    self.module(&format!("{path}::{name}"), &file, &nested, public && is_public);
                }
            } else if line.starts_with("pub use ") {
                self.export(path, statement(&[';']).trim_start_matches("pub use "));
            } else if let Some(rest) = line.strip_prefix("pub struct ").or(line.strip_prefix("pub enum ")) {
                let name = rest.split(|char: char| !char.is_alphanumeric()).next().unwrap_or_default();
                self.types.insert(format!("{path}::{name}"));
            } else if line.starts_with("macro_rules!") {
                in_macro = true;
            } else if line.starts_with("impl") && !line.ends_with("{}") {
                owner = implementation(path, &statement(&['{']));
            } else if line.starts_with('}') {
                owner = Some((path.to_owned(), false));
                in_macro = false;
            } else if let Some(name) = function_name(line.trim_start()) {
                let indent = line.len() - line.trim_start().len();
                let signature = statement(&['{', ';']);
                if in_macro {
                    self.functions.push(Function {
                        owner: format!("{path}!"),
                        name,
                        generic: true,
                        generic_owner: true,
                    });
                } else if let (Some((owner, generic_owner)), true) = (&owner, indent == 0 || indent == 4) {
                    self.functions.push(Function {
                        owner: owner.clone(),
                        name,
                        generic: is_generic(&signature),
                        generic_owner: *generic_owner,
                    });
                } else {
                    panic!("{}:{}: a public function where none is expected", file.display(), number + 1);
                }
            }
        }
    }

    /// `pub use module::{Item, Other}` in the module `path`.
    fn export(&mut self, path: &str, tree: &str) {
        let (from, items) = match tree.split_once('{') {
            Some((from, items)) => (from.trim_end_matches(':'), items.trim_end().trim_end_matches('}')),
            None => tree.rsplit_once("::").unwrap_or(("", tree)),
        };
        for item in items.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            self.exports.insert(format!("{path}::{from}::{item}"), format!("{path}::{item}"));
        }
    }

    /// Where something is seen from outside.
    fn public_path(&self, written: &str) -> Option<String> {
        if self.public_modules.contains(written) {
            return Some(written.to_owned());
        }
        if let Some(seen) = self.exports.get(written) {
            return self.public_path(seen);
        }
        let (module, name) = written.rsplit_once("::")?;
        if self.public_modules.contains(module) {
            return Some(written.to_owned());
        }
        // Methods in another module than their type.
        let (above, _) = module.rsplit_once("::")?;
        let seen = format!("{above}::{name}");
        let known = self.types.contains(&seen) || self.exports.values().any(|export| *export == seen);
        known.then(|| self.public_path(&seen)).flatten()
    }
}

/// The type that methods are written for, and whether it has parameters but lifetimes; `None` for traits.
fn implementation(path: &str, header: &str) -> Option<(String, bool)> {
    let mut header = header.trim_start_matches("impl").trim();
    let mut generic = false;
    if header.starts_with('<') {
        let mut depth = 0;
        let end = header.char_indices().find_map(|(at, char)| {
            depth += i32::from(char == '<') - i32::from(char == '>');
            (depth == 0).then_some(at)
        })?;
        generic = header[1..end].split(',').any(|parameter| !parameter.trim().starts_with('\''));
        header = header[end + 1..].trim();
    }
    if header.contains(" for ") {
        return None;
    }
    let name = header.split(['<', ' ']).next()?;
    Some((format!("{path}::{name}"), generic))
}

fn function_name(line: &str) -> Option<String> {
    let rest = line.strip_prefix("pub ")?;
    let rest = rest.strip_prefix("const ").unwrap_or(rest).strip_prefix("fn ")?;
    rest.split(['<', '(']).next().map(str::to_owned)
}

/// Whether a signature has type parameters, named or by `impl` in its arguments.
fn is_generic(signature: &str) -> bool {
    let arguments = signature.rsplit_once(") ->").map_or(signature, |(arguments, _)| arguments);
    let (head, arguments) = arguments.split_once('(').unwrap_or((arguments, ""));
    let parameters = head.split_once('<').map_or("", |(_, parameters)| parameters.trim_end_matches('>'));
    arguments.contains("impl ")
        || parameters
            .split(',')
            .any(|parameter| !parameter.trim().is_empty() && !parameter.trim().starts_with('\''))
}
