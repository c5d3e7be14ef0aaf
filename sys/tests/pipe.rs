//! pipe(7) as it behaves at its edges.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::event::Event;
use becket_sys::pipe::{self, ATOMIC_WRITE, Reader, Writer};
use becket_sys::{Ready, wait};
use rustix::fs::{MemfdFlags, OFlags, fcntl_getfl, memfd_create};
use rustix::io::{FdFlags, fcntl_getfd};
use std::fs::File;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

fn read(reader: &Reader, n: usize) -> Option<Vec<u8>> {
    let mut buf = vec![0; n];
    let n = reader.try_read(&mut buf).unwrap()?;
    buf.truncate(n);
    Some(buf)
}

fn fill(writer: &Writer) -> usize {
    let mut total = 0;
    while let Some(n) = writer.try_write(&[7; 4096]).unwrap() {
        total += n;
    }
    total
}

/// A file in memory that holds `content`, at its start.
fn file(content: &[u8]) -> File {
    let file = File::from(memfd_create("becket", MemfdFlags::CLOEXEC).unwrap());
    std::os::unix::fs::FileExt::write_all_at(&file, content, 0).unwrap();
    file
}

#[test]
fn both_ends_are_non_blocking_and_close_on_exec() {
    for (reader, writer) in [pipe::pair().unwrap(), pipe::packet_pair().unwrap()] {
        assert!(fcntl_getfl(&reader).unwrap().contains(OFlags::NONBLOCK));
        assert!(fcntl_getfl(&writer).unwrap().contains(OFlags::NONBLOCK));
        assert_eq!(fcntl_getfd(&reader).unwrap(), FdFlags::CLOEXEC);
        assert_eq!(fcntl_getfd(&writer).unwrap(), FdFlags::CLOEXEC);
    }
}

