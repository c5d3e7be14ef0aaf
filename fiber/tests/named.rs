//! The named types over descriptors, on each backend.

mod common;

use becket_fiber::inotify::{Event, Inotify, Mask, Options};
use becket_fiber::net::{Address, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream, resolve};
use becket_fiber::process::{Child, Command, PidFd, Stdio};
use becket_fiber::serial::Port;
use becket_fiber::signal::{Signal, Signals, raise};
use becket_fiber::{Io, Ready, is_cancelled, pipe, scope, sleep, spawn, timeout};
use common::{HOUR, each_backend, kind, settle, skips_valgrind};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

/// What valgrind, at least up to 3.19, answers ENOSYS to.
const NO_PIDFD: &str = "it does not know pidfd_open";

type Wait = Box<dyn FnOnce() -> io::Result<()>>;

/// Runs `test` in a fiber on each backend.
fn in_fiber(test: impl Fn() -> io::Result<()>) {
    each_backend(|rt| rt.run(&test).unwrap().unwrap());
}

#[test]
fn types_are_as_free_as_their_descriptors() {
    fn check<T: Send + Sync>() {}
    check::<(TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream, UnixDatagram)>();
    check::<(pipe::Reader, pipe::Writer, Port, Inotify, Child, becket_fiber::gpio::sysfs::Line)>();
}

#[test]
fn tcp_connects_by_name_peeks_and_reads_while_it_writes() {
    in_fiber(|| {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
        let stream = TcpStream::connect(&format!("localhost:{}", listener.local_addr()?.port()))?;
        let sent: Vec<u8> = (0..2_000_000_u32).map(|n| (n % 251) as u8).collect();
        scope(|s| {
            let server = s.spawn(|| {
                let (stream, _) = listener.accept()?;
                io::copy(&mut &stream, &mut &stream)?;
                stream.shutdown(Shutdown::Write)
            })?;
            let writer = s.spawn(|| (&stream).write_all(&sent).and_then(|()| stream.shutdown(Shutdown::Write)))?;
            let mut first = [0; 4];
            assert!((1..=4).contains(&stream.peek(&mut first)?));
            let mut seen = Vec::new();
            (&stream).read_to_end(&mut seen)?;
            assert!(seen == sent);
            writer.join()??;
            server.join()?
        })
    });
}

#[test]
fn connecting_fails_with_what_and_why() {
    in_fiber(|| {
        let nobody = TcpListener::bind(([127, 0, 0, 1], 0))?.local_addr()?;
        let e = TcpStream::connect(&nobody.to_string()).unwrap_err();
        assert_eq!(e.to_string(), format!("connect {nobody}: Connection refused (os error 111)"));
        let e = resolve("no-such-host.invalid:1883").unwrap_err();
        assert!(e.to_string().starts_with("resolve no-such-host.invalid:1883: "), "{e}");
        // Loopback with a queue that is full answers to no more.
        let full = becket_sys::tcp::Listener::builder().backlog(1).bind(([127, 0, 0, 1], 0))?;
        let address = full.local_addr()?;
        let mut kept = Vec::new();
        let begun = Instant::now();
        let e = loop {
            match timeout(50 * MS, || TcpStream::connect(&address.to_string())) {
                Ok(stream) => kept.push(stream),
                Err(e) => break e,
            }
        };
        assert_eq!((e.kind(), e.raw_os_error(), e.step()), (ErrorKind::TimedOut, None, "connect"));
        assert!(begun.elapsed() >= 50 * MS);
        Ok(())
    });
}

