//! The corpora, without a fuzzer.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Target;

/// The files below a folder, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files
}

fn run_all(target: Target, folder: &str) {
    let files = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    assert!(!files.is_empty(), "{folder}");
    for file in files {
        let bytes = fs::read(&file).unwrap();
        // The name of the one that panics.
        println!("{}", file.display());
        target.run(&bytes);
    }
}

#[test]
fn every_corpus_is_read_without_a_finding() {
    for target in Target::ALL {
        run_all(target, &format!("corpus/{}", target.name()));
    }
}

#[test]
fn what_the_project_has_for_examples_is_read_too() {
    run_all(Target::Frame, "../../common/corpus");
    run_all(Target::Router, "../../agent/examples");
    run_all(Target::Keepalived, "../../agent/golden/neutron");
    run_all(Target::Keepalived, "../../agent/golden/plain");
}
