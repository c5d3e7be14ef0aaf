//! The table of mounts as the kernel writes it and tells of it, each test in a namespace of its own; and the parser on
//! bytes that no kernel writes.

#[path = "common/descriptors.rs"]
mod descriptors;

mod mount_namespace;

use becket_sys::epoll::{Epoll, Events, Trigger};
use becket_sys::mounts::{Change, Mount, Table, Watcher};
use becket_sys::{Readiness, Ready, wait};
use mount_namespace::in_own;
use rustix::mount::{MountFlags, MountPropagationFlags as Spread, UnmountFlags};
use rustix::mount::{mount, mount_bind, mount_change, mount_move, mount_remount, unmount};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn look(fd: impl AsFd) -> Option<Ready> {
    wait(fd, Ready::PRI, Some(Instant::now())).unwrap()
}

fn told(set: &Epoll) -> usize {
    set.wait(&mut Events::with_capacity(4), Some(Instant::now())).unwrap()
}

fn tmpfs(dir: &Path) {
    mount("becket", dir, "tmpfs", MountFlags::empty(), None).unwrap();
}

fn dir(path: PathBuf) -> PathBuf {
    fs::create_dir(&path).unwrap();
    path
}

fn at<'t>(table: &'t Table, target: &Path) -> &'t Mount {
    let found: Vec<_> = table.iter().filter(|mount| mount.target == target).collect();
    assert_eq!(found.len(), 1, "{}", target.display());
    found[0]
}