#[test]
fn a_cancel_ends_every_kind_of_wait() {
    in_fiber(|| {
        let _mask = becket_sys::signal::MaskGuard::block(Signal::USR2);
        let mut waits: Vec<(&str, Wait)> = vec![
            ("accept", Box::new(|| TcpListener::bind(([127, 0, 0, 1], 0))?.accept().map(drop))),
            ("unix accept", Box::new(|| UnixListener::bind(&Address::unnamed())?.accept().map(drop))),
            ("recv", Box::new(|| UdpSocket::bind(([127, 0, 0, 1], 0))?.recv(&mut [0]).map(drop))),
            ("unix recv_from", Box::new(|| UnixDatagram::bind(&Address::unnamed())?.recv_from(&mut [0]).map(drop))),
            ("pipe", Box::new(|| pipe::pair().and_then(|(mut r, _w)| r.read_exact(&mut [0])))),
            ("signal", Box::new(|| Signals::new(Signal::USR2)?.next().map(drop))),
            ("inotify", Box::new(|| Inotify::new()?.read().map(drop))),
        ];
        if !skips_valgrind(NO_PIDFD) {
            let child = || Command::new("sleep").arg("60").kill_on_drop(true).spawn()?.wait().map(drop);
            waits.push(("child", Box::new(child)));
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

#[test]
fn timeouts_of_single_calls() {
    in_fiber(|| {
        let (mut a, _b) = UnixStream::pair()?;
        a.set_read_timeout(Some(5 * MS))?;
        let begun = Instant::now();
        assert_eq!(kind(a.read(&mut [0])), Some(ErrorKind::TimedOut));
        assert!(begun.elapsed() >= 5 * MS);
        a.set_write_timeout(Some(5 * MS))?;
        assert_eq!(kind(a.write_all(&[0; 10_000_000])), Some(ErrorKind::TimedOut));
        assert_eq!(kind(a.set_read_timeout(Some(Duration::ZERO))), Some(ErrorKind::InvalidInput));
        assert_eq!(a.wait_ready(Ready::READ, Some(Instant::now()))?, None);
        Ok(())
    });
}

#[test]
fn unix_datagrams_wait_for_room_connected_or_not() {
    in_fiber(|| {
        let receiver = UnixDatagram::bind(&Address::unnamed())?;
        let address = receiver.local_addr()?;
        let sender = UnixDatagram::unbound()?;
        sender.connect(&address)?;
        scope(|s| {
            s.spawn(|| {
                (0..300_u16).try_for_each(|n| sender.send(&n.to_ne_bytes()).map(drop))?;
                let other = UnixDatagram::unbound()?;
                (300..600_u16).try_for_each(|n| other.send_to(&n.to_ne_bytes(), &address).map(drop))
            })?;
            for n in 0..600_u16 {
                let mut buf = [0; 2];
                receiver.recv(&mut buf)?;
                assert_eq!(u16::from_ne_bytes(buf), n);
            }
            Ok(())
        })
    });
}

#[test]
fn unix_streams_wait_for_a_place_in_the_queue() {
    in_fiber(|| {
        let listener = becket_sys::unix::Listener::builder().backlog(0).bind(&Address::unnamed())?;
        let address = listener.local_addr()?;
        let listener = UnixListener::try_from(listener)?;
        let _first = UnixStream::connect(&address)?;
        let second = spawn(move || UnixStream::connect(&address).map(drop))?;
        settle();
        assert!(!second.is_finished());
        listener.accept()?;
        listener.accept()?;
        Ok(second.join()??)
    });
}

#[test]
fn an_exhausted_listener_rests_and_goes_on() {
    // In a process of its own: it takes every descriptor.
    if std::env::var_os("BECKET_EXHAUST").is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "an_exhausted_listener_rests_and_goes_on"])
            .env("BECKET_EXHAUST", "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    in_fiber(|| {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
        let _client = TcpStream::connect_addr(listener.local_addr()?)?;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let few = rustix::process::Rlimit { current: Some(64), maximum: limit.maximum };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, few)?;
        let mut taken = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            taken.push(file);
        }
        let accepting = spawn(move || listener.accept().map(drop))?;
        sleep(20 * MS)?; // and others run meanwhile
        assert!(!accepting.is_finished());
        drop(taken);
        timeout(HOUR, || accepting.join())??;
        Ok(rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)?)
    });
}

#[test]
fn children_are_waited_for_signalled_and_killed() {
    if skips_valgrind(NO_PIDFD) {
        return;
    }
    in_fiber(|| {
        let child = Command::new("sh").args(["-c", "exit 7"]).spawn()?;
        assert_eq!(child.wait()?.code(), Some(7));
        assert_eq!(child.wait()?.code(), Some(7));

        let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut input = cat.stdin.take().unwrap();
        let writer = spawn(move || input.write_all(&[b'x'; 300_000]))?;
        let mut text = String::new();
        cat.stdout.take().unwrap().read_to_string(&mut text)?;
        assert_eq!(text.len(), 300_000);
        writer.join()??;
        assert!(cat.wait()?.success());

        let sleeper = Command::new("sleep").arg("60").spawn()?;
        assert_eq!(kind(timeout(MS, || sleeper.wait())), Some(ErrorKind::TimedOut));
        sleeper.send_signal(Signal::TERM)?;
        assert!(!sleeper.wait()?.success());

        let sleeper = Command::new("sleep").arg("60").spawn()?.kill_on_drop(true);
        let ended = Io::new(PidFd::open(sleeper.id())?)?;
        drop(sleeper);
        ended.wait(Ready::READ, None)?;

        let e = Command::new("/no/such/program").spawn().unwrap_err();
        assert_eq!(e.to_string(), "spawn /no/such/program: No such file or directory (os error 2)");
        Ok(())
    });
}

#[test]
fn signals_inotify_and_serial_ports() {
    let dir = std::env::temp_dir().join(format!("becket-named-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    in_fiber(|| {
        let signals = Signals::new([Signal::USR1])?;
        let next = spawn(move || signals.next().map(|info| info.signal()))?;
        settle();
        raise(Signal::USR1)?;
        assert_eq!(next.join()??, Signal::USR1);

        let inotify = Inotify::new()?;
        inotify.add(&dir, Mask::CREATE, Options::empty())?;
        let next = spawn(move || {
            let mut buf = becket_sys::EventBuf::new();
            let events: Vec<Event> = inotify.read_events(&mut buf)?.map(Event::into_owned).collect();
            Ok::<_, io::Error>(events)
        })?;
        settle();
        std::fs::write(dir.join("a"), "")?;
        assert!(matches!(&next.join()??[..], [Event::Change(c)] if c.name.as_deref() == Some("a".as_ref())));
        std::fs::remove_file(dir.join("a"))?;

        let device = Io::new(becket_sys::pty::Controller::open()?)?;
        let port = Port::open(device.get_ref().terminal_path()?, 9600)?;
        (&port).write_all(b"AT")?;
        let mut text = [0; 2];
        (&device).read_exact(&mut text)?;
        assert_eq!(&text, b"AT");
        port.drain()?;
        let reader = spawn(move || {
            let mut text = [0; 2];
            (&port).read_exact(&mut text).map(|()| (text, port))
        })?;
        settle();
        (&device).write_all(b"ok")?;
        let (text, port) = reader.join()??;
        assert_eq!(&text, b"ok");
        let reader = spawn(move || (&port).read(&mut [0]))?;
        settle();
        drop(device);
        assert_eq!(reader.join()??, 0);
        let e = Port::open("/dev/there-is-none", 9600).unwrap_err();
        assert_eq!(e.to_string(), "open /dev/there-is-none: No such file or directory (os error 2)");
        Ok(())
    });
    std::fs::remove_dir_all(&dir).unwrap();
}
