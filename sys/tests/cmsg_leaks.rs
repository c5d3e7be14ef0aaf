//! No descriptor is lost, whatever becomes of the message that it came in. The tests take turns, because they count the
//! descriptors of the process.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::cmsg::{self, Batch, Incoming, Outgoing, Packet, RecvFlags, space};
use becket_sys::unix::{Address, Datagram, Stream};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::{IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many descriptors this process has open.
fn open() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Asks for a descriptor of the sender with each message; how many come: none before Linux 6.5.
fn pass_pidfd(result: std::io::Result<()>) -> usize {
    match result {
        Err(e) if e.raw_os_error() == Some(libc::ENOPROTOOPT) => {
            println!("without pidfds of senders: {e}");
            0
        }
        done => done.map(|()| 1).unwrap(),
    }
}

#[test]
fn a_flood_into_every_size_of_buffer_leaves_nothing_behind() {
    let _turn = turn();
    let pairs = [Datagram::pair().unwrap(), Datagram::pair().unwrap()];
    let pidfd = pass_pidfd(pairs[0].1.set_pass_pidfd(true));
    pairs[0].1.set_pass_credentials(true).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut out = Outgoing::new();
    out.push_fds(&[reader.as_fd(), writer.as_fd(), reader.as_fd()]).unwrap();
    let before = open();
    let mut seen = [0; 2];
    for round in 0..3 {
        for capacity in 0..=160 {
            let mut control = Incoming::with_capacity(capacity);
            for (i, (a, b)) in pairs.iter().enumerate() {
                a.try_send_with(b"x", &out).unwrap().unwrap();
                let received = b.try_recv_with(&mut [0; 4], &mut control).unwrap().unwrap();
                assert_eq!(received.len(), 1);
                assert_eq!(received.is_control_truncated(), control.is_truncated());
                let (fds, pidfds) = (control.fds().len(), usize::from(control.pidfd().is_some()));
                assert_eq!(open(), before + fds + pidfds, "{capacity}: all is owned at once");
                let complete = fds == 3 && (i == 1 || pidfds == pidfd && control.credentials().is_some());
                assert_eq!(control.is_truncated(), !complete, "{capacity}");
                assert!(control.as_bytes().len() <= control.capacity());
                seen[i] = seen[i].max(fds + pidfds);
                match round {
                    0 => control.clear(),
                    1 => drop((control.take_fds(), control.take_pidfd())),
                    _ => {} // received into again, and dropped
                }
            }
        }
        assert_eq!(open(), before);
    }
    assert_eq!(seen, [3 + pidfd, 3]);
}

#[test]
fn threads_that_share_a_socket_own_each_descriptor_once() {
    let _turn = turn();
    let before = open();
    {
        let (a, b) = Datagram::pair().unwrap();
        pass_pidfd(b.set_pass_pidfd(true));
        let mut out = Outgoing::new();
        out.push_fds(&[a.as_fd(), b.as_fd()]).unwrap();
        let done = std::sync::atomic::AtomicUsize::new(0);
        let deadline = Instant::now() + Duration::from_secs(60);
        std::thread::scope(|scope| {
            for single in [true, true, false] {
                let (b, done) = (&b, &done);
                scope.spawn(move || {
                    let (mut control, mut batch) = (Incoming::new(), Batch::new(4, 1, 200));
                    while done.load(Relaxed) < 1000 {
                        assert!(Instant::now() < deadline);
                        let n = if single {
                            b.try_recv_with(&mut [0; 1], &mut control).unwrap().map(|_| {
                                assert_eq!(control.take_exactly::<2>().unwrap().len(), 2);
                                1
                            })
                        } else {
                            cmsg::try_recv_batch(b, &mut batch, RecvFlags::empty()).unwrap()
                        };
                        done.fetch_add(n.unwrap_or(0), Relaxed);
                        if n.is_none() {
                            std::thread::yield_now();
                        }
                    }
                });
            }
            let mut sent = 0;
            while sent < 1000 {
                sent += usize::from(a.try_send_with(b"x", &out).unwrap().is_some());
                assert!(Instant::now() < deadline);
            }
        });
        assert_eq!(done.into_inner(), 1000);
    }
    assert_eq!(open(), before);
}

#[test]
fn peeks_own_their_duplicates() {
    let _turn = turn();
    let (a, b) = Stream::pair().unwrap();
    let pidfd = pass_pidfd(b.set_pass_pidfd(true));
    let mut out = Outgoing::new();
    out.push_fds(&[a.as_fd()]).unwrap();
    a.try_send_with(b"x", &out).unwrap();
    let before = open();
    let mut control = Incoming::new();
    for _ in 0..10 {
        b.try_peek_with(&mut [0; 4], &mut control).unwrap().unwrap();
        assert_eq!(open(), before + 1 + pidfd);
    }
    let first = control.take_exactly::<1>().unwrap();
    b.try_recv_with(&mut [0; 4], &mut control).unwrap().unwrap();
    let second = control.take_exactly::<1>().unwrap();
    assert_ne!(first[0].as_raw_fd(), second[0].as_raw_fd());
    drop((first, second));
    // What fails closes what was there before, as what succeeds does.
    assert!(b.try_recv_with(&mut [0; 4], &mut control).unwrap().is_none());
    assert_eq!(open(), before);
}

#[test]
fn a_batch_dropped_unseen_closes_all() {
    let _turn = turn();
    let receiver = Datagram::bind(&Address::unnamed()).unwrap();
    let pidfd = pass_pidfd(receiver.set_pass_pidfd(true));
    let addr = receiver.local_addr().unwrap();
    let sender = Datagram::unbound().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut out = [Outgoing::new(), Outgoing::new(), Outgoing::new()];
    for (i, out) in out.iter_mut().enumerate() {
        let fds = [reader.as_fd(), writer.as_fd(), reader.as_fd()];
        out.push_fds(&fds[..i]).unwrap();
    }
    let packets: Vec<_> = out.iter().map(|out| Packet::new(b"data").to_unix(&addr).control(out)).collect();
    let before = open();
    for capacity in [0, 20, space(8), space(8) + space(4), 200] {
        let mut batch = Batch::new(5, 2, capacity);
        for _ in 0..3 {
            assert_eq!(cmsg::try_send_batch(&sender, &packets).unwrap(), Some(3));
            let n = cmsg::try_recv_batch(&receiver, &mut batch, RecvFlags::TRUNC).unwrap();
            assert_eq!((n, batch.messages().len()), (Some(3), 3));
            for slot in batch.messages() {
                assert_eq!((slot.data(), slot.received().datagram_len()), (&b"da"[..], 4));
                assert!(slot.received().is_truncated());
            }
            let owned = |slot: &cmsg::Slot| slot.control().fds().len() + usize::from(slot.control().pidfd().is_some());
            let counts: Vec<_> = batch.messages().iter().map(owned).collect();
            assert_eq!(open(), before + counts.iter().sum::<usize>());
            if capacity == 200 {
                assert_eq!(counts, [pidfd, 1 + pidfd, 2 + pidfd]);
                let control = batch.messages_mut()[2].control_mut();
                assert_eq!(control.take_exactly::<2>().unwrap().len(), 2);
                assert_eq!(control.take_pidfd().unwrap().iter().count(), pidfd);
            }
        }
        assert_eq!(cmsg::try_recv_batch(&receiver, &mut batch, RecvFlags::empty()).unwrap(), None);
        assert_eq!((open(), batch.messages().len()), (before, 0));
        cmsg::try_send_batch(&sender, &packets).unwrap();
        cmsg::try_recv_batch(&receiver, &mut batch, RecvFlags::empty()).unwrap();
        drop(batch);
        assert_eq!(open(), before);
    }
}

#[test]
fn descriptors_in_flight_end_with_the_socket() {
    let _turn = turn();
    let before = open();
    let (a, b) = Stream::pair().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut out = Outgoing::new();
    out.push_fds(&[writer.as_fd()]).unwrap();
    a.try_send_with(b"x", &out).unwrap();
    drop((a, writer));
    drop(b);
    // Nobody can write any more, or this would wait.
    assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
    drop(reader);
    assert_eq!(open(), before);
}

#[test]
fn errors_of_sending_leave_nothing_behind() {
    let _turn = turn();
    let (a, b) = Stream::pair().unwrap();
    let mut out = Outgoing::new();
    out.push_fds(&[b.as_fd()]).unwrap();
    let before = open();
    for data in [&[][..], &[IoSlice::new(b"")], &[IoSlice::new(b""), IoSlice::new(b"")]] {
        let e = cmsg::try_send(&a, data, &out).unwrap_err();
        assert_eq!(e.raw_os_error(), Some(libc::EINVAL));
    }
    assert!(b.try_recv_with(&mut [0; 4], &mut Incoming::new()).unwrap().is_none());
    assert_eq!(open(), before);
}

#[test]
fn wrong_counts_hand_over_or_close() {
    let _turn = turn();
    let (a, b) = Datagram::pair().unwrap();
    let mut out = Outgoing::new();
    out.push_fds(&[a.as_fd(), b.as_fd(), a.as_fd()]).unwrap();
    let before = open();
    let mut control = Incoming::new();
    let receive = |control: &mut Incoming| {
        a.try_send_with(b"", &out).unwrap();
        assert!(b.try_recv_with(&mut [0; 4], control).unwrap().unwrap().is_empty());
    };
    receive(&mut control);
    let e = control.take_exactly::<4>().unwrap_err();
    assert_eq!((e.fds().len(), e.is_truncated(), open()), (3, false, before + 3));
    drop(e);
    assert_eq!(open(), before);
    receive(&mut control);
    let fds = control.take_exactly::<1>().unwrap_err().into_fds();
    assert_eq!((fds.len(), open()), (3, before + 3));
    drop(fds);
    receive(&mut control);
    assert_eq!(control.take_exactly::<3>().unwrap().len(), 3);
    assert_eq!(control.take_fds().unwrap().len(), 0);
    assert_eq!(open(), before);

    // Room for one is rounded up to a long, which has room for two where it has 64 bits. The others are lost.
    let room = size_of::<libc::c_long>() / 4;
    let mut small = Incoming::for_fds(1);
    receive(&mut small);
    assert!(small.is_truncated());
    let e = std::io::Error::from(small.take_fds().unwrap_err());
    assert_eq!(e.kind(), std::io::ErrorKind::InvalidData);
    let said = format!("unexpected descriptors: {room} came, and something was lost");
    assert_eq!((e.to_string(), open()), (said, before + room));
    drop(e);
    assert_eq!(open(), before);
}

#[test]
fn what_the_kernel_loses_without_a_word_is_refused_here() {
    let _turn = turn();
    let (a, b) = Stream::pair().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut out = Outgoing::new();
    out.push_fds(&[writer.as_fd()]).unwrap();
    assert_eq!(a.try_send_with(b"", &out).unwrap_err().raw_os_error(), Some(libc::EINVAL));

    // The call itself succeeds, and nothing ever arrives.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut theirs = SendAncillaryBuffer::new(&mut space);
    let fds = [writer.as_fd()];
    assert!(theirs.push(SendAncillaryMessage::ScmRights(&fds)));
    assert_eq!(sendmsg(&a, &[], &mut theirs, SendFlags::DONTWAIT), Ok(0));
    a.try_write(b"x").unwrap();
    let mut control = Incoming::new();
    assert_eq!(b.try_recv_with(&mut [0; 4], &mut control).unwrap().unwrap().len(), 1);
    assert!(control.take_fds().unwrap().is_empty());
    drop(writer);
    assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn reads_without_room_for_descriptors_open_none() {
    let _turn = turn();
    let (a, b) = Stream::pair().unwrap();
    pass_pidfd(b.set_pass_pidfd(true));
    let mut out = Outgoing::new();
    out.push_fds(&[a.as_fd(), b.as_fd()]).unwrap();
    let before = open();
    for _ in 0..4 {
        a.try_send_with(b"data", &out).unwrap();
    }
    let mut buf = [0; 8];
    assert_eq!(b.try_read(&mut buf).unwrap(), Some(4));
    assert_eq!(b.try_read_vectored(&mut [IoSliceMut::new(&mut buf)]).unwrap(), Some(4));
    assert_eq!(b.try_peek(&mut buf).unwrap(), Some(4));
    assert_eq!((&b).read(&mut buf).unwrap(), 4);
    assert_eq!((&b).read_vectored(&mut [IoSliceMut::new(&mut buf)]).unwrap(), 4);
    assert_eq!(open(), before);
}

#[test]
fn what_was_received_in_another_way_is_taken_over() {
    let _turn = turn();
    let before = open();
    let bytes = {
        let mut out = Outgoing::new();
        let (reader, writer) = std::io::pipe().unwrap();
        out.push_fds(&[reader.as_fd(), writer.as_fd()]).unwrap();
        let bytes = out.as_bytes().to_vec();
        std::mem::forget((reader, writer)); // as if the kernel had just made them
        bytes
    };
    assert_eq!(open(), before + 2);
    let mut control = Incoming::with_capacity(0); // grows
    #[allow(unsafe_code, reason = "what it is for")]
    // SAFETY: nobody else owns the two descriptors in it.
    unsafe {
        control.adopt(&bytes, true)
    };
    assert_eq!((control.fds().len(), control.is_truncated(), control.as_bytes()), (2, true, &bytes[..]));
    drop(control);
    assert_eq!(open(), before);
}
