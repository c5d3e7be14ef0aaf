//! The named types over timers, terminals, verdicts on files, netlink, pressure, mounts, attributes, on each backend.

mod common;

use becket_fiber::fanotify::{Class, Event, Fanotify, Mask, Options, Scope};
use becket_fiber::net::{Address, UdpSocket, UnixDatagram, UnixSeqpacket, UnixSeqpacketListener, UnixStream};
use becket_fiber::netlink::{self, Incoming, Protocol, route};
use becket_fiber::timer::{Clock, Timer, When};
use becket_fiber::{Ready, attribute, fs, is_cancelled, mounts, pipe, psi, pty, scope, sleep, spawn, timeout, tty};
use becket_sys::EventBuf;
use becket_sys::cmsg::{Batch, Incoming as Control, Outgoing, Packet};
use common::{HOUR, each_backend, kind, settle, skips_valgrind};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

type Wait = Box<dyn FnOnce() -> io::Result<()>>;

/// Runs `test` in a fiber on each backend.
fn in_fiber(test: impl Fn() -> io::Result<()>) {
    each_backend(|rt| rt.run(&test).unwrap().unwrap());
}

#[test]
fn types_are_as_free_as_their_descriptors() {
    fn check<T: Send + Sync>() {}
    check::<(Timer, tty::Tty, pty::Controller, Fanotify, psi::Trigger, mounts::Watcher, attribute::Attribute)>();
    check::<(netlink::Socket, route::Monitor, UnixSeqpacket, UnixSeqpacketListener)>();
    check::<(becket_fiber::gpio::Chip, becket_fiber::gpio::Lines, becket_fiber::input::Device)>();
}

#[test]
fn a_cancel_ends_every_kind_of_wait() {
    in_fiber(|| {
        let mut waits: Vec<(&str, Wait)> = vec![
            ("timer", Box::new(|| Timer::new(Clock::Boottime)?.next().map(drop))),
            ("tty", Box::new(|| pty::pair().map(|(_c, mut t)| t.read(&mut [0]))?.map(drop))),
            ("pty", Box::new(|| pty::pair().map(|(mut c, _t)| c.read(&mut [0]))?.map(drop))),
            ("packet", Box::new(|| pty::pair().map(|(c, _t)| c.read_packet(&mut [0]))?.map(drop))),
            ("records", Box::new(|| UnixSeqpacket::pair()?.0.recv(&mut [0]).map(drop))),
            ("record", Box::new(|| UnixSeqpacket::pair()?.0.recv_record(&mut [0], &mut Control::new()).map(drop))),
            ("seqpacket", Box::new(|| UnixSeqpacketListener::bind(&Address::unnamed())?.accept().map(drop))),
            ("recv_with", Box::new(|| UnixStream::pair()?.0.recv_with(&mut [0], &mut Control::new()).map(drop))),
            (
                "batch",
                Box::new(|| UdpSocket::bind(([127, 0, 0, 1], 0))?.recv_batch(&mut Batch::new(1, 1, 0)).map(drop)),
            ),
            ("netlink", Box::new(|| netlink::Socket::new(Protocol::ROUTE)?.recv(&mut EventBuf::new(), drop_it))),
            ("mounts", Box::new(|| mounts::Watcher::new()?.next().map(drop))),
            ("attribute", Box::new(|| attribute::Attribute::open("/proc/sys/kernel/hostname")?.next().map(drop))),
        ];
        if let Ok(trigger) =
            psi::Trigger::open(psi::Resource::Memory.path(), psi::Kind::Full, 1900 * MS, Duration::from_secs(2))
        {
            waits.push(("pressure", Box::new(move || trigger.next().map(drop))));
        } else {
            println!("SKIP: no pressure trigger: not for this user, or not on this kernel");
        }
        if let Ok(group) = becket_sys::fanotify::Fanotify::builder().report(becket_fiber::fanotify::Report::FID).open()
        {
            waits.push(("fanotify", Box::new(move || Fanotify::try_from(group)?.read().map(drop))));
        }
        for (what, wait) in waits {
            let fiber = spawn(wait)?;
            settle();
            assert!(!fiber.is_finished(), "{what}");
            fiber.cancel();
            let e = fiber.join()?.unwrap_err();
            assert!(is_cancelled(&e), "{what}: {e}");
        }
        Ok(())
    });
}

