//! Programs of the machine that a test may use or do without.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// Where `tool` is, or `None` after having printed a line that starts with `SKIP: `.
///
/// # Panics
/// Where it is missing though the environment says `CI=true`: there it can be installed, and no test may be
/// skipped for the lack of it.
pub fn find_or_skip(tool: &str) -> Option<PathBuf> {
    let found = find(tool);
    if found.is_none() {
        assert!(env::var("CI").as_deref() != Ok("true"), "{tool} is not installed, and CI must run this test");
        println!("SKIP: {tool} is not installed");
    }
    found
}

/// Whether the headers of `library` are here; else it prints a line that starts with `SKIP: `.
///
/// # Panics
/// As [`find_or_skip`].
pub fn has_headers_or_skip(library: &str) -> bool {
    let Some(pkg_config) = find_or_skip("pkg-config") else { return false };
    let found = Command::new(pkg_config).args(["--exists", library]).status().is_ok_and(|status| status.success());
    if !found {
        assert!(env::var("CI").as_deref() != Ok("true"), "the headers of {library} are missing");
        println!("SKIP: the headers of {library} are not installed");
    }
    found
}

/// Where `tool` is: in the `PATH`, or where Debian keeps daemons.
pub fn find(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(daemons).map(|dir| dir.join(tool)).find(|file| file.is_file())
}
