//! Receiving descriptors when none is left: a file of its own, since the limit is the whole process's.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::cmsg::{self, Batch, Incoming, Outgoing, Packet, RecvFlags};
use becket_sys::unix::Datagram;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Mutex, PoisonError};

/// The limit is the process's.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn descriptors_beyond_the_limit_are_lost_visibly_and_the_others_are_owned() {
    let _one_at_a_time = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (a, b) = Datagram::pair().unwrap();
    let _ = b.set_pass_pidfd(true); // from Linux 6.5 on
    let (reader, writer) = std::io::pipe().unwrap();
    let mut out = Outgoing::new();
    out.push_fds(&[reader.as_fd(), writer.as_fd(), reader.as_fd()]).unwrap();
    let packet = Packet::new(b"data").control(&out);
    a.try_send_with(b"data", &out).unwrap();
    assert_eq!(cmsg::try_send_batch(&a, &[packet, packet]).unwrap(), Some(2));

    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut control = Incoming::new();
    let mut batch = Batch::new(2, 8, 128);
    let before = open();
    let next = std::fs::File::open("/dev/null").unwrap().as_raw_fd() as u64; // closed again: the lowest that is free
    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(next + 2), maximum: limits.maximum }).unwrap();
    let received = b.try_recv_with(&mut [0; 8], &mut control);
    let first = (control.fds().len(), control.is_truncated());
    // The second message of the batch finds none at all.
    control.clear();
    let n = cmsg::try_recv_batch(&b, &mut batch, RecvFlags::empty());
    setrlimit(Resource::Nofile, limits).unwrap();

    let received = received.unwrap().unwrap();
    assert_eq!((received.len(), received.is_control_truncated()), (4, true)); // the data arrived
    let pidfd = control.take_pidfd();
    assert!(pidfd.is_ok());
    // Whether the pidfd or the others come first is the kernel's choice.
    assert!(matches!(first, (1 | 2, true)), "{first:?}");
    assert_eq!(n.unwrap(), Some(2));
    let lost: Vec<_> = batch.messages().iter().map(|slot| slot.control().is_truncated()).collect();
    assert_eq!(lost, [true, true]);
    let owned = |slot: &cmsg::Slot| slot.control().fds().len() + usize::from(slot.control().pidfd().is_some());
    assert_eq!(batch.messages().iter().map(owned).sum::<usize>(), 2);
    assert!(batch.messages().iter().all(|slot| slot.data() == b"data"));
    assert_eq!(open(), before + 2);

    // What the kernel put in place of the process is an error, and no descriptor.
    let control = batch.messages_mut()[1].control_mut();
    match control.take_pidfd() {
        Ok(process) => assert!(process.is_none()),
        Err(e) => assert_eq!(e.raw_os_error(), Some(libc::EMFILE)),
    }
    drop(batch);
    assert_eq!(open(), before);
}

#[test]
fn too_many_descriptors_on_their_way_are_refused() {
    let _one_at_a_time = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // Privileged threads have no such limit: one that gives its privileges up.
    let refused = std::thread::spawn(|| {
        let mut mine = capabilities(None).unwrap();
        let privileges = CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_RESOURCE;
        mine.effective -= privileges;
        mine.permitted -= privileges;
        set_capabilities(None, mine).unwrap();
        let limits = getrlimit(Resource::Nofile);
        let (a, b) = Datagram::pair().unwrap();
        setrlimit(Resource::Nofile, Rlimit { current: Some(300), maximum: limits.maximum }).unwrap();
        let mut out = Outgoing::new();
        out.push_fds(&[a.as_fd(); 253]).unwrap();
        let results = [(); 4].map(|()| a.try_send_with(b"x", &out));
        setrlimit(Resource::Nofile, limits).unwrap();
        assert_eq!(results[0].as_ref().ok(), Some(&Some(1)));
        // What is received makes room again.
        while b.try_recv(&mut [0; 4]).unwrap().is_some() {}
        assert_eq!(a.try_send_with(b"x", &out).unwrap(), Some(1));
        results.into_iter().find_map(Result::err).map(|e| e.raw_os_error())
    });
    assert_eq!(refused.join().unwrap(), Some(Some(libc::ETOOMANYREFS)));
}
