//! Knowledge flows one way: sys <- loop <- fiber, and mosquitto over loop, with fiber as an optional feature.

use becket_tests::{examples::workspace, metadata};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which of our crates a crate may depend on: always, and beside that as an option.
const ARROWS: [(&str, &[&str], &[&str]); 4] = [
    ("becket-sys", &[], &[]),
    ("becket-loop", &["becket-sys"], &[]),
    ("becket-fiber", &["becket-sys", "becket-loop"], &[]),
    ("becket-mosquitto", &["becket-sys", "becket-loop"], &["becket-fiber"]),
];

fn package<'a>(metadata: &'a Value, name: &str) -> &'a Value {
    let mut packages = metadata["packages"].as_array().unwrap().iter();
    packages.find(|package| package["name"] == name).unwrap_or_else(|| panic!("no package {name}"))
}

fn dependencies(package: &Value) -> impl Iterator<Item = &Value> {
    package["dependencies"].as_array().unwrap().iter()
}

#[test]
fn no_arrow_turns_round() {
    let metadata = metadata::load();
    for (name, always, optional) in ARROWS {
        for dependency in dependencies(package(&metadata, name)) {
            let on = dependency["name"].as_str().unwrap();
            if !on.starts_with("becket-") {
                continue;
            }
            // What only the crate's own tests use may be what it may use as an option.
            let as_option = dependency["optional"] == true || dependency["kind"] == "dev";
            assert!(
                always.contains(&on) || (as_option && optional.contains(&on)),
                "{name} must not depend on {on} ({dependency})"
            );
        }
    }
}

#[test]
fn the_optional_arrow_is_off_by_default() {
    let metadata = metadata::load();
    let features = &package(&metadata, "becket-mosquitto")["features"];
    let default = features["default"].as_array().unwrap();
    assert!(default.iter().all(|feature| feature != "fiber"), "{default:?}");
}

#[test]
fn the_table_of_arrows_names_every_crate() {
    let metadata = metadata::load();
    let crates = metadata["packages"].as_array().unwrap().iter().map(|package| package["name"].as_str().unwrap());
    let programs = ["becket-examples", "becket-libraries", "becket-tests", "becket-benches", "becket-guide"];
    let not_programs = crates.filter(|name| !programs.contains(name));
    assert_eq!(not_programs.collect::<BTreeSet<_>>(), ARROWS.map(|(name, ..)| name).into());
}

#[test]
fn every_dependency_is_in_the_architecture_page() {
    let metadata = metadata::load();
    let page = fs::read_to_string(workspace().join("ARCHITECTURE.md")).unwrap();
    for package in metadata["packages"].as_array().unwrap() {
        for dependency in dependencies(package) {
            let on = dependency["name"].as_str().unwrap();
            assert!(
                page.contains(&format!("`{on}`")),
                "ARCHITECTURE.md gives no reason for `{on}` of {}",
                package["name"]
            );
        }
    }
}

/// The files below `folder`, with their code: comments and doc aliases left out.
fn code(folder: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![workspace().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.lines().map(|line| line.split("//").next().unwrap());
                let code = code.filter(|line| !line.trim_start().starts_with("#[doc("));
                files.push((path, code.collect::<Vec<_>>().join("\n")));
            }
        }
    }
    assert!(!files.is_empty(), "{folder} holds no source");
    files
}

/// The files whose code has `word` as a whole word.
fn naming<'a>(files: &'a [(PathBuf, String)], word: &str) -> Vec<&'a Path> {
    let has = |code: &str| code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word);
    files.iter().filter(|(_, code)| has(code)).map(|(path, _)| path.as_path()).collect()
}

#[test]
fn only_the_context_module_of_the_fibers_names_generator_and_corosensei() {
    let files = code("fiber/src");
    for engine in ["generator", "corosensei"] {
        for path in naming(&files, engine) {
            let path = path.strip_prefix(workspace().join("fiber/src")).unwrap();
            assert!(path.starts_with("context"), "{} names {engine}", path.display());
        }
    }
}

#[test]
fn only_the_backends_of_the_loop_name_linux_types() {
    let files = code("loop/src");
    for word in ["epoll", "EventFlags", "PollFlags", "RawFd", "AsRawFd", "libc"] {
        for path in naming(&files, word) {
            let path = path.strip_prefix(workspace().join("loop/src")).unwrap();
            assert!(path.starts_with("backend"), "{} names {word}", path.display());
        }
    }
}
