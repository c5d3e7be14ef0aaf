//! The index of tests in README.md names tests that are there, and all tests count descriptors.

#[path = "common/descriptors.rs"]
mod descriptors;

use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    if !folder.join("README.md").exists() {
        println!("SKIP: the source tree is not here");
        return None;
    }
    Some(folder)
}

#[test]
fn every_test_program_counts_descriptors() {
    let Some(folder) = folder() else { return };
    let sources = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    // A program is a file, or a folder with a main file.
    let programs = sources.map(|path| if path.is_dir() { path.join("main.rs") } else { path });
    let programs: Vec<_> = programs.filter(|path| path.extension() == Some("rs".as_ref()) && path.exists()).collect();
    assert!(programs.len() > 50, "{}", programs.len());
    for program in programs {
        let source = fs::read_to_string(&program).unwrap();
        assert!(source.contains("\nmod descriptors;\n"), "{} does not count", program.display());
    }
}

#[test]
fn every_test_of_the_index_is_there() {
    let Some(folder) = folder() else { return };
    let index = fs::read_to_string(folder.join("README.md")).unwrap();
    let named: Vec<_> = index.split('`').filter_map(|word| word.split_once("::")).collect();
    assert!(named.len() > 50, "{}", named.len());
    for (file, test) in named {
        let source =
            fs::read_to_string(folder.join(file).with_extension("rs")).unwrap_or_else(|e| panic!("{file}: {e}"));
        let (function, listed) = (format!("fn {test}()"), format!("\"{test}\""));
        assert!(source.contains(&function) || source.contains(&listed), "{file}::{test} is not there");
    }
}
