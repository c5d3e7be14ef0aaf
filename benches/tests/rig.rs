//! The programs that measure are Python; their tests run with the others.

use std::io::ErrorKind;
use std::process::Command;

#[test]
fn what_is_computed_from_measurements() {
    let mut python = Command::new("python3");
    let tests = python.args(["-B", "-m", "unittest", "-b", "test_rig"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    match tests.output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(e) if e.kind() == ErrorKind::NotFound => println!("SKIP: there is no python3"),
        Err(e) => panic!("python3: {e}"),
    }
}
