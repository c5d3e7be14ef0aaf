//! Programs of the machine that a test may use or do without.

use std::env;
use std::path::PathBuf;

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

/// Where `tool` is: in the `PATH`, or where Debian keeps daemons.
pub fn find(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(daemons).map(|dir| dir.join(tool)).find(|file| file.is_file())
}