#[test]
fn each_kind_of_change_is_told_once_and_shows_in_the_table() {
    in_own("each_kind_of_change_is_told_once_and_shows_in_the_table", |place| {
        let (a, b) = (dir(place.join("a")), dir(place.join("b")));
        let watcher = Watcher::new().unwrap();
        assert_eq!(Watcher::READINESS, Readiness::Priority);
        let mut table = watcher.read().unwrap();
        assert_eq!(watcher.try_read().unwrap(), None);
        let mut step = |what: &str, change: &dyn Fn(), check: &dyn Fn(&[Change<'_>])| {
            change();
            let ready = look(&watcher).expect(what);
            assert!(ready.is_priority() && !ready.is_failure(), "{what}: {ready:?}");
            assert_eq!(ready, Ready::PRI | Ready::ERR);
            assert_eq!(look(&watcher), None, "{what}: looking took it");
            let newer = watcher.read().unwrap();
            check(&table.changes(&newer));
            table = newer;
        };
        step("mount", &|| tmpfs(&a), &|changes| {
            let [Change::Added(mount)] = changes else { panic!("{changes:?}") };
            assert_eq!((mount.target.as_path(), mount.root.as_path()), (a.as_path(), Path::new("/")));
            assert_eq!((mount.fs_type.to_str(), mount.source.to_str()), (Some("tmpfs"), Some("becket")));
            assert!(mount.options.has("rw") && mount.super_options.has("rw"));
        });
        let remount = || mount_remount(&a, MountFlags::RDONLY | MountFlags::BIND, c"").unwrap();
        step("remount", &remount, &|changes| {
            let [Change::Changed { from, to }] = changes else { panic!("{changes:?}") };
            assert_eq!((from.id, from.options.has("ro"), to.options.has("ro")), (to.id, false, true));
            assert!(to.super_options.has("rw"), "the file system is as it was");
        });
        step("move", &|| mount_move(&a, &b).unwrap(), &|changes| {
            let [Change::Changed { from, to }] = changes else { panic!("{changes:?}") };
            assert_eq!((&from.target, &to.target), (&a, &b));
        });
        let unmount = || unmount(&b, UnmountFlags::empty()).unwrap();
        step("unmount", &unmount, &|changes| {
            let [Change::Removed(mount)] = changes else { panic!("{changes:?}") };
            assert_eq!(mount.target, b);
        });
    });
}

#[test]
fn the_table_is_read_with_the_event_and_only_then() {
    in_own("the_table_is_read_with_the_event_and_only_then", |place| {
        let watcher = Watcher::new().unwrap();
        let before = watcher.read().unwrap();
        tmpfs(place);
        let after = watcher.try_read().unwrap().expect("a change");
        assert_eq!(before.changes(&after).len(), 1);
        assert_eq!(watcher.try_read().unwrap(), None);
        assert_eq!(watcher.read().unwrap(), after, "reading takes no event, and begins at the start each time");

        // What came and went is told, and shows no difference.
        tmpfs(place);
        unmount(place, UnmountFlags::empty()).unwrap();
        let again = watcher.try_read().unwrap().expect("an event");
        assert!(after.changes(&again).is_empty());
    });
}

#[test]
fn names_and_propagation_come_whole() {
    in_own("names_and_propagation_come_whole", |place| {
        let odd = OsStr::from_bytes(b"sp ace\ttab\nline back\\slash#hash \\040 \xff");
        let target = dir(place.join(odd));
        mount(odd, &target, "tmpfs", MountFlags::NOEXEC, Some(c"size=64k,mode=700")).unwrap();
        let below = dir(target.join(odd));
        let (shared, slave, bound) = (dir(place.join("shared")), dir(place.join("slave")), dir(place.join("bound")));
        tmpfs(&shared);
        mount_change(&shared, Spread::SHARED).unwrap();
        mount_bind(&shared, &slave).unwrap();
        mount_change(&slave, Spread::DOWNSTREAM).unwrap();
        mount_bind(&below, &bound).unwrap();
        mount_change(&bound, Spread::UNBINDABLE).unwrap();

        let table = Table::read().unwrap();
        let mount = at(&table, &target);
        assert_eq!(mount.source, odd);
        assert!(mount.options.has("noexec") && !mount.super_options.has("noexec"));
        assert_eq!(mount.super_options.value("size").unwrap(), "64k");
        assert_eq!(mount.super_options.value("mode").unwrap(), "700");
        assert_eq!(mount.propagation, Default::default());
        assert_eq!(table.get(mount.parent), Some(at(&table, place)));
        assert_eq!(table.get(u64::MAX), None);
        let stat = rustix::fs::stat(&target).unwrap();
        assert_eq!(mount.device, (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev)));

        let group = at(&table, &shared).propagation.shared;
        assert!(group.is_some());
        assert_eq!((at(&table, &slave).propagation.master, at(&table, &slave).propagation.shared), (group, None));

        let bind = at(&table, &bound);
        assert_eq!(bind.root, Path::new("/").join(odd));
        assert_eq!(bind.device, mount.device);
        assert!(bind.propagation.unbindable && bind.propagation.shared.is_none());
        fs::remove_dir(&below).unwrap();
        let table = Table::read().unwrap();
        let root = at(&table, &bound).root.as_os_str().as_bytes().to_vec();
        assert_eq!(root, [b"/", odd.as_bytes(), b"//deleted"].concat());
    });
}

#[test]
fn two_sets_on_one_open_file_share_its_events() {
    in_own("two_sets_on_one_open_file_share_its_events", |place| {
        let watcher = Watcher::new().unwrap();
        let sets = [Epoll::new().unwrap(), Epoll::new().unwrap()];
        for set in &sets {
            set.add(&watcher, 0, Ready::PRI, Trigger::EDGE).unwrap();
        }
        tmpfs(place);
        assert_eq!(sets.iter().map(told).sum::<usize>(), 1);

        // One open file for each: both are told.
        let others = [Watcher::new().unwrap(), Watcher::new().unwrap()];
        let sets = [Epoll::new().unwrap(), Epoll::new().unwrap()];
        for (set, watcher) in sets.iter().zip(&others) {
            set.add(watcher, 0, Ready::PRI, Trigger::EDGE).unwrap();
        }
        tmpfs(place);
        assert_eq!(sets.iter().map(told).sum::<usize>(), 2);
    });
}