fn drop_it(_: Incoming<'_>) {}

#[test]
fn timers_tick_on_their_clock() {
    if skips_valgrind("it hides the vdso, where rustix reads the clock") {
        return;
    }
    in_fiber(|| {
        let timer = Timer::new(Clock::Realtime)?;
        timer.set(When::After(2 * MS), Some(2 * MS))?;
        let mut ticks = 0;
        while ticks < 5 {
            match timer.next()? {
                becket_fiber::timer::Event::Expired(n) => ticks += n,
                other => panic!("{other:?}"),
            }
        }
        timer.set(When::After(HOUR), None)?;
        assert_eq!(kind(timeout(MS, || timer.next())), Some(ErrorKind::TimedOut));
        let at = Clock::Boottime.now() + 3 * MS;
        becket_fiber::timer::sleep_until(Clock::Boottime, at)?;
        assert!(Clock::Boottime.now() >= at);
        Ok(())
    });
}

#[test]
fn terminals_and_their_controllers() {
    in_fiber(|| {
        let (controller, terminal) = pty::pair()?;
        controller.set_packet_mode(true)?;
        let reader = spawn(move || {
            let mut buf = [0; 8];
            loop {
                if let pty::Packet::Data(n) = controller.read_packet(&mut buf)? {
                    return Ok::<_, io::Error>((buf[..n].to_vec(), controller));
                }
            }
        })?;
        settle();
        (&terminal).write_all(b"hi")?;
        let (text, controller) = reader.join()??;
        assert_eq!(text, b"hi");
        controller.set_packet_mode(false)?;

        let again = tty::Tty::reopen(&terminal)?;
        let _raw = again.raw_mode()?;
        let keys = scope(|s| {
            let keys = s.spawn(|| {
                let mut key = [0];
                (&again).read_exact(&mut key).map(|()| key)
            })?;
            settle();
            (&controller).write_all(b"q")?;
            keys.join()?
        })?;
        assert_eq!(&keys, b"q");
        // More than a terminal takes: it waits for whoever reads it.
        scope(|s| {
            let writer = s.spawn(|| (&terminal).write_all(&[b'x'; 100_000]))?;
            let mut left = 100_000;
            let mut buf = [0; 4096];
            while left > 0 {
                left -= (&controller).read(&mut buf)?;
            }
            writer.join()?
        })
    });
}

#[test]
fn descriptors_are_passed_by_every_unix_socket() {
    in_fiber(|| {
        let mut control = Outgoing::new();
        let (reader, mut writer) = pipe::pair()?;
        control.push_fds(&[reader.as_fd()])?;
        let (a, b) = UnixStream::pair()?;
        let (c, d) = UnixSeqpacket::pair()?;
        let (e, f) = UnixDatagram::pair()?;
        let address = Address::unnamed();
        let named = UnixDatagram::bind(&address)?;
        assert_eq!(a.send_with(b"a", &control)?, 1);
        assert_eq!(c.send_with(b"c", &control)?, 1);
        assert_eq!(e.send_with(b"e", &control)?, 1);
        assert_eq!(e.send_to_with(b"n", &control, &named.local_addr()?)?, 1);
        let mut buf = [0; 4];
        let mut seen = Vec::new();
        let mut control = Control::for_fds(1);
        for receive in 0..4 {
            match receive {
                0 => b.recv_with(&mut buf, &mut control)?,
                1 => d.recv_with(&mut buf, &mut control)?,
                2 => f.recv_with(&mut buf, &mut control)?,
                _ => named.recv_with(&mut buf, &mut control)?,
            };
            let [fd] = control.take_exactly().map_err(io::Error::other)?;
            seen.push(pipe::Reader::try_from(becket_sys::pipe::Reader::from(fd))?);
        }
        drop(reader);
        writer.write_all(b"1234")?;
        for (mut reader, digit) in seen.into_iter().zip(b"1234") {
            let mut one = [0];
            reader.read_exact(&mut one)?;
            assert_eq!(one[0], *digit);
        }
        Ok(())
    });
}

#[test]
fn records_wait_for_room_and_keep_their_bounds() {
    in_fiber(|| {
        let listener = UnixSeqpacketListener::bind(&Address::unnamed())?;
        let address = listener.local_addr()?;
        let sender = spawn(move || {
            let socket = UnixSeqpacket::connect(&address)?;
            (1..500_usize).try_for_each(|n| socket.send(&vec![n as u8; n]).map(drop))
        })?;
        let (socket, _) = listener.accept()?;
        let mut buf = [0; 600];
        for n in 1..500 {
            assert_eq!(socket.peek(&mut buf)?.len(), n);
            assert_eq!(socket.recv(&mut buf)?.len(), n);
            assert!(buf[..n].iter().all(|b| *b == n as u8));
        }
        assert!(socket.recv(&mut buf)?.is_empty()); // the end
        sender.join()?
    });
}

#[test]
fn datagrams_in_batches() {
    in_fiber(|| {
        let (a, b) = (UdpSocket::bind(([127, 0, 0, 1], 0))?, UdpSocket::bind(([127, 0, 0, 1], 0))?);
        let to = b.local_addr()?;
        let receiver = spawn(move || {
            let mut batch = Batch::new(8, 16, 0);
            let mut seen = Vec::new();
            while seen.len() < 20 {
                let n = b.recv_batch(&mut batch)?;
                assert!((1..=8).contains(&n));
                seen.extend(batch.messages().iter().map(|m| m.data()[0]));
            }
            Ok::<_, io::Error>(seen)
        })?;
        settle();
        let data: Vec<[u8; 1]> = (0..20).map(|n| [n]).collect();
        let packets: Vec<Packet<'_>> = data.iter().map(|d| Packet::new(d).to(to)).collect();
        let mut sent = 0;
        while sent < 20 {
            sent += a.send_batch(&packets[sent..])?;
        }
        assert_eq!(receiver.join()??, (0..20).collect::<Vec<u8>>());
        Ok(())
    });
}

#[test]
fn links_are_listed_and_groups_are_heard() {
    in_fiber(|| {
        let socket = netlink::Socket::new(Protocol::ROUTE)?;
        let lo = route::links(&socket)?.into_iter().find(|l| l.name == "lo").unwrap();
        assert!(lo.flags.contains(route::LinkFlags::LOOPBACK));
        assert!(route::addresses(&socket)?.iter().all(|a| a.link > 0));
        route::routes(&socket)?;
        route::neighbours(&socket)?;
        // An answer by hand, through a wait.
        let mut request = netlink::Request::new(18, netlink::Flags::empty());
        request.put([0; 16]);
        request.attr_str(3, "lo");
        let number = socket.send(&request)?;
        let mut buf = EventBuf::with_capacity(32 * 1024);
        let heard = socket.recv(&mut buf, |incoming| match incoming {
            Incoming::Datagram(d) => d.messages().map(|m| m.sequence).collect::<Vec<_>>(),
            Incoming::Overflow => Vec::new(),
        })?;
        assert_eq!(heard, [number]);
        let monitor = route::Monitor::new(route::Watch::LINKS)?;
        match timeout(MS, || monitor.read()) {
            Ok(events) => assert!(!events.is_empty()),
            Err(e) => assert_eq!(e.kind(), ErrorKind::TimedOut),
        }
        Ok(())
    });
}

#[test]
fn attributes_tell_of_writes() {
    in_fiber(|| {
        let path = "/proc/sys/kernel/hostname";
        let Ok(writable) = becket_sys::attribute::Attribute::open_writable(path) else {
            println!("SKIP: {path} is not this user's to write");
            return Ok(());
        };
        let name = attribute::Attribute::open(path)?;
        let value = name.read()?;
        for _ in 0..2 {
            let n = attribute::Attribute::open(path)?;
            let waiting = spawn(move || n.next())?;
            settle();
            if let Err(e) = writable.write(&value) {
                println!("SKIP: {path} cannot be written: {e}");
                waiting.cancel();
                return Ok(());
            }
            assert_eq!(timeout(HOUR, || waiting.join())??, value);
        }
        // What came while nobody waited is told once.
        assert_eq!(name.next()?, value);
        assert_eq!(kind(timeout(MS, || name.next())), Some(ErrorKind::TimedOut));
        Ok(())
    });
}

#[test]
fn a_fiber_gives_verdicts_on_files() {
    if skips_valgrind("it does not know all of fanotify") {
        return;
    }
    in_fiber(|| {
        let builder = becket_sys::fanotify::Fanotify::builder().class(Class::Content);
        let group = match builder.open() {
            Ok(group) => Fanotify::try_from(group)?,
            Err(e) => {
                println!("SKIP: no permission events: {e}");
                return Ok(());
            }
        };
        let path = std::env::temp_dir().join(format!("becket-fiber-verdict-{}", std::process::id()));
        std::fs::write(&path, "text")?;
        if let Err(e) = group.add(Scope::Inode, &path, Mask::OPEN_PERM, Options::empty()) {
            println!("SKIP: no marks for permissions: {e}");
            return Ok(());
        }
        let judge = spawn(move || {
            let mut verdicts = Vec::new();
            while verdicts.len() < 2 {
                for event in group.read()? {
                    let Event::Permission(permission) = event else { continue };
                    let allow = verdicts.is_empty();
                    // By another fiber, later, while whoever asked waits.
                    verdicts.push(spawn(move || {
                        sleep(5 * MS)?;
                        if allow { permission.allow() } else { permission.deny() }
                    })?);
                }
            }
            verdicts.into_iter().try_for_each(|v| v.join()?)
        })?;
        // On a helper thread: this one is the judge's.
        assert_eq!(timeout(HOUR, || fs::read_to_string(&path))?, "text");
        assert_eq!(kind(timeout(HOUR, || fs::read_to_string(&path))), Some(ErrorKind::PermissionDenied));
        judge.join()??;
        std::fs::remove_file(&path)
    });
}

#[test]
fn a_program_on_a_terminal() {
    if skips_valgrind("it does not know pidfd_open") {
        return;
    }
    in_fiber(|| {
        let mut controller = pty::Controller::open()?;
        let mut cat = std::process::Command::new("cat");
        cat.arg("-");
        let child = controller.spawn(cat)?;
        controller.write_all(b"one\n\x04")?;
        let mut said = String::new();
        controller.read_to_string(&mut said)?;
        assert!(said.ends_with("one\r\none\r\n"), "{said:?}");
        assert!(child.wait()?.success());
        assert!(child.wait_ready(Ready::READ, None)?.is_some());
        Ok(())
    });
}
