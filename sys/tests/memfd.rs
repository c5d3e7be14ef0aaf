//! Memory files and their seals, as the kernel keeps them.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::memfd::{Memfd, Sealed, Seals};
use becket_sys::{Readiness, Ready, epoll};
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;

fn code<T>(result: std::io::Result<T>) -> Option<i32> {
    result.err().expect("an error").raw_os_error()
}

fn with(content: &[u8]) -> Memfd {
    let file = Memfd::new("test").unwrap();
    (&file).write_all(content).unwrap();
    file
}

#[test]
fn it_is_a_file() {
    let mut file = with(b"hello world");
    assert_eq!(file.size().unwrap(), 11);
    assert_eq!(file.read(&mut [0; 4]).unwrap(), 0, "the position is at the end");
    file.seek(SeekFrom::Start(6)).unwrap();
    let mut text = String::new();
    (&file).read_to_string(&mut text).unwrap();
    assert_eq!(text, "world");

    assert_eq!(file.write_at(b"W", 6).unwrap(), 1);
    let mut buf = [0; 32];
    assert_eq!(file.read_at(&mut buf, 6).unwrap(), 5);
    assert_eq!(&buf[..5], b"World");
    assert_eq!(file.read_at(&mut buf, 11).unwrap(), 0);
    assert_eq!(file.read_at(&mut buf, 1 << 40).unwrap(), 0);

    file.set_size(3).unwrap();
    file.set_size(5).unwrap();
    file.rewind().unwrap();
    let mut all = Vec::new();
    file.try_clone().unwrap().read_to_end(&mut all).unwrap();
    assert_eq!(all, b"hel\0\0");
    assert_eq!(file.stream_position().unwrap(), 5, "shared with the clone");
}

#[test]
fn it_is_close_on_exec_and_cannot_be_polled() {
    let file = Memfd::new("flags").unwrap();
    assert!(rustix::io::fcntl_getfd(&file).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    assert_eq!(Memfd::READINESS, Readiness::NotPollable);
    let set = epoll::Epoll::new().unwrap();
    assert_eq!(code(set.add(&file, 0, Ready::READ, epoll::Trigger::empty())), Some(libc::EPERM));
    let name = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    assert_eq!(name.to_str(), Some("/memfd:flags (deleted)"));
}

#[test]
fn names_have_a_limit() {
    assert!(Memfd::new(&"n".repeat(249)).is_ok());
    assert!(Memfd::new("").is_ok());
    assert_eq!(code(Memfd::new(&"n".repeat(250))), Some(libc::EINVAL));
    assert_eq!(code(Memfd::new("nul\0inside")), Some(libc::EINVAL));
}

#[test]
fn nothing_is_executable_unless_asked_for() {
    let test = "nothing_is_executable_unless_asked_for";
    let file = Memfd::new("plain").unwrap();
    if !file.seals().unwrap().contains(Seals::EXEC) {
        return println!("SKIP: {test}: a kernel before 6.3 cannot forbid it");
    }
    let mode = |file: &Memfd| rustix::fs::fstat(file).unwrap().st_mode & 0o111;
    let set_mode = |file: &Memfd| {
        let file = File::from(OwnedFd::from(file.try_clone().unwrap()));
        file.set_permissions(Permissions::from_mode(0o700))
    };
    assert_eq!(mode(&file), 0);
    assert_eq!(code(set_mode(&file)), Some(libc::EPERM));

    match Memfd::builder().executable(true).create("program") {
        Ok(file) => {
            assert_eq!((file.seals().unwrap(), mode(&file)), (Seals::empty(), 0o111));
            set_mode(&file).unwrap();
        }
        Err(e) => {
            assert_eq!(e.raw_os_error(), Some(libc::EACCES));
            println!("SKIP: {test}: vm.memfd_noexec forbids the other half");
        }
    }
}

#[test]
fn each_seal_forbids_its_own() {
    let sealed = |seals| {
        let file = with(b"text");
        file.add_seals(seals).unwrap();
        assert!(file.seals().unwrap().contains(seals));
        file
    };
    let file = sealed(Seals::SHRINK);
    assert_eq!(code(file.set_size(3)), Some(libc::EPERM));
    file.set_size(5).unwrap();
    file.write_at(b"T", 0).unwrap();

    let file = sealed(Seals::GROW);
    assert_eq!(code(file.set_size(5)), Some(libc::EPERM));
    assert_eq!(code(file.write_at(b"x", 4)), Some(libc::EPERM));
    file.set_size(3).unwrap();

    let file = sealed(Seals::WRITE);
    assert_eq!(code(file.write_at(b"T", 0)), Some(libc::EPERM));
    file.set_size(3).unwrap();

    let file = sealed(Seals::SEAL);
    assert_eq!(code(file.add_seals(Seals::GROW)), Some(libc::EPERM));
    assert_eq!(code(file.add_seals(Seals::empty())), Some(libc::EPERM));
    file.write_at(b"T", 0).unwrap();

    // The seals are the file's, not the descriptor's, and may be set twice.
    let file = with(b"text");
    file.try_clone().unwrap().add_seals(Seals::GROW).unwrap();
    file.add_seals(Seals::GROW | Seals::SHRINK).unwrap();
    assert_eq!(file.seals().unwrap() & Seals::CONTENT, Seals::GROW | Seals::SHRINK);
    assert_eq!(code(file.add_seals(Seals::from_bits_retain(1 << 30))), Some(libc::EINVAL));
}

/// The memory of `file`, mapped shared for writing.
struct Map(*mut libc::c_void);

impl Map {
    #[allow(unsafe_code, reason = "a map is what this is about")]
    fn new(file: &Memfd) -> std::io::Result<Map> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new map anywhere, of a file of at least 4096 bytes that is not made smaller while the map is there.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096, access, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED { Err(std::io::Error::last_os_error()) } else { Ok(Map(at)) }
    }

    #[allow(unsafe_code, reason = "a map is what this is about")]
    fn write(&self, byte: u8) {
        // SAFETY: the map is writable and at least one byte long.
        unsafe { self.0.cast::<u8>().write_volatile(byte) }
    }
}

