//! Typed sources over real objects of the kernel, on epoll and on poll(2).

mod common;

use becket_loop::{Loop, Next};
use becket_sys::inotify::{Event, Inotify, Mask, Options};
use becket_sys::process::{Child, PidFd};
use becket_sys::{tcp, unix};
use common::{each_backend, skips_valgrind};
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn a_child_tells_how_it_ended_and_is_gone() {
    if skips_valgrind("a_child_tells_how_it_ended_and_is_gone", "it knows no pidfd_open") {
        return;
    }
    each_backend(|mut event_loop: Loop<Vec<Option<i32>>>| {
        for script in ["exit 3", "kill -9 $$"] {
            let child = Child::spawn(Command::new("sh").args(["-c", script])).unwrap();
            event_loop
                .on(child, |seen: &mut Vec<_>, _, status| {
                    seen.push(status.code());
                    Ok(Next::Keep)
                })
                .unwrap();
        }
        let mut seen = Vec::new();
        event_loop.run(&mut seen).unwrap(); // ends, for both sources were removed
        seen.sort_unstable();
        assert_eq!(seen, [None, Some(3)]);
    });
}

#[test]
fn a_process_known_by_its_number_tells_how_it_ended_once() {
    if skips_valgrind("a_process_known_by_its_number_tells_how_it_ended_once", "it knows no pidfd_open") {
        return;
    }
    each_backend(|mut event_loop: Loop<Vec<Option<i32>>>| {
        let mut child = Command::new("sh").args(["-c", "read line; exit 4"]).stdin(Stdio::piped()).spawn().unwrap();
        let pidfd = PidFd::open(child.id()).unwrap();
        event_loop
            .on(pidfd, |seen: &mut Vec<_>, _, status| {
                seen.push(status.code());
                Ok(Next::Keep)
            })
            .unwrap();
        let mut seen = Vec::new();
        event_loop.turn(&mut seen, Some(Duration::from_millis(20))).unwrap();
        assert_eq!(seen, []);
        drop(child.stdin.take()); // the end of its input
        event_loop.run(&mut seen).unwrap();
        assert_eq!(seen, [Some(4)]);
        assert!(child.wait().is_err(), "its status is taken");
    });
}

#[test]
fn listeners_hand_out_connections() {
    each_backend(|mut event_loop: Loop<u32>| {
        let listener = tcp::Listener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        event_loop
            .on(listener, |n, ctx, (stream, from)| {
                assert_eq!(stream.peer_addr()?, from);
                *n += 1;
                if *n == 20 {
                    ctx.exit(0);
                }
                Ok(Next::Keep)
            })
            .unwrap();
        let clients: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut n = 0;
        event_loop.run(&mut n).unwrap();
        assert_eq!((n, clients.len()), (20, 20));
    });
    each_backend(|mut event_loop: Loop<u32>| {
        let path = std::env::temp_dir().join(format!("becket-sources-{}", std::process::id()));
        let listener = unix::Listener::bind(&unix::Address::pathname(&path).unwrap()).unwrap();
        event_loop
            .on(listener, |n, _, (_stream, _from)| {
                *n += 1;
                Ok(Next::Remove)
            })
            .unwrap();
        let mut client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let _ = client.write_all(b"x");
        let mut n = 0;
        event_loop.run(&mut n).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(n, 1);
    });
}

#[test]
fn inotify_tells_of_changes_by_name() {
    each_backend(|mut event_loop: Loop<Vec<String>>| {
        let folder = std::env::temp_dir().join(format!("becket-inotify-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let inotify = Inotify::new().unwrap();
        inotify.add(&folder, Mask::CREATE, Options::empty()).unwrap();
        event_loop
            .on(inotify, |seen: &mut Vec<String>, ctx, event| {
                if let Event::Change(change) = event {
                    seen.extend(change.name.map(|name| name.to_string_lossy().into_owned()));
                }
                if seen.len() == 2 {
                    ctx.exit(0);
                }
                Ok(Next::Keep)
            })
            .unwrap();
        for name in ["one", "two"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let mut seen = Vec::new();
        event_loop.run(&mut seen).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        assert_eq!(seen, ["one", "two"]);
    });
}
