//! The index of traps in README.md names tests that are there.

use std::fs;
use std::path::Path;

#[test]
fn every_test_of_the_index_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let Ok(index) = fs::read_to_string(folder.join("README.md")) else {
        println!("SKIP: every_test_of_the_index_is_there: the source tree is not here");
        return;
    };
    let mut traps = Vec::new();
    for line in index.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| the trap")) {
        traps.push(line[2..].split('.').next().unwrap().parse::<u32>().unwrap());
        let named = line.split('`').filter_map(|word| word.split_once("::"));
        // Those of another crate are its own index's.
        for (file, test) in named.take(if line.contains("becket-sys") { 2 } else { usize::MAX }) {
            let source = folder.join(file).with_extension("rs");
            let source = fs::read_to_string(source).unwrap_or_else(|e| panic!("{file}: {e}"));
            assert!(source.contains(&format!("fn {test}(")), "{file}::{test} is not there");
        }
    }
    assert_eq!(traps, Vec::from_iter(1..=26));
}
