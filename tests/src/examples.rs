//! The example programs, built.

use crate::metadata;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The path of the example program `name`, built for the same profile as the running test.
///
/// scripts/test builds them all beforehand and says so in `BECKET_EXAMPLES`; else this asks cargo once a process.
pub fn path(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = || env::var_os("BECKET_EXAMPLES").map_or_else(|| build(&["--examples"]), PathBuf::from);
    let file = FOLDER.get_or_init(folder).join(name);
    assert!(file.is_file(), "there is no example program {}", file.display());
    file
}

/// The path of the example program `name`, which is built only with the feature `feature`: now, or by scripts/test.
pub fn path_with(feature: &str, name: &str) -> PathBuf {
    let folder = env::var_os("BECKET_EXAMPLES").map(PathBuf::from);
    let built = folder.map(|folder| folder.join(name)).filter(|file| file.is_file());
    built.unwrap_or_else(|| build(&["--example", name, "--features", feature]).join(name))
}

/// Has cargo build `what`, and returns the folder of the examples.
fn build(what: &[&str]) -> PathBuf {
    // TARGET/PROFILE/deps/TEST-HASH
    let test = env::current_exe().expect("the path of the test");
    let profile = test.ancestors().nth(2).expect("a profile's folder");
    let release = profile.file_name().is_some_and(|name| name == "release");
    let mut cargo = Command::new(metadata::cargo());
    cargo.args(["build", "--quiet", "--package", "becket-examples"]).args(what);
    cargo.args(release.then_some("--release"));
    cargo.arg("--target-dir").arg(profile.parent().expect("a target folder"));
    let status = cargo.current_dir(workspace()).status().expect("cargo build");
    assert!(status.success(), "the example programs do not build");
    profile.join("examples")
}

/// The top folder of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace")
}
