//! Typed sources that watch files, devices and the system, on epoll and on poll(2). What needs hardware is played by
//! bytes in a pipe, or runs in the virtual machine that scripts/test-vm starts.

mod common;

use becket_loop::{Loop, Next};
use becket_sys::fanotify::{Class, Event, Fanotify, Mask, Options, Permission, Report, Scope};
use becket_sys::gpio::{ChangeKind, Chip, Edge, EdgeKind, LineConfig, Request};
use becket_sys::input::{self, Batch, Kind, Layout};
use becket_sys::mounts::{Change, Table, Watcher};
use becket_sys::netlink::route::{self, Monitor, Watch};
use becket_sys::netlink::{self, Flags, Incoming, Protocol};
use becket_sys::{psi, tcp, unix};
use common::{each_backend, each_backend_with_pri, skips_valgrind};
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

/// Turns until `done`, for not too long.
fn turn_until<S: 'static>(event_loop: &mut Loop<S>, s: &mut S, done: impl Fn(&S) -> bool) {
    let end = Instant::now() + LONG;
    while !done(s) {
        assert!(Instant::now() < end, "it did not happen");
        event_loop.turn(s, Some(Duration::from_millis(100))).unwrap();
    }
}

/// Turns for a moment, in which nothing more is to come.
fn idle<S: 'static>(event_loop: &mut Loop<S>, s: &mut S) {
    let end = Instant::now() + Duration::from_millis(30);
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        event_loop.turn(s, Some(left)).unwrap();
    }
}

/// A file of the test's own, removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("watches-{}-{n}", std::process::id()));
        fs::write(&path, "text").unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A group, or a word on why there is none.
fn group(test: &str, open: impl FnOnce() -> io::Result<Fanotify>) -> Option<Arc<Fanotify>> {
    match open() {
        Ok(group) => Some(Arc::new(group)),
        Err(e) => {
            println!("SKIP: {test}: no such fanotify group here: {e}");
            None
        }
    }
}

#[test]
fn fanotify_tells_what_happens_to_a_file() {
    if skips_valgrind("fanotify_tells_what_happens_to_a_file", "it knows no fanotify") {
        return;
    }
    each_backend(|mut event_loop: Loop<Mask>| {
        let file = Scratch::new();
        let open = || Fanotify::builder().report(Report::FID).open();
        let Some(group) = group("fanotify_tells_what_happens_to_a_file", open) else { return };
        group.add(Scope::Inode, &file.0, Mask::OPEN | Mask::MODIFY, Options::empty()).unwrap();
        event_loop
            .on(group, |seen: &mut Mask, _, event| {
                let Event::Notice(notice) = event else { panic!("{event:?}") };
                *seen |= notice.mask;
                Ok(Next::Keep)
            })
            .unwrap();
        fs::write(&file.0, "other text").unwrap();
        turn_until(&mut event_loop, &mut Mask::empty(), |seen| seen.contains(Mask::OPEN | Mask::MODIFY));
    });
}

/// What a test waits for to end by itself; killed if it does not.
fn end_of(child: &mut Child) -> ExitStatus {
    let end = Instant::now() + LONG;
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status,
            None if Instant::now() > end => drop(child.kill()),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[test]
fn a_permission_is_answered_after_its_source_is_gone() {
    if skips_valgrind("a_permission_is_answered_after_its_source_is_gone", "it knows no fanotify") {
        return;
    }
    each_backend(|mut event_loop: Loop<Option<Permission<'static>>>| {
        let file = Scratch::new();
        let open = || Fanotify::builder().class(Class::Content).open();
        let Some(group) = group("a_permission_is_answered_after_its_source_is_gone", open) else { return };
        group.add(Scope::Inode, &file.0, Mask::OPEN_PERM, Options::empty()).unwrap();
        event_loop
            .on(group, |asked: &mut Option<Permission<'static>>, _, event| {
                let Event::Permission(permission) = event else { panic!("{event:?}") };
                *asked = Some(permission);
                Ok(Next::Remove)
            })
            .unwrap();
        let mut reader = Command::new("cat").arg(&file.0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut asked = None;
        turn_until(&mut event_loop, &mut asked, Option::is_some);
        assert_eq!(event_loop.sources().count(), 0);
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(reader.try_wait().unwrap(), None, "it waits");
        let permission = asked.unwrap();
        assert_eq!(permission.pid, Some(reader.id()));
        permission.deny().unwrap();
        assert!(!end_of(&mut reader).success());
    });
}

