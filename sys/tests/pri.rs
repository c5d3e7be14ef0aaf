//! Priority readiness turned into plain readiness, with what it loses.

#[path = "common/descriptors.rs"]
mod descriptors;

mod mount_namespace;

use becket_sys::epoll::{Epoll, Events, Trigger};
use becket_sys::inotify::{self, Inotify, Mask, Options};
use becket_sys::pri::Adapter;
use becket_sys::{Readiness, Ready, wait};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn now(fd: impl AsFd) -> Option<Ready> {
    wait(fd, Ready::READ, Some(Instant::now())).unwrap()
}

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(20))
}

/// What an outer set tells within no time.
fn told(set: &Epoll) -> usize {
    set.wait(&mut Events::with_capacity(4), Some(Instant::now())).unwrap()
}

/// A pair of connected sockets.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

#[test]
fn urgent_data_makes_it_readable_and_other_data_does_not() {
    let (sender, receiver) = pair();
    let adapter = Adapter::new(receiver).unwrap();
    assert_eq!(Adapter::<TcpStream>::READINESS, Readiness::Readable);
    rustix::net::send(&sender, b"plain", rustix::net::SendFlags::empty()).unwrap();
    wait(adapter.get_ref(), Ready::READ, soon()).unwrap().expect("the data");
    assert_eq!((now(&adapter), adapter.try_ready().unwrap()), (None, None));

    rustix::net::send(&sender, b"!", rustix::net::SendFlags::OOB).unwrap();
    assert_eq!(wait(&adapter, Ready::READ, soon()).unwrap(), Some(Ready::READ));
    for _ in 0..2 {
        assert_eq!(adapter.try_ready().unwrap(), Some(Ready::PRI), "until it is taken");
        assert_eq!(now(&adapter), Some(Ready::READ));
    }
    let mut byte = [0];
    rustix::net::recv(adapter.get_ref(), &mut byte, rustix::net::RecvFlags::OOB).unwrap();
    assert_eq!((now(&adapter), adapter.try_ready().unwrap()), (None, None));

    // What it holds comes back and works on.
    let mut receiver = adapter.into_inner();
    let mut plain = [0; 5];
    receiver.read_exact(&mut plain).unwrap();
    assert_eq!(&plain, b"plain");
}

#[test]
fn hang_up_makes_it_readable_too() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let adapter = Adapter::new(reader).unwrap();
    assert_eq!(now(&adapter), None);
    drop(writer);
    assert_eq!(now(&adapter), Some(Ready::READ));
    assert_eq!(adapter.try_ready().unwrap(), Some(Ready::HUP));
}

#[test]
fn what_cannot_be_polled_is_refused_and_nothing_stays_open() {
    let path = std::env::current_exe().unwrap();
    let file = File::open(&path).unwrap();
    let number = file.as_raw_fd();
    let e = Adapter::new(file).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EPERM));
    let link = fs::read_link(format!("/proc/self/fd/{number}"));
    assert!(link.map_or(true, |target| target != path), "dropped");
}

/// A control group that goes when dropped; its `cgroup.events` is polled as all of sysfs is.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Group> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mount = mounts.lines().map(|l| l.split(' ').collect::<Vec<_>>()).find(|f| f[2] == "cgroup2")?;
        let path = Path::new(mount[1]).join(format!(
            "becket-pri-{}-{}",
            std::process::id(),
            rustix::thread::gettid().as_raw_nonzero()
        ));
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