#[test]
fn arming_a_one_shot_loses_what_happened_before_and_reading_after_it_does_not() {
    in_own("arming_a_one_shot_loses_what_happened_before_and_reading_after_it_does_not", |place| {
        let watcher = Watcher::new().unwrap();
        let set = Epoll::new().unwrap();
        set.add(&watcher, 0, Ready::PRI, Trigger::ONE_SHOT).unwrap();
        tmpfs(place);
        assert_eq!(told(&set), 1);
        let table = watcher.read().unwrap();
        tmpfs(place);
        set.modify(&watcher, 0, Ready::PRI, Trigger::ONE_SHOT).unwrap();
        assert_eq!(told(&set), 0, "if this is told one day, the documentation is to be changed");
        assert_eq!(table.changes(&watcher.read().unwrap()).len(), 1);
    });
}

#[test]
fn changes_count_from_the_opening_on_for_poll_and_from_the_registration_on_for_a_set() {
    in_own("changes_count_from_the_opening_on_for_poll_and_from_the_registration_on_for_a_set", |place| {
        let watcher = Watcher::new().unwrap();
        tmpfs(place);
        assert!(look(&watcher).is_some());

        tmpfs(place);
        let set = Epoll::new().unwrap();
        set.add(&watcher, 0, Ready::PRI, Trigger::EDGE).unwrap();
        assert_eq!(told(&set), 0, "if this is told one day, the documentation is to be changed");
        for _ in 0..3 {
            tmpfs(place);
            assert_eq!(told(&set), 1);
            assert_eq!(told(&set), 0);
        }
    });
}

