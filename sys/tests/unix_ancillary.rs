//! What unix sockets tell of the other end, and what they let through.

#[path = "common/descriptors.rs"]
mod descriptors;

mod old_kernel;

use becket_sys::cmsg::{self, Incoming, Outgoing, RecvFlags};
use becket_sys::unix::{Address, Datagram, Listener, Seqpacket, Stream};
use becket_sys::{Ready, wait};
use old_kernel::{since, too_old};
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(20))
}

fn fdinfo(fd: impl AsFd, key: &str) -> String {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd())).unwrap();
    info.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned()
}

#[test]
fn who_takes_no_descriptors_is_sent_none() {
    let (a, b) = Stream::pair().unwrap();
    if too_old("who_takes_no_descriptors_is_sent_none", b.pass_rights()) {
        return;
    }
    assert!(b.pass_rights().unwrap());
    let (reader, writer) = std::io::pipe().unwrap();
    let mut out = Outgoing::new();
    out.push_fds(&[writer.as_fd()]).unwrap();
    a.try_send_with(b"before", &out).unwrap();
    b.set_pass_rights(false).unwrap();
    assert!(!b.pass_rights().unwrap());
    assert_eq!(a.try_send_with(b"after", &out).unwrap_err().raw_os_error(), Some(libc::EPERM));
    assert_eq!(a.try_write(b" plain").unwrap(), Some(6));
    let (mut buf, mut control) = ([0; 16], Incoming::new());
    assert_eq!(b.try_recv_with(&mut buf, &mut control).unwrap().unwrap().len(), 6);
    assert_eq!(control.take_fds().unwrap().len(), 1); // it was under way
    assert_eq!(b.try_recv_with(&mut buf, &mut control).unwrap().unwrap().len(), 6);
    assert!(control.take_fds().unwrap().is_empty());
    drop(reader);

    // Listeners hand it on.
    let listener = Listener::bind(&Address::unnamed()).unwrap();
    listener.set_pass_rights(false).unwrap();
    listener.set_pass_pidfd(true).unwrap();
    let client = Stream::connect(&listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.try_accept().unwrap().unwrap();
    assert!(!server.pass_rights().unwrap() && server.pass_pidfd().unwrap());
    assert_eq!(client.try_send_with(b"x", &out).unwrap_err().raw_os_error(), Some(libc::EPERM));
}

#[test]
fn what_was_asked_of_a_builder_holds_for_the_first_message_too() {
    let out = |client: &Stream| client.try_write(b"first").unwrap();
    let pidfd = Stream::pair().unwrap().0.pass_pidfd().is_ok(); // from Linux 6.5 on
    let mut listener = Listener::builder().pass_credentials(true).pass_security(true);
    if pidfd {
        listener = listener.pass_pidfd(true);
    }
    let listener = listener.bind(&Address::unnamed()).unwrap();
    let client = Stream::connect(&listener.local_addr().unwrap()).unwrap();
    out(&client);
    let (server, _) = listener.try_accept().unwrap().unwrap();
    assert!(server.pass_credentials().unwrap() && server.pass_security().unwrap());
    let mut control = Incoming::new();
    server.try_recv_with(&mut [0; 8], &mut control).unwrap().unwrap();
    assert_eq!(control.credentials(), Some(server.peer_credentials().unwrap()));
    if pidfd {
        assert_eq!(fdinfo(control.take_pidfd().unwrap().unwrap(), "Pid:"), std::process::id().to_string());
    }

    // Asked of the listener, it is too late for who has connected (from Linux 6.16 on), and in time for the next.
    let listener = Listener::bind(&Address::unnamed()).unwrap();
    let early = Stream::connect(&listener.local_addr().unwrap()).unwrap();
    listener.set_pass_credentials(true).unwrap();
    let late = Stream::connect(&listener.local_addr().unwrap()).unwrap();
    out(&early);
    out(&late);
    let (first, second) = (listener.try_accept().unwrap().unwrap().0, listener.try_accept().unwrap().unwrap().0);
    println!("set on the listener after connecting: {}", first.pass_credentials().unwrap());
    assert!(second.pass_credentials().unwrap());
    second.try_recv_with(&mut [0; 8], &mut control).unwrap().unwrap();
    assert_eq!(control.credentials(), Some(second.peer_credentials().unwrap()));

    let receiver = match Datagram::builder().pass_rights(false).pass_credentials(true).bind(&Address::unnamed()) {
        Err(e) if e.raw_os_error() == Some(libc::ENOPROTOOPT) => {
            assert_eq!(e.step(), "set SO_PASSRIGHTS");
            return println!("SKIP: what_was_asked_of_a_builder_holds_for_the_first_message_too: before Linux 6.16");
        }
        receiver => receiver.unwrap(),
    };
    let mut out = Outgoing::new();
    out.push_fds(&[receiver.as_fd()]).unwrap();
    let sender = Datagram::unbound().unwrap();
    let e = sender.try_send_to_with(b"x", &out, &receiver.local_addr().unwrap()).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EPERM));
    assert!(receiver.pass_credentials().unwrap() && !receiver.pass_rights().unwrap());
}

