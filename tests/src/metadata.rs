//! What cargo knows of the workspace.

use crate::examples::workspace;
use serde_json::Value;
use std::env;
use std::ffi::OsString;
use std::process::Command;

/// `cargo metadata` of the members, without their dependencies' own.
pub fn load() -> Value {
    let mut command = Command::new(cargo());
    command.args(["metadata", "--format-version=1", "--no-deps", "--offline"]).current_dir(workspace());
    let output = command.output().expect("cargo metadata");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

/// The cargo that runs this test, or that of the `PATH`.
pub fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