#[test]
fn other_processes_and_namespaces_are_watched_and_outlived() {
    in_own("other_processes_and_namespaces_are_watched_and_outlived", |place| {
        let mut child = Command::new("unshare");
        child.args(["-m", "--propagation", "private", "sh", "-c"]);
        child.arg(r#"echo; read go; mount -t tmpfs elsewhere "$0"; echo; read go"#).arg(place);
        let Ok(mut child) = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
            return println!("SKIP: other_processes_and_namespaces_are_watched_and_outlived: no program `unshare`");
        };
        let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut hear = || std::io::Read::read_exact(&mut from, &mut [0]).unwrap();
        hear();
        let by_pid = Watcher::of_process(child.id()).unwrap();
        let ns = File::open(format!("/proc/{}/ns/mnt", child.id())).unwrap();
        let by_ns = Watcher::of_namespace(&ns).unwrap();
        let by_path = Watcher::open(format!("/proc/{0}/task/{0}/mountinfo", child.id())).unwrap();
        let ours = Watcher::new().unwrap();
        let before = by_pid.read().unwrap();
        assert_eq!(by_ns.read().unwrap(), before);
        let thread = |link: &Path| link.parent().is_some_and(|parent| parent.ends_with("task"));
        let links =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        assert_eq!(links.filter(|link| thread(link)).count(), 0, "the way there is closed");
        std::io::Write::write_all(&mut to, b"\n").unwrap();
        hear();
        for watcher in [&by_pid, &by_ns, &by_path] {
            let after = watcher.try_read().unwrap().expect("a change there");
            let changes = before.changes(&after);
            let [Change::Added(mount)] = changes[..] else { panic!("{changes:?}") };
            assert_eq!((mount.source.to_str(), mount.target.as_path()), (Some("elsewhere"), place));
        }
        assert_eq!(ours.try_read().unwrap(), None, "nothing changed here");
        assert!(Table::read().unwrap().iter().all(|mount| mount.source != "elsewhere"), "this thread has stayed here");
        drop(to);
        child.wait().unwrap();
        assert_eq!(by_pid.read().unwrap().iter().count(), before.iter().count() + 1);
        let e = Watcher::of_process(child.id()).unwrap_err();
        assert_eq!(e.raw_os_error(), Some(libc::ENOENT));
        let wrong = File::open("/proc/self/ns/net").unwrap();
        assert_eq!(Watcher::of_namespace(wrong).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    });
}

#[test]
fn a_table_of_many_pieces_is_read_whole() {
    in_own("a_table_of_many_pieces_is_read_whole", |place| {
        let long = "n".repeat(200);
        for i in 0..100 {
            tmpfs(&dir(place.join(format!("{i}-{long}"))));
        }
        let table = Table::read().unwrap();
        let ours: Vec<_> = table.iter().filter(|mount| mount.target.to_string_lossy().ends_with(&long)).collect();
        assert_eq!(ours.len(), 100);
        let ids: std::collections::HashSet<_> = table.iter().map(|mount| mount.id).collect();
        assert_eq!(ids.len(), table.iter().count());
    });
}

#[test]
fn a_file_that_is_no_table_is_an_error() {
    let read = |path: &str| Watcher::open(path).unwrap().read().unwrap_err().kind();
    assert_eq!(read("/proc/self/status"), ErrorKind::InvalidData);
    assert_eq!(read("/dev/zero"), ErrorKind::InvalidData);
    let start = Instant::now();
    assert_eq!(Watcher::open("/dev/null").unwrap().read().unwrap(), Table::default());
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn lines_are_taken_apart_by_single_spaces() {
    let mount = Mount::parse(b"1 2 3:4 / / rw - tmpfs  rw").unwrap();
    assert_eq!((mount.source.len(), mount.super_options.has("rw")), (0, true));
    let mount = Mount::parse(b"1 2 3:4 / / rw propagate_from:9 - 9p C: rw,path=C:\\ some where").unwrap();
    assert_eq!(mount.super_options.value("path").unwrap(), "C:\\ some where");
    assert_eq!(mount.propagation.propagate_from, Some(9));
    let mount = Mount::parse(br"1 2 3:4 /\134\400\0 /\0401\ rw,,a=,=b - a\056b - c\054d").unwrap();
    assert_eq!(mount.root.to_str(), Some(r"/\\400\0"));
    assert_eq!(mount.target.to_str(), Some(r"/ 1\"));
    assert_eq!((mount.fs_type.to_str(), mount.source.to_str()), (Some("a.b"), Some("-")));
    let options: Vec<_> = mount.options.iter().map(|(name, value)| (name.into_owned(), value)).collect();
    assert_eq!(options.len(), 3);
    assert_eq!((options[1].0.to_str(), options[1].1.as_deref()), (Some("a"), Some(OsStr::new(""))));
    assert!(mount.super_options.has("c,d"));
    assert_eq!(mount.super_options.as_os_str(), r"c\054d");
}

#[test]
fn broken_lines_are_errors_that_hold_the_line() {
    let whole = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw";
    assert!(Mount::parse(whole.as_bytes()).is_ok());
    // Cut before the last field begins, nothing is left that would make a mount.
    let last = whole.rfind(' ').unwrap();
    for cut in 0..=last - 1 {
        let e = Mount::parse(&whole.as_bytes()[..cut]).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidData, "{cut}");
    }
    for broken in ["x 35 98:0", "36 -1 98:0", "36 35 98", "36 35 :0", "36 35 98:4294967296", "36 35 98:0:0"] {
        let line = format!("{broken} / / rw - ext3 /dev/root rw");
        let e = Mount::parse(line.as_bytes()).unwrap_err();
        assert!(e.to_string().contains(&line), "{e}");
    }
    assert!(Mount::parse(b"1 2 3:4 / / rw shared: - t s rw").is_err());
    assert!(Table::parse(b"36 35 98:0 / / rw - ext3 /dev/root rw\n\n?").is_err());
    assert_eq!(Table::parse(b"\n\n").unwrap(), Table::default());
}

#[test]
fn a_number_that_is_given_again_is_another_mount() {
    let table = |text: &str| Table::parse(text.as_bytes()).unwrap();
    let old = table("7 1 0:50 / /a rw - tmpfs x rw\n");
    let new = table("7 1 0:51 / /a rw - tmpfs x rw\n");
    let changes = old.changes(&new);
    assert!(matches!(changes[..], [Change::Removed(_), Change::Added(_)]), "{changes:?}");
    let twice = table("7 1 0:50 / /a rw - tmpfs x rw\n7 1 0:50 / /b rw - tmpfs x rw\n");
    let _ = old.changes(&twice);
}
