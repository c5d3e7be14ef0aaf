//! The index of tests in README.md names tests that are there.

use std::fs;
use std::path::Path;

#[test]
fn every_test_of_the_index_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let Ok(index) = fs::read_to_string(folder.join("README.md")) else {
        println!("SKIP: the source tree is not here");
        return;
    };
    let named: Vec<_> = index.split('`').filter_map(|word| word.split_once("::")).collect();
    assert!(named.len() > 50, "{}", named.len());
    for (file, test) in named {
        let source =
            fs::read_to_string(folder.join(file).with_extension("rs")).unwrap_or_else(|e| panic!("{file}: {e}"));
        let (function, listed) = (format!("fn {test}()"), format!("\"{test}\""));
        assert!(source.contains(&function) || source.contains(&listed), "{file}::{test} is not there");
    }
}
