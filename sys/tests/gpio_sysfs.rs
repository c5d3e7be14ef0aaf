//! The files of sysfs GPIO, played by a folder, and the readiness of sysfs, played by a control group. What only a real
//! chip shows is in `gpio_sim.rs`.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::gpio::sysfs::{Class, Direction, Edge, Export, Level, Line};
use becket_sys::{Readiness, Ready, wait};
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A folder that goes when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("becket-gpio-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Folder(path)
    }

    /// One with line 7, an input.
    fn with_line() -> Folder {
        let folder = Folder::new();
        let line = folder.0.join("gpio7");
        fs::create_dir(&line).unwrap();
        for (file, text) in [("value", "0\n"), ("direction", "in\n"), ("edge", "none\n"), ("active_low", "0\n")] {
            fs::write(line.join(file), text).unwrap();
        }
        fs::write(folder.0.join("export"), "").unwrap();
        fs::write(folder.0.join("unexport"), "").unwrap();
        folder
    }

    fn chip(&self, base: u32, label: &str, lines: u32) {
        let chip = self.0.join(format!("gpiochip{base}"));
        fs::create_dir(&chip).unwrap();
        fs::write(chip.join("base"), format!("{base}\n")).unwrap();
        fs::write(chip.join("label"), format!("{label}\n")).unwrap();
        fs::write(chip.join("ngpio"), format!("{lines}\n")).unwrap();
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap()
    }

    fn class(&self) -> Class {
        Class::at(&self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_we_export_we_unexport_once() {
    let folder = Folder::with_line();
    let line = folder.class().export(7, None).unwrap();
    assert_eq!((line.export(), line.number()), (Export::Exported, 7));
    assert_eq!((folder.text("export"), folder.text("unexport")), ("7".into(), "".into()));
    drop(line);
    assert_eq!(folder.text("unexport"), "7");

    fs::write(folder.0.join("unexport"), "").unwrap();
    folder.class().export(7, None).unwrap().unexport().unwrap();
    assert_eq!(folder.text("unexport"), "7");
}

#[test]
fn what_others_exported_and_what_is_given_away_stays() {
    let folder = Folder::with_line();
    let line = folder.class().open(7).unwrap();
    assert_eq!(line.export(), Export::AlreadyExported);
    line.unexport().unwrap();
    drop(OwnedFd::from(folder.class().export(7, None).unwrap()));
    assert_eq!(folder.text("unexport"), "");
}

#[test]
fn an_export_that_fails_halfway_is_taken_back() {
    let folder = Folder::with_line();
    fs::remove_file(folder.0.join("gpio7/value")).unwrap();
    let e = folder.class().export(7, None).unwrap_err();
    assert_eq!((e.step(), e.raw_os_error()), ("open", Some(libc::ENOENT)));
    assert_eq!(folder.text("unexport"), "7");
}

#[test]
fn a_named_line_is_found_by_its_name() {
    let folder = Folder::with_line();
    fs::rename(folder.0.join("gpio7"), folder.0.join("BUTTON")).unwrap();
    assert_eq!(folder.class().export(7, None).unwrap_err().step(), "open");
    let line = folder.class().export_named(7, "BUTTON", None).unwrap();
    assert_eq!(line.path(), folder.0.join("BUTTON"));
    assert!(!line.value().unwrap());
}

#[test]
fn the_files_are_written_as_the_kernel_documents_them() {
    let folder = Folder::with_line();
    let line = folder.class().export(7, None).unwrap();
    assert_eq!(line.direction().unwrap(), Direction::In);
    line.set_output(Level::High).unwrap();
    assert_eq!(folder.text("gpio7/direction"), "high");
    line.set_output(Level::Low).unwrap();
    assert_eq!(folder.text("gpio7/direction"), "low");
    line.set_input().unwrap();
    assert_eq!(folder.text("gpio7/direction"), "in");
    for (edge, word) in
        [(Edge::None, "none"), (Edge::Rising, "rising"), (Edge::Falling, "falling"), (Edge::Both, "both")]
    {
        line.set_edge(edge).unwrap();
        assert_eq!((folder.text("gpio7/edge"), line.edge().unwrap()), (word.into(), edge));
    }
    line.set_active_low(true).unwrap();
    assert!(line.active_low().unwrap());
    line.set_value(true).unwrap();
    assert_eq!(folder.text("gpio7/value"), "1\n");
    assert!(line.value().unwrap());
    assert!(line.value().unwrap()); // each read begins at the start of the file
}

#[test]
fn a_file_that_holds_something_else_is_named() {
    let folder = Folder::with_line();
    let line = folder.class().export(7, None).unwrap();
    fs::write(folder.0.join("gpio7/value"), "2\n").unwrap();
    let e = line.value().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidData);
    assert!(e.to_string().ends_with(r#"gpio7/value holds "2\n""#), "{e}");
    fs::remove_file(folder.0.join("gpio7/edge")).unwrap();
    assert_eq!(line.set_edge(Edge::Both).unwrap_err().raw_os_error(), Some(libc::ENOENT)); // no interrupt
}

#[test]
fn lines_are_found_by_label_and_offset() {
    let folder = Folder::new();
    folder.chip(512, "sim8", 8);
    folder.chip(0, "two words", 4);
    folder.chip(600, "twin", 1);
    folder.chip(601, "twin", 1);
    let class = folder.class();
    assert_eq!(class.find("sim8", 7).unwrap(), 519);
    assert_eq!(class.find("two words", 0).unwrap(), 0);
    assert_eq!(class.chips().unwrap()[0].label, "two words");
    let e = class.find("sim8", 8).unwrap_err();
    assert_eq!(e.to_string(), r#"GPIO chip "sim8" has 8 lines, none at offset 8"#);
    assert_eq!(class.find("twin", 0).unwrap_err().kind(), ErrorKind::InvalidInput);
    let e = class.find("none", 0).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(e.to_string().contains(r#"there are: ["two words", "sim8", "twin", "twin"]"#), "{e}");
    fs::write(folder.0.join("gpiochip512/base"), "x").unwrap();
    assert_eq!(class.chips().unwrap_err().kind(), ErrorKind::InvalidData);
}

#[test]
fn a_chip_without_numbers_is_used_by_its_own_folder_which_has_no_edges() {
    let folder = Folder::new();
    let chip = folder.0.join("chip3");
    fs::create_dir_all(chip.join("gpio5")).unwrap();
    for (file, text) in [("label", "sim8\n"), ("ngpio", "8\n"), ("export", ""), ("unexport", "")] {
        fs::write(chip.join(file), text).unwrap();
    }
    for (file, text) in [("value", "1\n"), ("direction", "in\n")] {
        fs::write(chip.join("gpio5").join(file), text).unwrap();
    }
    let class = folder.class();
    let line = class.export_at("sim8", 5, None).unwrap();
    assert_eq!((line.export(), line.number(), line.path()), (Export::Exported, 5, &*chip.join("gpio5")));
    assert_eq!((folder.text("chip3/export"), line.value().unwrap()), ("5".into(), true));
    line.set_output(Level::High).unwrap();
    for e in [line.set_edge(Edge::Both), line.watch(Edge::None).map(drop), line.set_active_low(true)] {
        let e = e.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        assert!(e.to_string().ends_with("; the character device can do it: becket_sys::gpio"), "{e}");
    }
    drop(line);
    assert_eq!(folder.text("chip3/unexport"), "5");
    let e = class.export_at("none", 5, None).unwrap_err();
    assert_eq!((e.step(), e.kind()), ("find", ErrorKind::NotFound));

    // Where there are numbers, these serve: they have edges.
    folder.chip(7, "sim8", 1);
    fs::create_dir(folder.0.join("gpio7")).unwrap();
    for (file, text) in [("gpio7/value", "0\n"), ("gpio7/edge", "none\n"), ("export", ""), ("unexport", "")] {
        fs::write(folder.0.join(file), text).unwrap();
    }
    let line = class.export_at("sim8", 0, None).unwrap();
    assert_eq!((line.number(), line.watch(Edge::Both).unwrap()), (7, false));
    assert_eq!(class.export_at("sim8", 1, None).unwrap_err().kind(), ErrorKind::InvalidInput);
    fs::create_dir(folder.0.join("chip4")).unwrap();
    fs::write(folder.0.join("chip4/label"), "sim9\n").unwrap();
    fs::create_dir(folder.0.join("chip5")).unwrap();
    fs::write(folder.0.join("chip5/label"), "sim9\n").unwrap();
    assert_eq!(class.export_at("sim9", 1, None).unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// Runs `f` on a thread without the rights of root; credentials are the thread's own where the C library is not asked.
fn unprivileged<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let nobody = scope.spawn(|| {
            let (uid, gid) = (Uid::from_raw(65534), Gid::from_raw(65534));
            set_thread_res_gid(gid, gid, gid).unwrap();
            set_thread_res_uid(uid, uid, uid).unwrap();
            f()
        });
        nobody.join().unwrap()
    })
}

fn permit(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_export_waits_until_the_files_may_be_used() {
    if !geteuid().is_root() {
        println!("SKIP: the_export_waits_until_the_files_may_be_used: only root can act for udev and another user");
        return;
    }
    let folder = Folder::with_line();
    permit(&folder.0.join("export"), 0o666);
    permit(&folder.0.join("unexport"), 0o666);
    for edge_too in [false, true] {
        let short = Instant::now() + Duration::from_millis(50);
        let e = unprivileged(|| folder.class().export(7, Some(short)).unwrap_err());
        assert!(Instant::now() >= short);
        assert_eq!((e.step(), e.raw_os_error()), ("open", Some(libc::EACCES)));
        assert!(e.subject().ends_with(if edge_too { "/edge" } else { "/value" }), "{e}");
        if !edge_too {
            for file in ["value", "direction", "active_low"] {
                permit(&folder.0.join("gpio7").join(file), 0o666);
            }
        }
    }
    let line = thread::scope(|scope| {
        scope.spawn(|| {
            // As udev would: some time later, which the other side must not miss whenever it is.
            thread::sleep(Duration::from_millis(100));
            permit(&folder.0.join("gpio7/edge"), 0o666);
        });
        let long = Instant::now() + Duration::from_secs(20);
        let line = unprivileged(|| folder.class().export(7, Some(long)).unwrap());
        assert!(Instant::now() < long);
        line
    });
    assert!(!line.watch(Edge::Both).unwrap());
}

#[test]
fn who_may_not_export_uses_what_was_exported_for_them() {
    if !geteuid().is_root() {
        println!("SKIP: who_may_not_export_uses_what_was_exported_for_them: only root can act for another user");
        return;
    }
    let folder = Folder::with_line();
    for file in ["value", "direction", "edge", "active_low"] {
        permit(&folder.0.join("gpio7").join(file), 0o666);
    }
    unprivileged(|| {
        let line = folder.class().export(7, None).unwrap();
        assert_eq!(line.export(), Export::AlreadyExported);
        let e = folder.class().export(8, None).unwrap_err();
        assert_eq!((e.step(), e.raw_os_error()), ("export", Some(libc::EACCES)));
    });
    permit(&folder.0.join("gpio7/value"), 0o644);
    unprivileged(|| {
        let line = folder.class().open(7).unwrap();
        assert!(!line.value().unwrap());
        assert_eq!(line.set_value(true).unwrap_err().raw_os_error(), Some(libc::EBADF));
    });
}

/// A control group that goes when dropped: its `cgroup.events` is a file of the same kind as a line's `value`.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Group> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mount = mounts.lines().map(|l| l.split(' ').collect::<Vec<_>>()).find(|f| f[2] == "cgroup2")?;
        let path = Path::new(mount[1]).join(format!("becket-{}", std::process::id()));
        fs::create_dir(&path).ok()?;
        Some(Group(path))
    }

    fn freeze(&self, on: bool) {
        fs::write(self.0.join("cgroup.freeze"), if on { "1" } else { "0" }).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn readiness_lasts_from_the_opening_and_from_each_change_until_the_value_is_read() {
    let Some(group) = Group::new() else {
        println!("SKIP: readiness_lasts_from_the_opening: no control group (version 2) can be made here");
        return;
    };
    let folder = Folder::with_line();
    fs::remove_file(folder.0.join("gpio7/value")).unwrap();
    symlink(group.0.join("cgroup.events"), folder.0.join("gpio7/value")).unwrap();
    let line = folder.class().open(7).unwrap();
    assert_eq!(Line::READINESS, Readiness::Priority);
    let look = || wait(&line, Ready::PRI, Some(Instant::now())).unwrap();
    let read = || assert_eq!(line.value().unwrap_err().kind(), ErrorKind::InvalidData); // no line's value, but read

    let ready = look().expect("ready before anything happened");
    assert!(ready.is_priority() && !ready.is_failure());
    assert_eq!(ready, Ready::PRI | Ready::ERR);
    read();
    assert_eq!(look(), None);
    for on in [true, false] {
        group.freeze(on);
        let ready = wait(&line, Ready::PRI, Some(Instant::now() + Duration::from_secs(10))).unwrap();
        assert_eq!(ready, Some(Ready::PRI | Ready::ERR));
        assert_eq!(look(), ready); // level-triggered, until it is read
        read();
        assert_eq!(look(), None);
    }
}