#[test]
fn descriptors_come_with_their_own_bytes() {
    let (a, b) = Stream::pair().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let (mut one, mut two) = (Outgoing::new(), Outgoing::new());
    one.push_fds(&[reader.as_fd()]).unwrap();
    two.push_fds(&[reader.as_fd(), writer.as_fd()]).unwrap();
    a.try_write(b"a").unwrap();
    a.try_send_with(b"bb", &one).unwrap();
    a.try_send_with(b"ccc", &two).unwrap();
    a.try_write(b"d").unwrap();
    let (mut buf, mut control) = ([0; 64], Incoming::new());
    let mut next = || {
        let received = b.try_recv_with(&mut buf, &mut control).unwrap().unwrap();
        (String::from_utf8(buf[..received.len()].to_vec()).unwrap(), control.take_fds().unwrap().len())
    };
    // It may begin with what was sent before, but never goes on.
    assert_eq!(next(), ("abb".to_owned(), 1));
    assert_eq!(next(), ("ccc".to_owned(), 2));
    assert_eq!(next(), ("d".to_owned(), 0));
}

#[test]
fn plain_reads_and_cut_ones_lose_descriptors_only_once() {
    let (a, b) = Stream::pair().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut out = Outgoing::new();
    out.push_fds(&[writer.as_fd()]).unwrap();
    a.try_send_with(b"xy", &out).unwrap();
    a.try_send_with(b"z", &out).unwrap();
    drop(writer);
    let mut control = Incoming::new();
    // They come with the first byte of theirs, and not again with the second.
    b.try_recv_with(&mut [0; 1], &mut control).unwrap().unwrap();
    assert_eq!(control.take_exactly::<1>().unwrap().len(), 1);
    b.try_recv_with(&mut [0; 1], &mut control).unwrap().unwrap();
    assert!(control.take_fds().unwrap().is_empty());
    assert_eq!(b.try_read(&mut [0; 4]).unwrap(), Some(1));
    // The last writer was closed.
    assert_eq!(std::io::Read::read(&mut reader, &mut [0; 1]).unwrap(), 0);
}

#[test]
fn a_partial_send_has_sent_the_descriptors() {
    let (a, b) = Stream::pair().unwrap();
    let (reader, _writer) = std::io::pipe().unwrap();
    let mut out = Outgoing::new();
    out.push_fds(&[reader.as_fd()]).unwrap();
    let data = vec![7; 4 << 20];
    let sent = a.try_send_with(&data, &out).unwrap().unwrap();
    assert!(sent < data.len());
    assert_eq!(a.try_send_with(&data, &out).unwrap(), None);
    let (mut got, mut fds, mut control) = (0, 0, Incoming::new());
    let mut buf = vec![0; 1 << 16];
    while got < sent {
        let received = b.try_recv_with(&mut buf, &mut control).unwrap().unwrap();
        got += received.len();
        fds += control.take_fds().unwrap().len();
    }
    assert_eq!((got, fds), (sent, 1));
}

#[test]
fn credentials_come_with_each_message_once_asked_for() {
    let me = Stream::pair().unwrap().0.peer_credentials().unwrap();
    let (a, b) = Datagram::pair().unwrap();
    let mut control = Incoming::new();
    a.try_send(b"before").unwrap();
    b.set_pass_credentials(true).unwrap();
    assert!(b.pass_credentials().unwrap() && !a.pass_credentials().unwrap());
    a.try_send(b"after").unwrap();
    b.try_recv_with(&mut [0; 8], &mut control).unwrap().unwrap();
    let before = control.credentials().unwrap();
    assert_eq!((before.pid, before.uid, before.gid), (None, 65534, 65534));
    b.try_recv_with(&mut [0; 8], &mut control).unwrap().unwrap();
    assert_eq!(control.credentials(), Some(me));
    b.set_pass_credentials(false).unwrap();
    a.try_send(b"without").unwrap();
    b.try_recv_with(&mut [0; 8], &mut control).unwrap().unwrap();
    assert_eq!(control.credentials(), None);

    // Who asks is given a name.
    let listener = Listener::bind(&Address::unnamed()).unwrap();
    let asks = Datagram::unbound().unwrap();
    asks.set_pass_credentials(true).unwrap();
    asks.try_send_to(b"x", &listener.local_addr().unwrap()).unwrap_err();
    assert!(asks.local_addr().unwrap().as_abstract_name().is_some());
}