fn edge_record(kind: u32, offset: u32, number: u32) -> Vec<u8> {
    let words = [kind, offset, number, number].into_iter().flat_map(u32::to_ne_bytes);
    7_u64.to_ne_bytes().into_iter().chain(words).chain([0; 24]).collect()
}

#[test]
fn edges_are_handed_out_one_by_one() {
    each_backend(|mut event_loop: Loop<Vec<(EdgeKind, u32)>>| {
        let (near, mut far) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&near, true).unwrap();
        // More than one read takes.
        let records: Vec<_> = (1..=40).flat_map(|n| edge_record(1 + n % 2, 17, n)).collect();
        far.write_all(&records).unwrap();
        event_loop
            .on(Request::from_fd(near.into(), [17]), |seen: &mut Vec<_>, _, edge| {
                assert_eq!((edge.offset, edge.time), (17, Duration::from_nanos(7)));
                seen.push((edge.kind, edge.seqno));
                Ok(if edge.seqno == 39 { Next::Remove } else { Next::Keep })
            })
            .unwrap();
        let mut seen = Vec::new();
        event_loop.run(&mut seen).unwrap();
        let kind = |n| if n % 2 == 0 { EdgeKind::Rising } else { EdgeKind::Falling };
        assert_eq!(seen, (1..=39).map(|n| (kind(n), n)).collect::<Vec<_>>());
    });
}

/// A simulated chip, told of by the environment in the virtual machine.
#[test]
fn lines_of_a_chip_tell_their_edges_and_who_takes_them() {
    let (Ok(device), Ok(label)) = (std::env::var("GPIO_SIM_DEV"), std::env::var("GPIO_SIM_LABEL")) else {
        println!(
            "SKIP: lines_of_a_chip_tell_their_edges_and_who_takes_them: no simulated chip; scripts/test-vm has one"
        );
        return;
    };
    each_backend(|mut event_loop: Loop<Vec<String>>| {
        let pull = |way: &str| fs::write(format!("{device}/sim_gpio6/pull"), way).unwrap();
        pull("pull-down");
        let chip = Chip::find(&label).unwrap();
        chip.watch(6).unwrap();
        event_loop
            .on(chip, |seen: &mut Vec<String>, _, change| {
                assert_eq!(change.line.offset, 6);
                seen.push(match change.kind {
                    ChangeKind::Requested => "requested".into(),
                    ChangeKind::Released => "released".into(),
                    other => format!("{other:?}"),
                });
                Ok(Next::Keep)
            })
            .unwrap();
        let config = LineConfig::input().edge(Edge::Both);
        let request = Chip::find(&label).unwrap().request().line(6, config).open().unwrap();
        let id = event_loop
            .on(request, |seen: &mut Vec<String>, _, edge| {
                seen.push(format!("{:?} {}", edge.kind, edge.offset));
                Ok(Next::Keep)
            })
            .unwrap();
        let mut seen = Vec::new();
        turn_until(&mut event_loop, &mut seen, |seen| seen.len() == 1);
        pull("pull-up");
        turn_until(&mut event_loop, &mut seen, |seen| seen.len() == 2);
        pull("pull-down");
        turn_until(&mut event_loop, &mut seen, |seen| seen.len() == 3);
        drop(event_loop.remove(id));
        turn_until(&mut event_loop, &mut seen, |seen| seen.len() == 4);
        assert_eq!(seen, ["requested", "Rising 6", "Falling 6", "released"]);
    });
}

