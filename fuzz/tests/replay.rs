//! Replays every corpus, so that a fault once found stays found.

use std::fs;
use std::path::Path;

use lunix_fuzz::TARGETS;

#[test]
fn every_input_of_every_corpus() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, target) in TARGETS {
        let corpus = root.join("corpus").join(name);
        let entries = fs::read_dir(&corpus).unwrap_or_else(|e| panic!("{}: {e}", corpus.display()));
        let mut inputs = 0;
        for entry in entries {
            let path = entry.expect("a directory entry").path();
            // The name is printed first: a failing test shows which input it was.
            println!("{}", path.display());
            target(&fs::read(&path).expect("a readable input"));
            inputs += 1;
        }
        assert!(inputs > 0, "{name}: the corpus is empty");
        target(b"");
        assert!(root.join("fuzz_targets").join(name).with_extension("rs").exists(), "{name}: no program");
    }
}

#[test]
fn every_corpus_has_its_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in fs::read_dir(root.join("corpus")).expect("the corpora") {
        let name = entry.expect("a directory entry").file_name();
        assert!(TARGETS.iter().any(|(target, _)| name == *target), "{name:?}: no such target");
    }
}