#[test]
fn a_message_brings_its_sender_as_a_descriptor() {
    let pid = std::process::id();
    let (a, b) = Seqpacket::pair().unwrap();
    if too_old("a_message_brings_its_sender_as_a_descriptor", b.pass_pidfd()) {
        return;
    }
    b.set_pass_pidfd(true).unwrap();
    a.try_send(b"x").unwrap();
    let mut control = Incoming::new();
    b.try_recv_with(&mut [0; 8], &mut control).unwrap().unwrap();
    assert_eq!(fdinfo(control.pidfd().unwrap(), "Pid:"), pid.to_string());
    let process = control.take_pidfd().unwrap().unwrap();
    assert!(control.take_pidfd().unwrap().is_none() && control.pidfd().is_none());
    assert_ne!(i32::from_str_radix(&fdinfo(&process, "flags:"), 8).unwrap() & libc::O_CLOEXEC, 0);

    // One that has ended is still told, or what became of it.
    let (a, b) = Stream::pair().unwrap();
    b.set_pass_pidfd(true).unwrap();
    let status = Command::new("sh").args(["-c", "printf x"]).stdout(Stdio::from(OwnedFd::from(a))).status();
    assert!(status.unwrap().success());
    b.try_recv_with(&mut [0; 8], &mut control).unwrap().unwrap();
    match control.take_pidfd() {
        Ok(process) => assert!(process.unwrap().wait_ready(Ready::READ, soon()).unwrap().is_some()),
        Err(e) => assert!(matches!(e.raw_os_error(), Some(libc::ESRCH | libc::EINVAL)), "{e}"),
    }
}

#[test]
fn the_peer_is_a_process_that_can_be_held() {
    let pid = std::process::id();
    let (a, b) = Stream::pair().unwrap();
    if too_old("the_peer_is_a_process_that_can_be_held", a.peer_pidfd()) {
        return;
    }
    let process = a.peer_pidfd().unwrap();
    assert_eq!(fdinfo(&process, "Pid:"), pid.to_string());
    assert_ne!(i32::from_str_radix(&fdinfo(&process, "flags:"), 8).unwrap() & libc::O_CLOEXEC, 0);
    drop(b);
    assert_eq!(fdinfo(a.peer_pidfd().unwrap(), "Pid:"), pid.to_string()); // the end has gone, not the process

    let lonely = Datagram::unbound().unwrap();
    assert_eq!(lonely.peer_pidfd().unwrap_err().raw_os_error(), Some(libc::ENODATA));
    assert_eq!(lonely.peer_credentials().unwrap_err().raw_os_error(), Some(libc::ENOTCONN));
    assert_eq!(lonely.peer_groups().unwrap_err().raw_os_error(), Some(libc::ENOTCONN));
}

#[test]
fn the_groups_of_the_peer_are_all_there() {
    let groups = |end: &Stream| {
        let mut groups = end.peer_groups().unwrap();
        groups.sort();
        groups
    };
    let mut mine: Vec<_> = rustix::process::getgroups().unwrap().iter().map(|g| g.as_raw()).collect();
    mine.sort();
    assert_eq!(groups(&Stream::pair().unwrap().0), mine);
    // More than fit at first, of one thread.
    let many: Vec<u32> = (1000..1300).collect();
    let ids: Vec<_> = many.iter().map(|id| rustix::process::Gid::from_raw(*id)).collect();
    let pair = std::thread::spawn(move || {
        rustix::thread::set_thread_groups(&ids)?;
        Ok::<_, std::io::Error>(Stream::pair().unwrap())
    });
    match pair.join().unwrap() {
        Ok((a, _b)) => assert_eq!(groups(&a), many),
        Err(e) => println!("SKIP: the_groups_of_the_peer_are_all_there: {e}"),
    }
}