#[test]
fn an_input_device_tells_what_one_read_brings() {
    each_backend(|mut event_loop: Loop<Vec<String>>| {
        let (near, mut far) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&near, true).unwrap();
        for (kind, code, value) in [(Kind::KEY, input::codes::KEY_A, 1_i32), (Kind::SYN, 0, 0)] {
            let mut record = vec![0; Layout::NATIVE.record() - 8];
            record.extend([kind.0, code].map(u16::to_ne_bytes).as_flattened());
            record.extend(value.to_ne_bytes());
            far.write_all(&record).unwrap();
        }
        event_loop
            .on(input::Device::from(OwnedFd::from(near)), |seen: &mut Vec<String>, _, batch| {
                let Batch::Events(events) = batch else { panic!("{batch:?}") };
                seen.extend(events.map(|event| event.to_string()));
                Ok(Next::Remove)
            })
            .unwrap();
        let mut seen = Vec::new();
        event_loop.run(&mut seen).unwrap();
        assert_eq!(seen, ["KEY_A 1", "SYN_REPORT 0"]);
    });
}

/// A stall is played by urgent data: like it, it is ready for PRI.
#[test]
fn trap_06_pressure_is_told_and_its_end_removes_the_source() {
    each_backend_with_pri(|mut event_loop: Loop<Vec<psi::Event>>| {
        let listener = tcp::Listener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        becket_sys::wait(&listener, becket_sys::Ready::READ, Some(Instant::now() + LONG)).unwrap().expect("one");
        let (near, _) = listener.try_accept().unwrap().unwrap();
        event_loop
            .on(psi::Trigger::from(OwnedFd::from(near)), |seen: &mut Vec<_>, _, event| {
                seen.push(event);
                Ok(Next::Remove)
            })
            .unwrap();
        (&far).write_all(b"ordinary").unwrap();
        let mut seen = Vec::new();
        idle(&mut event_loop, &mut seen);
        assert_eq!(seen, [], "data is none");
        rustix::net::send(&far, b"!", rustix::net::SendFlags::OOB).unwrap();
        event_loop.run(&mut seen).unwrap();
        assert_eq!(seen, [psi::Event::Stalled]);
    });
    // A file without a trigger says for ever what the file of a group that is gone says.
    each_backend_with_pri(|mut event_loop: Loop<Vec<psi::Event>>| {
        let file = match File::open(psi::Resource::Memory.path()) {
            Ok(file) => file,
            Err(e) => {
                return println!(
                    "SKIP: trap_06_pressure_is_told_and_its_end_removes_the_source: no pressure files: {e}"
                );
            }
        };
        event_loop
            .on(psi::Trigger::from(OwnedFd::from(file)), |seen: &mut Vec<_>, _, event| {
                seen.push(event);
                Ok(Next::Keep)
            })
            .unwrap();
        let mut seen = Vec::new();
        event_loop.run(&mut seen).unwrap();
        assert_eq!(seen, [psi::Event::Gone]);
    });
}

/// A shell with a table of mounts of its own, which does what it is told.
fn elsewhere(test: &str, place: &Path) -> Option<Child> {
    let mut shell = Command::new("unshare")
        .args(["--mount", "sh", "-c", "echo; while read line; do eval \"$line\"; echo; done"])
        .current_dir(place)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .inspect_err(|e| println!("SKIP: {test}: unshare(1): {e}"))
        .ok()?;
    if !answers(&mut shell) {
        println!("SKIP: {test}: no mount namespace: {}", shell.wait().unwrap());
        return None;
    }
    Some(shell)
}

fn answers(shell: &mut Child) -> bool {
    use std::io::Read;
    shell.stdout.as_mut().unwrap().read(&mut [0]).unwrap() == 1
}

