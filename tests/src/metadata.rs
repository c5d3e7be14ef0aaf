//! What cargo knows of the workspace.

use crate::examples::workspace;
use serde_json::Value;
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// `cargo metadata` of the members, without their dependencies' own.
pub fn load() -> Value {
    let mut command = Command::new(cargo());
    command.args(["metadata", "--format-version=1", "--no-deps", "--offline"]).current_dir(workspace());
    let output = command.output().expect("cargo metadata");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

/// An example of one of the members.
#[derive(Debug)]
pub struct Example {
    /// The name of its package.
    pub package: String,
    /// Its own.
    pub name: String,
    /// The file with its `main`.
    pub file: PathBuf,
    /// The features of its package that it needs.
    pub features: Vec<String>,
}

/// All examples of the workspace.
pub fn examples() -> Vec<Example> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut examples = Vec::new();
    for package in list(&load()["packages"]) {
        for target in list(&package["targets"]).iter().filter(|target| target["kind"][0] == "example") {
            examples.push(Example {
                package: text(&package["name"]),
                name: text(&target["name"]),
                file: text(&target["src_path"]).into(),
                features: list(&target["required-features"]).iter().map(text).collect(),
            });
        }
    }
    examples
}

/// The cargo that runs this test, or that of the `PATH`.
pub fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
