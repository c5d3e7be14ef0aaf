//! Attributes of the kernel's file systems.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::attribute::Attribute;
use becket_sys::{Readiness, Ready, wait};
use std::time::Instant;

#[test]
fn one_that_was_opened_has_not_changed() {
    assert_eq!(Attribute::READINESS, Readiness::Priority);
    for path in ["/proc/sys/kernel/hostname", "/sys/kernel/mm/transparent_hugepage/enabled"] {
        let Ok(attribute) = Attribute::open(path) else {
            println!("SKIP: one_that_was_opened_has_not_changed: there is no {path}");
            continue;
        };
        assert_eq!(attribute.read().unwrap(), std::fs::read(path).unwrap());
        assert_eq!(attribute.try_read().unwrap(), None);
        let ready = wait(&attribute, Ready::PRI, Some(Instant::now())).unwrap();
        assert!(ready.is_none_or(|ready| !ready.is_priority()), "{ready:?}");
    }
}

/// The same value again, for which a thread's name will do.
#[test]
fn it_is_written_and_read_from_its_begin() {
    let path = format!("/proc/self/task/{}/comm", rustix::thread::gettid().as_raw_nonzero());
    let comm = Attribute::open_writable(path).unwrap();
    for name in ["first", "a-second"] {
        comm.write(name).unwrap();
        assert_eq!(comm.read().unwrap(), format!("{name}\n").as_bytes());
    }
}

#[test]
fn what_is_no_attribute_is_an_error() {
    let error = Attribute::open("/proc/self/no-such-file").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    let (reader, _writer) = std::io::pipe().unwrap();
    let error = Attribute::from(std::os::fd::OwnedFd::from(reader)).read().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ESPIPE));
    let error = Attribute::open("/proc/self/exe").and_then(|exe| exe.write("x")).unwrap_err();
    assert!(matches!(error.raw_os_error(), Some(libc::EBADF)) || error.kind() == std::io::ErrorKind::InvalidData);
}