fn read(mut file: &File) {
    file.rewind().unwrap();
    file.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn changes_of_attributes_are_told_by_inotify_too() {
    let Some(group) = Group::new() else {
        println!("SKIP: changes_of_attributes_are_told_by_inotify_too: no control group (version 2) can be made here");
        return;
    };
    let inotify = Inotify::new().unwrap();
    inotify.add(group.0.join("cgroup.events"), Mask::MODIFY, Options::empty()).unwrap();
    group.freeze(true);
    assert!(wait(&inotify, Ready::READ, soon()).unwrap().is_some());
    let first = inotify.try_read().unwrap().unwrap().remove(0);
    assert!(matches!(first, inotify::Event::Change(change) if change.mask == Mask::MODIFY));
    group.freeze(false);
}

#[test]
fn attributes_lose_nothing_under_any_trigger() {
    let Some(group) = Group::new() else {
        println!("SKIP: attributes_lose_nothing_under_any_trigger: no control group (version 2) can be made here");
        return;
    };
    for (trigger, repeats) in [(Trigger::empty(), true), (Trigger::EDGE, false), (Trigger::ONE_SHOT, false)] {
        let adapter = Adapter::new(File::open(group.0.join("cgroup.events")).unwrap()).unwrap();
        read(adapter.get_ref()); // it is urgent from the opening on
        assert_eq!(now(&adapter), None);
        let outer = Epoll::new().unwrap();
        outer.add(&adapter, 0, Ready::READ, trigger).unwrap();
        assert_eq!(told(&outer), 0);
        for on in [true, false, true, false] {
            group.freeze(on);
            assert_eq!(outer.wait(&mut Events::with_capacity(4), soon()).unwrap(), 1, "{trigger:?}");
            assert_eq!(told(&outer), usize::from(repeats), "{trigger:?}");
            assert_eq!(adapter.try_ready().unwrap(), Some(Ready::PRI | Ready::ERR));
            read(adapter.get_ref());
            if trigger == Trigger::ONE_SHOT && on {
                // What happens while it is not armed is seen when it is.
                group.freeze(false);
                wait(adapter.get_ref(), Ready::PRI, soon()).unwrap().unwrap();
                outer.modify(&adapter, 0, Ready::READ, trigger).unwrap();
                assert_eq!(outer.wait(&mut Events::with_capacity(4), soon()).unwrap(), 1);
                read(adapter.get_ref());
                outer.modify(&adapter, 0, Ready::READ, trigger).unwrap();
                group.freeze(true);
                assert_eq!(outer.wait(&mut Events::with_capacity(4), soon()).unwrap(), 1);
                read(adapter.get_ref());
            }
            if trigger == Trigger::ONE_SHOT {
                outer.modify(&adapter, 0, Ready::READ, trigger).unwrap();
            }
        }
    }
}

fn change_mounts(dir: &Path) {
    mount("becket", dir, "tmpfs", MountFlags::empty(), None).unwrap();
    unmount(dir, UnmountFlags::empty()).unwrap();
}

#[test]
fn the_readiness_is_the_event_of_a_mount_table() {
    mount_namespace::in_own("the_readiness_is_the_event_of_a_mount_table", |dir| {
        for trigger in [Trigger::empty(), Trigger::EDGE] {
            let adapter = Adapter::new(File::open("/proc/thread-self/mountinfo").unwrap()).unwrap();
            let outer = Epoll::new().unwrap();
            outer.add(&adapter, 0, Ready::READ, trigger).unwrap();
            assert_eq!(told(&outer), 0);
            for _ in 0..3 {
                change_mounts(dir);
                assert_eq!(told(&outer), 1, "{trigger:?}");
                assert_eq!(adapter.try_ready().unwrap(), None, "looking took it");
                assert_eq!(told(&outer), 0);
            }
            // Without an outer set, it is there to be taken.
            change_mounts(dir);
            assert_eq!(adapter.try_ready().unwrap(), Some(Ready::PRI | Ready::ERR));
            assert_eq!(adapter.try_ready().unwrap(), None);
        }
    });
}

#[test]
fn one_shot_loses_what_happens_to_a_mount_table_before_it_is_armed() {
    mount_namespace::in_own("one_shot_loses_what_happens_to_a_mount_table_before_it_is_armed", |dir| {
        let adapter = Adapter::new(File::open("/proc/thread-self/mountinfo").unwrap()).unwrap();
        let outer = Epoll::new().unwrap();
        outer.add(&adapter, 0, Ready::READ, Trigger::ONE_SHOT).unwrap();
        change_mounts(dir);
        assert_eq!(told(&outer), 1);

        change_mounts(dir); // while it is not armed
        outer.modify(&adapter, 0, Ready::READ, Trigger::ONE_SHOT).unwrap();
        assert_eq!(told(&outer), 0, "if this is told one day, the documentation is to be changed");

        // What comes after the arming is told: reading the table after each arming therefore misses nothing.
        change_mounts(dir);
        assert_eq!(told(&outer), 1);
    });
}