#[test]
fn trap_05_mounts_tell_each_change_once() {
    let test = "trap_05_mounts_tell_each_change_once";
    each_backend_with_pri(|mut event_loop: Loop<(Table, Vec<String>)>| {
        let Some(mut shell) = elsewhere(test, Path::new(env!("CARGO_TARGET_TMPDIR"))) else { return };
        let mut order = |line: &str| {
            writeln!(shell.stdin.as_mut().unwrap(), "{line}").unwrap();
            assert!(answers(&mut shell));
        };
        order("mkdir -p mounts-$$; mount -t tmpfs becket-before mounts-$$");
        let pid = shell.id();
        let id = event_loop
            .on(Watcher::of_process(pid).unwrap(), |(table, seen): &mut (Table, Vec<String>), _, newer| {
                for change in table.changes(&newer) {
                    match change {
                        Change::Added(mount) => seen.push(format!("+{}", mount.source.display())),
                        Change::Removed(mount) => seen.push(format!("-{}", mount.source.display())),
                        Change::Changed { to, .. } => seen.push(format!("={}", to.source.display())),
                    }
                }
                seen.push(".".into());
                *table = newer;
                Ok(Next::Keep)
            })
            .unwrap();
        let mut state = (event_loop.get(id).unwrap().read().unwrap(), Vec::new());
        idle(&mut event_loop, &mut state);
        assert_eq!(state.1, [""; 0], "what was before");
        for (line, told) in [
            ("mount -t tmpfs becket-after mounts-$$", ["+becket-after", "."]),
            ("umount mounts-$$", ["-becket-after", "."]),
        ] {
            let line = line.replace("$$", &pid.to_string());
            writeln!(shell.stdin.as_mut().unwrap(), "{line}").unwrap();
            turn_until(&mut event_loop, &mut state, |state| !state.1.is_empty());
            assert!(answers(&mut shell));
            idle(&mut event_loop, &mut state);
            assert_eq!(state.1, told);
            state.1.clear();
        }
        drop(shell.stdin.take());
        shell.wait().unwrap();
        drop(event_loop);
        fs::remove_dir(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mounts-{pid}"))).unwrap();
    });
}

#[test]
fn netlink_hands_out_datagrams() {
    each_backend(|mut event_loop: Loop<Vec<i32>>| {
        let socket = netlink::Socket::new(Protocol::ROUTE).unwrap();
        for _ in 0..3 {
            socket.try_send(&netlink::Request::new(0x7fff, Flags::empty())).unwrap().expect("room");
        }
        event_loop
            .on(socket, |seen: &mut Vec<i32>, _, incoming| {
                let Incoming::Datagram(datagram) = incoming else { panic!("{incoming:?}") };
                let refusals = datagram.messages().filter_map(|message| message.outcome()?.err());
                seen.extend(refusals.map(|refusal| refusal.code));
                Ok(if seen.len() == 3 { Next::Remove } else { Next::Keep })
            })
            .unwrap();
        let mut seen = Vec::new();
        event_loop.run(&mut seen).unwrap();
        assert_eq!(seen, [95; 3]);
    });
}

#[test]
fn a_monitor_hands_out_what_became_of_links() {
    each_backend(|mut event_loop: Loop<bool>| {
        let monitor = Monitor::new(Watch::LINKS).unwrap();
        let mut request = netlink::Request::new(18, Flags::empty()); // RTM_GETLINK
        request.put([0; 16]); // struct ifinfomsg
        request.attr_str(3, "lo"); // IFLA_IFNAME
        monitor.socket().try_send(&request).unwrap().expect("room"); // the answer reads as the event does
        event_loop
            .on(monitor, |seen, _, event| {
                *seen = matches!(event, route::Event::Link(link) if link.name == "lo");
                Ok(if *seen { Next::Remove } else { Next::Keep })
            })
            .unwrap();
        let mut seen = false;
        turn_until(&mut event_loop, &mut seen, |seen| *seen);
    });
}

#[test]
fn a_listener_for_records_hands_out_connections() {
    each_backend(|mut event_loop: Loop<u32>| {
        // With a name of the kernel's choice: a child that another test has just forked may hold an old one.
        let listener = unix::SeqpacketListener::bind(&unix::Address::unnamed()).unwrap();
        let address = listener.local_addr().unwrap();
        event_loop
            .on(listener, |n, _, (near, _): (unix::Seqpacket, _)| {
                let mut buf = [0; 8];
                let received = near.try_recv(&mut buf)?.expect("sent before");
                *n += received.len() as u32;
                Ok(Next::Remove)
            })
            .unwrap();
        let far = unix::Seqpacket::connect(&address).unwrap();
        far.try_send(b"four").unwrap().expect("room");
        let mut n = 0;
        event_loop.run(&mut n).unwrap();
        assert_eq!(n, 4);
    });
}