impl Drop for Map {
    #[allow(unsafe_code, reason = "a map is what this is about")]
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nobody else holds the address.
        unsafe { libc::munmap(self.0, 4096) };
    }
}

#[test]
fn writable_maps_delay_the_seal_and_outlive_the_softer_one() {
    let file = with(&[b'a'; 4096]);
    let map = Map::new(&file).unwrap();
    assert_eq!(code(file.add_seals(Seals::CONTENT)), Some(libc::EBUSY));
    assert!(!file.seals().unwrap().intersects(Seals::CONTENT), "all or nothing");

    match file.add_seals(Seals::FUTURE_WRITE | Seals::SHRINK | Seals::GROW) {
        Err(e) => {
            assert_eq!(e.raw_os_error(), Some(libc::EINVAL));
            println!("SKIP: writable_maps_delay_the_seal_and_outlive_the_softer_one: a kernel before 5.1");
        }
        Ok(()) => {
            assert_eq!(code(file.write_at(b"b", 0)), Some(libc::EPERM));
            assert_eq!(Map::new(&file).err().unwrap().raw_os_error(), Some(libc::EPERM));
            map.write(b'b');
            let mut byte = [0];
            file.read_at(&mut byte, 0).unwrap();
            assert_eq!(&byte, b"b", "the old map still writes");
            let file = file.try_clone().unwrap();
            let (_, e) = Sealed::try_from(file).unwrap_err();
            assert_eq!((e.kind(), e.to_string().as_str()), (ErrorKind::InvalidData, "not sealed: WRITE"));
        }
    }
    drop(map);
    file.add_seals(Seals::CONTENT).unwrap();
    assert!(Sealed::try_from(file).is_ok());
}

#[test]
fn sealed_is_verified_and_reads_at_its_own_position() {
    let file = with(b"content");
    let (file, e) = Sealed::try_from(file).unwrap_err();
    assert_eq!(e.to_string(), "not sealed: SHRINK | GROW | WRITE");
    file.add_seals(Seals::CONTENT).unwrap();
    let mut other_end = file.try_clone().unwrap(); // the sender keeps one, and moves the position
    let sealed = Sealed::try_from(OwnedFd::from(file)).unwrap();
    assert_eq!((sealed.size(), sealed.seals().unwrap() & Seals::CONTENT), (7, Seals::CONTENT));
    other_end.seek(SeekFrom::Start(3)).unwrap();
    assert_eq!(sealed.to_vec().unwrap(), b"content");
    let mut reader = sealed.reader();
    reader.read_exact(&mut [0; 4]).unwrap();
    assert_eq!(std::io::read_to_string(reader.clone()).unwrap(), "ent");
    assert_eq!(other_end.stream_position().unwrap(), 3);
    let mut buf = [0; 3];
    assert_eq!(sealed.read_at(&mut buf, 4).unwrap(), 3);
    assert_eq!(&buf, b"ent");
}

#[test]
fn what_is_no_memory_file_is_not_sealed() {
    // Of no tmpfs, which any folder may be.
    let file = File::open("/proc/self/status").unwrap();
    let number = file.as_raw_fd();
    let (fd, e) = Sealed::try_from(OwnedFd::from(file)).unwrap_err();
    assert_eq!((fd.as_raw_fd(), e.raw_os_error()), (number, Some(libc::EINVAL)));
    let (reader, _writer) = std::io::pipe().unwrap();
    assert_eq!(Sealed::try_from(OwnedFd::from(reader)).unwrap_err().1.raw_os_error(), Some(libc::EINVAL));

    // Files of a tmpfs know seals, but none can be set.
    if let Ok(file) = File::create(format!("/dev/shm/becket-memfd-{}", std::process::id())) {
        fs::remove_file(format!("/dev/shm/becket-memfd-{}", std::process::id())).unwrap();
        assert!(Sealed::try_from(OwnedFd::from(file)).is_err());
    }
}

#[test]
fn a_hole_of_any_size_can_be_sealed_but_not_be_taken_into_memory() {
    let file = Memfd::new("hole").unwrap();
    file.set_size(1 << 62).unwrap();
    file.add_seals(Seals::CONTENT).unwrap();
    let sealed = Sealed::try_from(file).unwrap();
    assert_eq!(sealed.size(), 1 << 62);
    assert_eq!(sealed.to_vec().unwrap_err().kind(), ErrorKind::OutOfMemory);
}

#[test]
fn huge_pages_have_sizes_of_their_own() {
    let file = match Memfd::builder().huge_pages_of(2 << 20).create("huge") {
        Ok(file) => file,
        Err(e) => return println!("SKIP: huge_pages_have_sizes_of_their_own: no pages of 2 MiB: {e}"),
    };
    assert_eq!(rustix::fs::fstat(&file).unwrap().st_blksize, 2 << 20);
    file.set_size(4 << 20).unwrap();
    assert_eq!(code(file.set_size(4096)), Some(libc::EINVAL));
    assert_eq!(code(file.write_at(b"x", 0)), Some(libc::EINVAL));
    file.add_seals(Seals::SHRINK).unwrap();
    assert!(Memfd::builder().huge_pages().create("default").is_ok());
    for bytes in [0, 3 << 20, 1 << 13] {
        assert!(Memfd::builder().huge_pages_of(bytes).create("none").is_err(), "{bytes}");
    }
}
