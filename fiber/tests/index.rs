//! The index of rules in README.md names tests that are there, and one for each rule that bears its number.

use std::fs;
use std::path::Path;

#[test]
fn every_test_of_the_index_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let Ok(index) = fs::read_to_string(folder.join("README.md")) else {
        println!("SKIP: every_test_of_the_index_is_there: the source tree is not here");
        return;
    };
    let mut rules = Vec::new();
    for line in index.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| the rule")) {
        let rule = line[2..].split('.').next().unwrap().parse::<u32>().unwrap();
        rules.push(rule);
        let mut named = line.split('`').filter_map(|word| word.split_once("::")).peekable();
        assert!(named.peek().unwrap().1.starts_with(&format!("rule_{rule:02}_")), "rule {rule}");
        for (file, test) in named {
            let source = fs::read_to_string(folder.join(file).with_extension("rs"));
            let source = source.unwrap_or_else(|e| panic!("{file}: {e}"));
            assert!(source.contains(&format!("fn {test}(")), "{file}::{test} is not there");
        }
    }
    assert_eq!(rules, Vec::from_iter(1..=13));
}