#[test]
fn labels_are_told_where_a_security_module_has_some() {
    let (mut control, buf) = (Incoming::new(), &mut [0; 4]);
    let (a, b) = Stream::pair().unwrap();
    b.set_pass_security(true).unwrap();
    assert!(b.pass_security().unwrap());
    b.set_pass_credentials(true).unwrap(); // on a stream, without them there is no label either
    a.try_write(b"x").unwrap();
    b.try_recv_with(buf, &mut control).unwrap().unwrap();
    let label = b.peer_security().unwrap();
    assert_eq!(control.security(), label.as_deref());

    let (a, b) = Seqpacket::pair().unwrap();
    b.set_pass_security(true).unwrap();
    a.try_send(b"x").unwrap();
    b.try_recv_with(buf, &mut control).unwrap().unwrap();
    assert_eq!(control.security(), label.as_deref());

    match label {
        None => {
            println!("SKIP: labels_are_told_where_a_security_module_has_some: none is here; scripts/test-vm has one")
        }
        Some(label) => assert!(!label.is_empty() && !label.contains(&0)),
    }
    let (reader, _writer) = std::io::pipe().unwrap();
    let wrong = Stream::from(OwnedFd::from(reader));
    assert_eq!(wrong.peer_security().unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
}

/// Not a test of its own: what `a_peer_that_has_ended_is_still_that_process` runs in a process of its own.
#[test]
fn in_a_process_that_ends() {
    let Ok(name) = std::env::var(ENDS) else { return };
    Stream::connect(&Address::abstract_name(name).unwrap()).unwrap().try_write(b"x").unwrap();
}

#[test]
fn a_peer_that_has_ended_is_still_that_process() {
    let listener = Listener::bind(&Address::unnamed()).unwrap();
    let addr = listener.local_addr().unwrap();
    let name = std::str::from_utf8(addr.as_abstract_name().unwrap()).unwrap().to_owned();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "in_a_process_that_ends"])
        .env(ENDS, name)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert!(child.wait().unwrap().success());
    let (server, _) = listener.try_accept().unwrap().unwrap();
    assert_eq!(server.peer_credentials().unwrap().pid, Some(child.id())); // by now perhaps another's
    match server.peer_pidfd() {
        Ok(process) => {
            assert!(process.wait_ready(Ready::READ, soon()).unwrap().is_some());
            let signal = becket_sys::signal::Signal::TERM;
            assert_eq!(process.send_signal(signal).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        }
        // Before 6.16, and before 6.5.
        Err(e) => assert!(matches!(e.raw_os_error(), Some(libc::ESRCH | libc::EINVAL | libc::ENOPROTOOPT)), "{e}"),
    }
}

#[test]
fn what_is_left_to_read_is_told() {
    let (a, b) = Stream::pair().unwrap();
    if let Err(e) = b.set_recv_unread(true) {
        return println!("SKIP: what_is_left_to_read_is_told: {e}");
    }
    a.try_write(b"12345").unwrap();
    let mut control = Incoming::new();
    for left in [3, 1, 0] {
        b.try_recv_with(&mut [0; 2], &mut control).unwrap().unwrap();
        assert!(control.messages().eq([cmsg::Message::Unread(left)]), "{control:?}");
    }
}

/// The name of the variable by which a process that soon ends is told where to connect.
const ENDS: &str = "BECKET_TEST_ENDS";

/// The name of the variable by which the process in another namespace is told where to connect.
const ADDRESS: &str = "BECKET_TEST_ADDRESS";

/// Not a test of its own: what `a_process_of_another_namespace_has_no_number` runs in one.
#[test]
fn in_another_namespace() {
    let Ok(name) = std::env::var(ADDRESS) else { return };
    let stream = Stream::connect(&Address::abstract_name(name).unwrap()).unwrap();
    stream.set_pass_credentials(true).unwrap();
    let peer = stream.peer_credentials().unwrap();
    assert_eq!(peer.pid, None);
    assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
    stream.try_write(b"?").unwrap();
    stream.wait_ready(Ready::READ, soon()).unwrap().expect("an answer within 20 s");
    let mut control = Incoming::new();
    stream.try_recv_with(&mut [0; 4], &mut control).unwrap().unwrap();
    let sender = control.credentials().unwrap();
    assert_eq!((sender.pid, sender.uid), (None, peer.uid));
}

