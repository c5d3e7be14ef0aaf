//! What goes to crates.io: each of the four packages, with what it should have and nothing else.

use becket_tests::{examples::workspace, metadata};
use serde_json::Value;
use std::fs;
use std::process::Command;

/// The packages, and their folders.
const PACKAGES: [(&str, &str); 4] =
    [("becket-sys", "sys"), ("becket-loop", "loop"), ("becket-fiber", "fiber"), ("becket-mosquitto", "mosquitto-glue")];

fn package<'a>(metadata: &'a Value, name: &str) -> &'a Value {
    metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == name).unwrap()
}

#[test]
fn a_package_has_its_sources_examples_licences_and_nothing_else() {
    // What cargo adds, and what the unit tests of sys share with its other tests.
    let beside = [".cargo_vcs_info.json", "Cargo.lock", "Cargo.toml", "Cargo.toml.orig", "tests/common/descriptors.rs"];
    let must = ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "src/lib.rs"];
    for (name, _) in PACKAGES {
        let mut cargo = Command::new(metadata::cargo());
        cargo.args(["package", "--quiet", "--list", "--allow-dirty", "--offline", "--package", name]);
        let output = cargo.current_dir(workspace()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let list = String::from_utf8(output.stdout).unwrap();
        for file in must {
            assert!(list.lines().any(|line| line == file), "{name} lacks {file}");
        }
        let ours = |line: &str| line == "build.rs" || line.starts_with("src/") || line.starts_with("examples/");
        for line in list.lines().filter(|line| !must.contains(line) && !beside.contains(line)) {
            assert!(ours(line), "{name} would have {line}");
        }
    }
}

#[test]
fn every_package_says_what_it_is_and_others_stay_here() {
    let metadata = metadata::load();
    for package in metadata["packages"].as_array().unwrap() {
        let ours = PACKAGES.iter().any(|(name, _)| package["name"] == *name);
        // `publish = false` comes out as an empty list of registries.
        assert_eq!(package["publish"].is_null(), ours, "{}", package["name"]);
        for key in ["description", "license", "rust_version"].into_iter().chain(ours.then_some("readme")) {
            assert!(package[key].is_string(), "{} has no {key}", package["name"]);
        }
    }
}

#[test]
fn every_feature_is_explained() {
    let metadata = metadata::load();
    for (name, folder) in PACKAGES {
        let features = package(&metadata, name)["features"].as_object().unwrap();
        let read = |file: &str| fs::read_to_string(workspace().join(folder).join(file)).unwrap();
        let pages = [read("README.md"), read("src/lib.rs")];
        for feature in features.keys().filter(|feature| *feature != "default") {
            for page in &pages {
                assert!(page.contains(&format!("| `{feature}`")), "{name}: no row of a table for `{feature}`:\n{page}");
            }
        }
    }
}
