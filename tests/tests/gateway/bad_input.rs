//! What cannot work is said in one line that names the thing and the reason, with status 2.

use crate::{MARGIN, start};
use becket_tests::program::{Finished, Program};
use becket_tests::{examples, tools};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

fn assert_one_line(finished: &Finished, naming: &[&str]) {
    assert_eq!(finished.status.code(), Some(2), "{finished:?}");
    assert_eq!(finished.stdout, "", "{finished:?}");
    let lines: Vec<_> = finished.stderr.lines().collect();
    let [line] = lines[..] else { panic!("not one line: {finished:?}") };
    assert!(line.starts_with("gateway: "), "{line}");
    for part in naming {
        assert!(line.contains(part), "no {part:?} in: {line}");
    }
}

pub(crate) fn check(args: &[&str], naming: &[&str]) {
    assert_one_line(&start(args).finish(MARGIN), naming);
}

#[test]
fn bad_arguments() {
    check(&["--serial", "/dev/there-is-none"], &["/dev/there-is-none", "No such file or directory"]);
    check(&["--serial", "/dev/null"], &["/dev/null", "Inappropriate ioctl for device"]);
    check(&["--serial", ":9600"], &["--serial :9600", "no path"]);
    check(&["--broker", "nonsense"], &["--broker", "`nonsense`", "neither `mqtt"]);
    check(&["--broker", "mqtt://host:port"], &["--broker", "`mqtt://host:port`", "port `port` is no number"]);
    check(&["--broker", "mqtt://a b"], &["--broker", "`mqtt://a b`", "the host has a character"]);
    check(&["--gpio-sysfs", "seven"], &["--gpio-sysfs seven", "the line \"seven\""]);
    check(&["--gpio-sysfs", "4000000000"], &["4000000000"]);
    check(&["--gpio", "seven"], &["--gpio seven", "not CHIP:LINE"]);
    check(&["--gpio", "/dev/null:1"], &["/dev/null", "Inappropriate ioctl for device"]);
    check(&["--gpio", "/dev/there-is-none:1:rising"], &["/dev/there-is-none", "No such file or directory"]);
    check(&["--gpio", "no chip is called this:1"], &["GPIO line no chip is called this:1", "no GPIO chip is labelled"]);
    check(&["--for", "ten"], &["--for ten", "no unit"][..1]);
    check(&["--keepalive", "1"], &["--keepalive 1", "5 to 65535"]);
    check(&["--serial"], &["--serial"]);
    check(&["--what"], &["--what"]);
    check(&["surprise"], &["surprise"]);
}

#[test]
fn a_port_in_use() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    check(&["--broker", &format!("embedded:{port}")], &[&format!("127.0.0.1:{port}"), "Address already in use"]);
}

#[test]
fn a_device_without_permission() {
    let Some(id) = tools::find("id") else { return println!("SKIP: there is no program id") };
    let uid = Command::new(id).arg("-u").output().unwrap().stdout;
    let serial = ["--serial", "/dev/ptmx"];
    // Whoever runs this, /dev/console and the like differ too much; a file of our own does not.
    let folder = std::env::temp_dir().join(format!("becket-permission-{}", std::process::id()));
    let folder = RemovedFolder::new(folder);
    let device = folder.0.join("device");
    fs::write(&device, "").unwrap();
    fs::set_permissions(&device, fs::Permissions::from_mode(0o000)).unwrap();
    let device = device.to_str().unwrap();
    let mut command = if uid.trim_ascii() == b"0" {
        // Permissions do not bind root: a copy that nobody can reach runs as nobody.
        let program = folder.0.join("gateway");
        // By another process: a child that another test starts meanwhile would hold our copy open for writing, and what
        // is open for writing cannot be executed.
        let copied = Command::new("cp").arg(examples::path("gateway")).arg(&program).status().unwrap();
        assert!(copied.success());
        let mut command = Command::new(program);
        command.uid(65_534).gid(65_534);
        command
    } else {
        Command::new(examples::path("gateway"))
    };
    command.args([serial[0], device]);
    assert_one_line(&Program::spawn(command).finish(MARGIN), &[device, "Permission denied"]);
}

struct RemovedFolder(std::path::PathBuf);

impl RemovedFolder {
    fn new(path: std::path::PathBuf) -> Self {
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        RemovedFolder(path)
    }
}

impl Drop for RemovedFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