#[test]
fn a_process_of_another_namespace_has_no_number() {
    let listener = Listener::bind(&Address::unnamed()).unwrap();
    let addr = listener.local_addr().unwrap();
    let name = std::str::from_utf8(addr.as_abstract_name().unwrap()).unwrap().to_owned();
    let me = std::env::current_exe().unwrap();
    let child = Command::new("unshare")
        .args(["--pid", "--fork"])
        .arg(me)
        .args(["--exact", "in_another_namespace"])
        .env(ADDRESS, name)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let child = match child {
        Ok(child) => child,
        Err(e) => return println!("SKIP: a_process_of_another_namespace_has_no_number: unshare: {e}"),
    };
    let output = std::thread::spawn(move || child.wait_with_output().unwrap());
    while !output.is_finished() {
        let deadline = Some(Instant::now() + Duration::from_millis(20));
        if wait(&listener, Ready::READ, deadline).unwrap().is_none() {
            continue;
        }
        let (server, _) = listener.try_accept().unwrap().unwrap();
        assert!(server.peer_credentials().unwrap().pid.is_some()); // seen from outside it has one
        server.wait_ready(Ready::READ, soon()).unwrap().expect("a question within 20 s");
        server.try_write(b"!").unwrap();
    }
    let output = output.join().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if stderr.contains("unshare failed") {
        return println!("SKIP: a_process_of_another_namespace_has_no_number: {stderr}");
    }
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(stdout.contains("1 passed"), "{stdout}");
}

#[test]
fn senders_of_datagrams_are_told_with_what_comes_beside() {
    let receiver = Datagram::bind(&Address::unnamed()).unwrap();
    let addr = receiver.local_addr().unwrap();
    let (named, unnamed) = (Datagram::bind(&Address::unnamed()).unwrap(), Datagram::unbound().unwrap());
    let mut out = Outgoing::new();
    out.push_fds(&[receiver.as_fd()]).unwrap();
    let mut control = Incoming::new();
    for (sender, from) in [(&named, named.local_addr().unwrap()), (&unnamed, Address::unnamed())] {
        assert_eq!(sender.try_send_to_with(b"x", &out, &addr).unwrap(), Some(1));
        receiver.try_recv_with(&mut [0; 4], &mut control).unwrap().unwrap();
        assert_eq!((control.unix_sender(), control.sender()), (Some(from), None));
        // It came to itself; the descriptor is the same socket.
        let [same] = control.take_exactly().unwrap();
        assert_eq!(Datagram::from(same).local_addr().unwrap(), addr);
    }
    assert_eq!(control.take_fds().unwrap().len(), 0);
    // A path to the last byte.
    let dir = std::env::temp_dir().join(format!("becket-cmsg-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let len = 108 - dir.as_os_str().len() - 1;
    let long = Address::pathname(dir.join("x".repeat(len))).unwrap();
    let sender = Datagram::builder().unlink_on_drop(true).bind(&long).unwrap();
    sender.try_send_to(b"x", &addr).unwrap();
    let bufs = &mut [IoSliceMut::new(&mut [])];
    cmsg::try_recv(&receiver, bufs, &mut control, RecvFlags::empty()).unwrap().unwrap();
    assert_eq!(control.unix_sender(), Some(long));
    drop(sender);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn urgent_bytes_overtake_a_unix_stream_too() {
    let (a, b) = Stream::pair().unwrap();
    if let Err(e) = a.try_send_urgent(b"ab!") {
        return println!("SKIP: urgent_bytes_overtake_a_unix_stream_too: {e}");
    }
    assert_eq!(a.try_recv_urgent().unwrap(), None);
    a.try_write(b"cd").unwrap();
    assert!(wait(&b, Ready::PRI, soon()).unwrap().is_some());
    assert_eq!(b.try_peek_urgent().unwrap(), Some(b'!'));
    assert!(!b.is_at_mark().unwrap());
    assert_eq!(b.try_recv_urgent().unwrap(), Some(b'!'));
    assert_eq!(wait(&b, Ready::PRI, Some(Instant::now())).unwrap(), None);
    let mut buf = [0; 8];
    assert_eq!(b.try_read(&mut buf).unwrap(), Some(2));
    assert_eq!(&buf[..2], b"ab");
    let marked = b.is_at_mark().unwrap();
    // In Linux 6.1 it goes with the byte.
    assert!(marked || !since("urgent_bytes_overtake_a_unix_stream_too: its mark", 6, 12));
    assert_eq!(b.try_read(&mut buf).unwrap(), Some(2));
    assert_eq!((&buf[..2], b.try_recv_urgent().unwrap()), (&b"cd"[..], None));

    b.set_urgent_inline(true).unwrap();
    a.try_send_urgent(b"e!").unwrap();
    assert_eq!(b.try_recv_urgent().unwrap(), None);
    assert_eq!(b.try_read(&mut buf).unwrap(), Some(1));
    assert!(b.is_at_mark().unwrap());
    assert_eq!((b.try_read(&mut buf).unwrap(), buf[0]), (Some(1), b'!'));
}
