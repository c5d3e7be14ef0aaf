//! Serial ports and other users. Apart from the other tests, whose locks a program that is being started would hold
//! for a moment.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::pty::Controller;
use becket_sys::serial::Port;
use std::fs::{self, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

#[test]
fn users_without_privilege_cannot_open_a_port_in_exclusive_use() {
    if !rustix::process::geteuid().is_root() {
        println!(
            "SKIP: users_without_privilege_cannot_open_a_port_in_exclusive_use: only root can act for another user"
        );
        return;
    }
    let controller = Controller::open().unwrap();
    let path = controller.terminal_path().unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let nobody_opens = || {
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec 3<>\"$0\""]).arg(&path).uid(65534).gid(65534);
        shell.output().unwrap().status.success()
    };
    assert!(nobody_opens());
    let port = Port::open(&path, 9600).unwrap();
    assert!(!nobody_opens());
    drop(port);
    assert!(nobody_opens(), "the mark outlived the port");
    drop(OwnedFd::from(Port::open(&path, 9600).unwrap()));
    assert!(!nobody_opens(), "given away, the descriptor keeps its mark");
}
