//! The list of all examples, examples/README.md.

use becket_tests::examples::workspace;
use becket_tests::metadata::{self, Example};
use std::collections::BTreeSet;
use std::fs;

/// What an example's head says first: its first paragraph to the end of the first sentence.
fn sentence(example: &Example) -> String {
    let text = fs::read_to_string(&example.file).expect("the text of an example");
    let head = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let paragraph = head.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let paragraph = paragraph.split(" Run it ").next().unwrap_or_default();
    let paragraph = paragraph.split(" `cargo run").next().unwrap_or_default();
    paragraph.split_inclusive(". ").next().unwrap_or_default().trim_end().to_owned()
}

/// Where it is, from examples/README.md on.
fn place(example: &Example) -> String {
    let file = example.file.strip_prefix(workspace()).expect("an example in the workspace").display().to_string();
    file.strip_prefix("examples/").map_or_else(|| format!("../{file}"), str::to_owned)
}

#[test]
fn every_example_is_there_once_with_what_it_says_of_itself() {
    let list = fs::read_to_string(workspace().join("examples/README.md")).expect("the list");
    // The first table is of wishes.
    let (_, list) = list.split_once("\n## ").expect("sections");
    let rows: Vec<&str> = list.lines().filter(|line| line.starts_with("| [")).collect();
    let examples = metadata::examples();
    let mut wrong = Vec::new();
    for example in &examples {
        let package = example.package.trim_start_matches("becket-");
        let wanted = format!("| [`{}`]({}) | {package} | {} |", example.name, place(example), sentence(example));
        match rows.iter().filter(|row| row.starts_with(&wanted)).collect::<Vec<_>>()[..] {
            [row] => wrong.extend(
                example
                    .features
                    .iter()
                    .filter(|feature| !row.contains(&format!("`--features {feature}`")))
                    .map(|feature| format!("{row}\n  does not name the feature {feature}")),
            ),
            _ => wrong.push(format!("{wanted} ...\n  is not there, once")),
        }
    }
    assert!(wrong.is_empty(), "examples/README.md:\n{}", wrong.join("\n"));
    assert_eq!(rows.len(), examples.len(), "a row of an example that is not there");
}

/// cargo puts all of them into one folder.
#[test]
fn no_two_examples_have_one_name() {
    let mut seen = BTreeSet::new();
    for example in metadata::examples() {
        assert!(seen.insert(example.name.clone()), "{} is there twice", example.name);
    }
}