#[test]
fn full_and_empty_would_block_and_the_end_is_a_value() {
    let (reader, writer) = pipe::pair().unwrap();
    assert_eq!(read(&reader, 4), None);
    assert_eq!((&reader).read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(wait(&writer, Ready::WRITE, Some(Instant::now())).unwrap(), Some(Ready::WRITE));

    assert_eq!(fill(&writer), writer.capacity().unwrap());
    assert_eq!((&writer).write(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(wait(&writer, Ready::WRITE, Some(Instant::now())).unwrap(), None);
    assert_eq!(wait(&reader, Ready::READ, Some(Instant::now())).unwrap(), Some(Ready::READ));

    while read(&reader, 1 << 20).is_some() {}
    drop(writer);
    assert_eq!(wait(&reader, Ready::READ, Some(Instant::now())).unwrap(), Some(Ready::HUP));
    assert_eq!(read(&reader, 4), Some(vec![]));
}

#[test]
fn without_a_reader_writing_fails() {
    let (reader, writer) = pipe::pair().unwrap();
    drop(reader);
    assert!(wait(&writer, Ready::WRITE, Some(Instant::now())).unwrap().unwrap().is_failure());
    assert_eq!(writer.try_write(b"x").unwrap_err().raw_os_error(), Some(libc::EPIPE));
    assert_eq!(writer.splice_from(file(b"x"), None, 1).unwrap_err().raw_os_error(), Some(libc::EPIPE));
}

#[test]
fn bytes_run_together_and_packets_do_not() {
    let (reader, writer) = pipe::pair().unwrap();
    for part in [b"ab", b"cd"] {
        writer.try_write(part).unwrap();
    }
    assert_eq!(read(&reader, 9).unwrap(), b"abcd");

    let (reader, writer) = pipe::packet_pair().unwrap();
    for part in ["ab", "", "cdef", "g"] {
        writer.try_write(part.as_bytes()).unwrap();
    }
    assert_eq!(read(&reader, 9).unwrap(), b"ab");
    assert_eq!(read(&reader, 2).unwrap(), b"cd", "the rest of the packet is lost");
    assert_eq!(read(&reader, 9).unwrap(), b"g");
    assert_eq!(read(&reader, 9), None);
}

#[test]
fn a_long_write_is_several_packets() {
    let (reader, writer) = pipe::packet_pair().unwrap();
    assert_eq!(writer.try_write(&[1; ATOMIC_WRITE + 10]).unwrap(), Some(ATOMIC_WRITE + 10));
    assert_eq!(read(&reader, 2 * ATOMIC_WRITE).unwrap().len(), ATOMIC_WRITE);
    assert_eq!(read(&reader, 2 * ATOMIC_WRITE).unwrap().len(), 10);
}

#[test]
fn the_capacity_rounds_up_and_never_loses_content() {
    let (reader, writer) = pipe::pair().unwrap();
    assert_eq!(writer.set_capacity(5 * 4096).unwrap(), 8 * 4096);
    assert_eq!(reader.capacity().unwrap(), 8 * 4096);
    assert_eq!(fill(&writer), 8 * 4096);
    assert_eq!(reader.set_capacity(4096).unwrap_err().raw_os_error(), Some(libc::EBUSY));
    assert_eq!(reader.capacity().unwrap(), 8 * 4096);
    assert_eq!(reader.set_capacity(usize::MAX).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    // More than the call can be asked for.
    assert_eq!(reader.set_capacity(usize::MAX / 2 + 4097).unwrap_err().raw_os_error(), Some(libc::EINVAL));
}

#[test]
fn splice_moves_between_pipes_files_and_pipes() {
    let (first, first_in) = pipe::pair().unwrap();
    let (second, second_in) = pipe::pair().unwrap();
    assert_eq!(first.splice_to(&second_in, None, 10).unwrap(), None, "nothing to read");
    first_in.try_write(b"becket").unwrap();
    assert_eq!(first.splice_to(&second_in, None, 3).unwrap(), Some(3));
    assert_eq!(second_in.splice_from(&first, None, 10).unwrap(), Some(3));
    assert_eq!(read(&second, 10).unwrap(), b"becket");
    drop(first_in);
    assert_eq!(first.splice_to(&second_in, None, 10).unwrap(), Some(0), "the end");

    let source = file(b"0123456789");
    let mut at = 4;
    assert_eq!(second_in.splice_from(&source, Some(&mut at), 3).unwrap(), Some(3));
    assert_eq!(at, 7);
    assert_eq!(second_in.splice_from(&source, None, 2).unwrap(), Some(2));
    assert_eq!(second_in.splice_from(&source, Some(&mut 10), 2).unwrap(), Some(0), "the end of the file");
    let target = file(b"....................");
    let mut at = 1;
    assert_eq!(second.splice_to(&target, Some(&mut at), 100).unwrap(), Some(5));
    assert_eq!(at, 6);
    let mut text = String::new();
    (&target).read_to_string(&mut text).unwrap();
    assert_eq!(text, ".45601..............");
}

#[test]
fn splice_into_a_full_pipe_would_block() {
    let (_reader, writer) = pipe::pair().unwrap();
    fill(&writer);
    assert_eq!(writer.splice_from(file(b"abc"), None, 3).unwrap(), None);
}

#[test]
fn what_cannot_be_spliced_is_invalid_and_loses_nothing() {
    let (reader, writer) = pipe::pair().unwrap();
    writer.try_write(b"12345678").unwrap();
    let event = Event::new().unwrap();
    assert_eq!(reader.splice_to(&event, None, 8).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    assert_eq!(reader.splice_to(&writer, None, 8).unwrap_err().raw_os_error(), Some(libc::EINVAL), "the same pipe");
    assert_eq!(reader.tee_to(&writer, 8).unwrap_err().raw_os_error(), Some(libc::EINVAL), "the same pipe");
    let (_other, other_in) = pipe::pair().unwrap();
    assert_eq!(reader.splice_to(&other_in, Some(&mut 0), 8).unwrap_err().raw_os_error(), Some(libc::ESPIPE));
    assert_eq!(read(&reader, 9).unwrap(), b"12345678");
}

#[test]
fn tee_leaves_the_content() {
    let (reader, writer) = pipe::pair().unwrap();
    let (copy, copy_in) = pipe::pair().unwrap();
    assert_eq!(reader.tee_to(&copy_in, 10).unwrap(), None);
    writer.try_write(b"becket").unwrap();
    assert_eq!(reader.tee_to(&copy_in, 4).unwrap(), Some(4));
    assert_eq!(read(&copy, 10).unwrap(), b"beck");
    assert_eq!(read(&reader, 10).unwrap(), b"becket");
    drop(writer);
    assert_eq!(reader.tee_to(&copy_in, 4).unwrap(), Some(0));
}

#[test]
fn reads_and_writes_scatter_and_gather() {
    let (mut reader, mut writer) = pipe::pair().unwrap();
    assert_eq!(writer.write_vectored(&[IoSlice::new(b"be"), IoSlice::new(b"cket")]).unwrap(), 6);
    writer.flush().unwrap();
    let (mut a, mut b) = ([0; 4], [0; 4]);
    assert_eq!(reader.read_vectored(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)]).unwrap(), 6);
    assert_eq!((&a, &b[..2]), (b"beck", &b"et"[..]));
}

#[test]
fn the_standard_librarys_pipes_keep_their_mode_until_it_is_set() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let to = Writer::from(child.stdin.take().unwrap());
    let from = Reader::from(child.stdout.take().unwrap());
    assert!(!fcntl_getfl(&from).unwrap().contains(OFlags::NONBLOCK));
    from.set_nonblocking(true).unwrap();
    assert_eq!(read(&from, 9), None);
    to.try_write(b"purr").unwrap();
    wait(&from, Ready::READ, None).unwrap();
    assert_eq!(read(&from, 9).unwrap(), b"purr");
    drop(to);
    wait(&from, Ready::READ, None).unwrap();
    assert_eq!(read(&from, 9).unwrap(), b"");
    assert!(child.wait().unwrap().success());
}

#[test]
fn handles_share_the_end() {
    let (reader, writer) = pipe::pair().unwrap();
    let twin = writer.try_clone().unwrap();
    drop(writer);
    assert_eq!(read(&reader, 1), None, "one writer is left");
    drop(twin);
    assert_eq!(read(&reader.try_clone().unwrap(), 1), Some(vec![]));
}

#[test]
fn what_is_in_the_pipe_is_counted() {
    let (reader, writer) = pipe::packet_pair().unwrap();
    assert_eq!(reader.queued().unwrap(), 0);
    writer.try_write(b"abc").unwrap();
    writer.try_write(b"de").unwrap();
    assert_eq!((reader.queued().unwrap(), writer.queued().unwrap()), (5, 5));
    read(&reader, 1);
    assert_eq!(reader.queued().unwrap(), 2, "the rest of the packet is gone");
}

#[test]
fn a_pipe_is_full_when_its_places_are() {
    let (reader, writer) = pipe::packet_pair().unwrap();
    let places = writer.capacity().unwrap() / 4096;
    for _ in 0..places {
        assert_eq!(writer.try_write(b"x").unwrap(), Some(1));
    }
    assert_eq!(writer.try_write(b"x").unwrap(), None, "full with a byte in each page");
    assert_eq!(wait(&writer, Ready::WRITE, Some(Instant::now())).unwrap(), None);
    assert_eq!(reader.queued().unwrap(), places);
}

#[test]
fn static_memory_goes_uncopied_until_the_pipe_is_full() {
    static BYTES: [u8; 40_000] = {
        let mut bytes = [0; 40_000];
        let mut i = 0;
        while i < bytes.len() {
            bytes[i] = (i % 251) as u8;
            i += 1;
        }
        bytes
    };
    let (reader, writer) = pipe::pair().unwrap();
    assert_eq!(writer.try_write_static(&BYTES).unwrap(), Some(BYTES.len()));
    let second = writer.try_write_static(&BYTES).unwrap().unwrap();
    assert!(second < BYTES.len(), "{second}: a part fits");
    assert_eq!(writer.try_write_static(&BYTES).unwrap(), None);
    let mut got = Vec::new();
    while let Some(part) = read(&reader, 7777) {
        got.extend_from_slice(&part);
    }
    assert!(got[..BYTES.len()] == BYTES && got[BYTES.len()..] == BYTES[..second]);
    drop(reader);
    assert_eq!(writer.try_write_static(b"x").unwrap_err().raw_os_error(), Some(libc::EPIPE));
}

#[test]
fn a_fifo_ends_and_is_revived() {
    let path = std::env::temp_dir().join(format!("becket-pipe-fifo-{}", std::process::id()));
    pipe::make_fifo(&path, 0o600).unwrap();
    assert_eq!(pipe::make_fifo(&path, 0o600).unwrap_err().raw_os_error(), Some(libc::EEXIST));
    let e = Writer::open(&path).unwrap_err();
    assert_eq!((e.step(), e.raw_os_error()), ("open", Some(libc::ENXIO)));

    let reader = Reader::open(&path).unwrap();
    assert_eq!(fcntl_getfd(&reader).unwrap(), FdFlags::CLOEXEC);
    assert_eq!(wait(&reader, Ready::READ, Some(Instant::now())).unwrap(), None, "no writer yet, and no hang-up");
    for word in [b"one", b"two"] {
        let writer = Writer::open(&path).unwrap();
        assert_eq!(read(&reader, 9), None);
        writer.try_write(word).unwrap();
        assert_eq!(read(&reader, 9).unwrap(), word);
        drop(writer);
        assert_eq!(wait(&reader, Ready::empty(), Some(Instant::now())).unwrap(), Some(Ready::HUP));
        assert_eq!(read(&reader, 9).unwrap(), b"");
    }
    let held = Writer::open(&path).unwrap();
    drop(Writer::open(&path).unwrap());
    assert_eq!(read(&reader, 9), None, "our own writer keeps it going");
    drop(held);
    std::fs::remove_file(&path).unwrap();

    std::fs::write(&path, "").unwrap();
    let e = Reader::open(&path).unwrap_err();
    assert_eq!((e.step(), e.raw_os_error()), ("fstat", Some(libc::EINVAL)));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(Reader::open(&path).unwrap_err().raw_os_error(), Some(libc::ENOENT));
}

/// What is refused is copied instead; and what was spliced is the file's own memory.
#[test]
fn splicing_shares_the_files_memory_and_has_a_way_round() {
    let (reader, writer) = pipe::pair().unwrap();
    let source = file(b"before");
    assert_eq!(writer.splice_from(&source, Some(&mut 0), 6).unwrap(), Some(6));
    std::os::unix::fs::FileExt::write_all_at(&source, b"after!", 0).unwrap();
    assert_eq!(read(&reader, 9).unwrap(), b"after!");

    let path = std::env::temp_dir().join(format!("becket-pipe-append-{}", std::process::id()));
    let mut append = File::options().create(true).append(true).open(&path).unwrap();
    writer.try_write(b"text").unwrap();
    assert_eq!(reader.splice_to(&append, None, 4).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    append.write_all(&read(&reader, 9).unwrap()).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"text");
    std::fs::remove_file(path).unwrap();
}
