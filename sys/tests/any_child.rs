//! All children that have ended, also those that others started: told of, and left to whom they belong to.

#![allow(clippy::zombie_processes, reason = "somebody else waits for them, by their numbers")]

#[path = "common/descriptors.rs"]
mod descriptors;
#[path = "common/main_thread.rs"]
mod main_thread;
mod mount_namespace;

use becket_sys::Ready;
use becket_sys::process::{AnyChild, Child, Ended, PidFd};
use becket_sys::signal::{MaskGuard, Signal, SignalSet};
use rustix::process::{getpid, set_child_subreaper};
use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const TESTS: &[(&str, fn())] = &[
    ("orphans_come_to_a_subreaper_and_are_told_of", orphans_come_to_a_subreaper_and_are_told_of),
    ("nobodys_status_is_taken_and_none_hides_another", nobodys_status_is_taken_and_none_hides_another),
    ("many_children_are_told_of_each_once", many_children_are_told_of_each_once),
    ("children_of_threads_and_with_names_of_all_kinds", children_of_threads_and_with_names_of_all_kinds),
    ("without_proc_the_first_is_told_of", without_proc_the_first_is_told_of),
];

fn main() {
    main_thread::run(TESTS);
}

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Reads until `count` have come.
fn read(any: &AnyChild, count: usize) -> Vec<Ended> {
    let mut all = Vec::new();
    let late = Instant::now() + Duration::from_secs(20);
    while all.len() < count {
        assert!(any.wait_ready(Ready::READ, Some(late)).unwrap().is_some(), "{all:?}");
        all.extend(any.try_read().unwrap().unwrap_or_default());
    }
    all
}

fn is_quiet(any: &AnyChild) -> bool {
    let until = Instant::now() + Duration::from_millis(30);
    while any.wait_ready(Ready::READ, Some(until)).unwrap().is_some() {
        if any.try_read().unwrap().is_some_and(|ended| !ended.is_empty()) {
            return false;
        }
    }
    true
}

fn orphans_come_to_a_subreaper_and_are_told_of() {
    set_child_subreaper(Some(getpid())).unwrap();
    let any = AnyChild::new().unwrap();
    assert!(SignalSet::blocked().contains(Signal::CHLD));
    // It starts another one, says its number, and ends first.
    let mut parent = Child::spawn(sh("(sleep 0.05; exit 7) >&2 & echo $!").stdout(Stdio::piped())).unwrap();
    let mut said = String::new();
    parent.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    let orphan: u32 = said.trim().parse().unwrap();
    let ended = read(&any, 2);
    let by_pid: BTreeMap<u32, Ended> = ended.into_iter().map(|ended| (ended.pid(), ended)).collect();
    assert_eq!(by_pid.keys().copied().collect::<Vec<_>>(), {
        let mut both = [parent.id(), orphan];
        both.sort_unstable();
        both
    });
    let orphan = by_pid[&orphan];
    assert_eq!(orphan.status().code(), Some(7));
    assert_eq!(orphan.take().unwrap(), Some(orphan.status()));
    assert_eq!(orphan.take().unwrap(), None);
    assert!(parent.try_wait().unwrap().unwrap().success());
    assert!(is_quiet(&any));
    drop(any);
    assert!(!SignalSet::blocked().contains(Signal::CHLD));
}

fn nobodys_status_is_taken_and_none_hides_another() {
    // The first zombie is that of somebody who takes his time: waitid(2) would show it alone.
    let slow = Child::spawn(&mut sh("exit 1")).unwrap();
    slow.wait_ready(Ready::READ, None).unwrap();
    let mut of_std = sh("exit 2").spawn().unwrap();
    let watched = sh("exit 3").spawn().unwrap();
    let watched_by = PidFd::of_child(&watched).unwrap();
    watched_by.wait_ready(Ready::READ, None).unwrap();
    let any = AnyChild::new().unwrap();
    let mut nobodys = sh("exit 4").spawn().unwrap();
    let ended = read(&any, 4);
    let codes: BTreeMap<u32, Option<i32>> = ended.iter().map(|one| (one.pid(), one.status().code())).collect();
    let all = [(slow.id(), 1), (of_std.id(), 2), (watched.id(), 3), (nobodys.id(), 4)];
    assert_eq!(codes, all.map(|(pid, code)| (pid, Some(code))).into());
    assert!(is_quiet(&any), "each is told of once, also while it stays");
    let own = ended.iter().find(|one| one.pid() == nobodys.id()).unwrap();
    assert_eq!(own.take().unwrap().and_then(|status| status.code()), Some(4));
    assert_eq!(nobodys.wait().unwrap_err().raw_os_error(), Some(libc::ECHILD));
    assert_eq!(slow.try_wait().unwrap().unwrap().code(), Some(1));
    assert_eq!(of_std.wait().unwrap().code(), Some(2));
    assert_eq!(watched_by.try_wait().unwrap().unwrap().code(), Some(3));
    assert_eq!(ended[0].take().unwrap(), None);
}

fn many_children_are_told_of_each_once() {
    let any = AnyChild::new().unwrap();
    let children: Vec<Child> = (0..60).map(|n| Child::spawn(&mut sh(&format!("exit {n}"))).unwrap()).collect();
    let mut ended = read(&any, children.len());
    ended.sort_by_key(|one| one.status().code());
    for (n, (one, child)) in ended.iter().zip(&children).enumerate() {
        assert_eq!((one.pid(), one.status().code()), (child.id(), Some(n as i32)));
        assert_eq!(child.wait(None).unwrap().unwrap(), one.status());
    }
    assert!(is_quiet(&any));
    // By a signal.
    let killed = Child::spawn(&mut sh("kill -9 $$")).unwrap();
    let one = read(&any, 1)[0];
    assert_eq!((one.pid(), killed.wait(None).unwrap()), (killed.id(), Some(one.status())));
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&one.status()), Some(9));
}

fn children_of_threads_and_with_names_of_all_kinds() {
    let any = AnyChild::new().unwrap();
    let folder = std::env::temp_dir().join(format!("becket-any-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let program = folder.join("a) R 1 (");
    std::os::unix::fs::symlink("/bin/true", &program).unwrap();
    let child = std::thread::spawn(move || {
        let child = Child::spawn(&mut Command::new(program)).unwrap();
        child.wait_ready(Ready::READ, None).unwrap();
        child
    });
    let child = child.join().unwrap();
    assert_eq!(read(&any, 1)[0].pid(), child.id());
    assert!(child.try_wait().unwrap().unwrap().success());
    std::fs::remove_dir_all(folder).unwrap();
}

fn without_proc_the_first_is_told_of() {
    // The process's other thread would not let SIGCHLD come here.
    let _mask = MaskGuard::block(SignalSet::from(Signal::CHLD));
    mount_namespace::in_own("without_proc_the_first_is_told_of", |_| {
        rustix::mount::mount("none", "/proc", "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
        let any = AnyChild::new().unwrap();
        let first = Child::spawn(&mut sh("exit 5")).unwrap();
        let one = read(&any, 1)[0];
        assert_eq!((one.pid(), one.status().code()), (first.id(), Some(5)));
        assert_eq!(first.try_wait().unwrap().unwrap().code(), Some(5));
        let second = sh("exit 6").spawn().unwrap();
        let one = read(&any, 1)[0];
        assert_eq!((one.pid(), one.take().unwrap().unwrap().code()), (second.id(), Some(6)));
    });
}
