//! fanotify(7) where somebody waits for an answer: always another process, and always with a limit of time.

#[path = "common/descriptors.rs"]
mod descriptors;

mod fanotify_help;

use becket_sys::fanotify::{
    AuditRule, Builder, Class, Event, Fanotify, Mask, OpenFlags, Options, Permission, Range, Report, Response, Scope,
};
use becket_sys::{EventBuf, Ready};
use fanotify_help::{Dir, Helper, asked, known, privileged, readable};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

fn content() -> Builder {
    Fanotify::builder().class(Class::Content)
}

fn code<T: std::fmt::Debug>(result: io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}

/// What the shell says of a code, once the helper has failed with it.
fn failed_with(helper: &mut Helper, text: &str) {
    let errors = helper.errors();
    assert!(!helper.end().success() && errors.contains(text), "{errors}");
}

const EPERM: &str = "Operation not permitted";
/// Long enough to see that somebody waits.
const A_WHILE: Duration = Duration::from_millis(100);

#[test]
fn who_asks_waits_for_the_answer() {
    let Some(group) = privileged("who_asks_waits_for_the_answer", &content().report(Report::PIDFD)) else { return };
    let dir = Dir::new("answer");
    let path = dir.file("a", "text");
    group.add(Scope::Inode, &path, Mask::OPEN_PERM, Options::empty()).unwrap();

    let mut reader = Helper::cat(&path);
    let permission = asked(&group);
    assert_eq!((permission.mask, permission.pid, permission.range), (Mask::OPEN_PERM, Some(reader.0.id()), None));
    assert_eq!(permission.records().count(), 0);
    assert!(permission.process.as_ref().unwrap().is_ok());
    assert_eq!(io::read_to_string(permission.file()).unwrap(), "text");
    assert!(reader.stays(A_WHILE));
    permission.allow().unwrap();
    assert!(reader.end().success());
    assert_eq!(io::read_to_string(reader.0.stdout.take().unwrap()).unwrap(), "text");

    let mut reader = Helper::cat(&path);
    asked(&group).deny().unwrap();
    failed_with(&mut reader, EPERM);
    assert!(group.try_read().unwrap().is_none());
}

#[test]
fn what_is_dropped_is_answered_as_the_group_says() {
    let Some(allowing) = privileged("what_is_dropped_is_answered_as_the_group_says", &content()) else { return };
    let dir = Dir::new("drop");
    let path = dir.file("a", "");
    allowing.add(Scope::Inode, &path, Mask::OPEN_PERM, Options::empty()).unwrap();
    let mut reader = Helper::cat(&path);
    drop(asked(&allowing));
    assert!(reader.end().success());
    // Also those that nobody looked at.
    let mut readers = [Helper::cat(&path), Helper::cat(&path)];
    readable(&allowing);
    let mut buf = EventBuf::new();
    while readers.iter_mut().any(|reader| reader.stays(Duration::ZERO)) {
        drop(allowing.read_events(&mut buf).unwrap());
    }
    assert!(readers.iter_mut().all(|reader| reader.end().success()));
    drop(allowing);

    let refusing = content().on_drop(Response::DENY).open().unwrap();
    refusing.add(Scope::Inode, &path, Mask::OPEN_PERM, Options::empty()).unwrap();
    let mut reader = Helper::cat(&path);
    drop(asked(&refusing));
    failed_with(&mut reader, EPERM);
    // With a code that this class does not take: refused nevertheless.
    let refusing = refusing.with_on_drop(Response::deny_with(libc::EIO));
    let mut reader = Helper::cat(&path);
    drop(asked(&refusing));
    failed_with(&mut reader, EPERM);
}

#[test]
fn a_panic_answers() {
    let Some(group) = privileged("a_panic_answers", &content().on_drop(Response::DENY)) else { return };
    let dir = Dir::new("panic");
    let path = dir.file("a", "");
    group.add(Scope::Inode, &path, Mask::OPEN_PERM, Options::empty()).unwrap();
    let mut reader = Helper::cat(&path);
    let result = std::panic::catch_unwind(|| {
        let _permission = asked(&group);
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(result.is_err());
    failed_with(&mut reader, EPERM);
}

#[test]
fn a_group_that_goes_allows() {
    let Some(group) = privileged("a_group_that_goes_allows", &content()) else { return };
    let dir = Dir::new("group_goes");
    let path = dir.file("a", "");
    group.add(Scope::Inode, &path, Mask::OPEN_PERM, Options::empty()).unwrap();
    let mut readers = [Helper::cat(&path), Helper::cat(&path)];
    let mut bytes = [0; 24];
    readable(&group);
    rustix::io::read(&group, &mut bytes).unwrap();
    readable(&group); // one is read and not answered, the other not read
    drop(group);
    assert!(readers.iter_mut().all(|reader| reader.end().success()));
    close(fd_in(&bytes));
}

#[allow(unsafe_code, reason = "closes a descriptor that only a number is left of")]
fn close(fd: RawFd) {
    use std::os::fd::FromRawFd;
    // SAFETY: the number is that of an event which was read by hand, so that nobody else owns it.
    drop(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) });
}

/// The descriptor in the event that was read by hand.
fn fd_in(bytes: &[u8]) -> RawFd {
    becket_sys::fanotify::parse(bytes).next().unwrap().fd
}

fn answer_by_hand(group: &Fanotify, fd: RawFd) -> io::Result<usize> {
    answer_with(group, fd, &[libc::FAN_ALLOW])
}

fn answer_with(group: &Fanotify, fd: RawFd, words: &[u32]) -> io::Result<usize> {
    let words: Vec<_> = [fd.cast_unsigned()].iter().chain(words).map(|word| word.to_ne_bytes()).collect();
    Ok(rustix::io::write(group, words.as_flattened())?)
}

/// Whether the kernel understands such an answer: it looks at that first, and then for who waits for it.
fn understood(group: &Fanotify, words: &[u32]) -> bool {
    match code(answer_with(group, i32::MAX, words)) {
        libc::ENOENT => true,
        code => {
            assert_eq!(code, libc::EINVAL);
            false
        }
    }
}

/// What `Permission` keeps from happening.
#[test]
fn closing_answers_nothing_and_an_answer_goes_by_number() {
    let Some(group) = privileged("closing_answers_nothing_and_an_answer_goes_by_number", &content()) else { return };
    let dir = Dir::new("close");
    let path = dir.file("a", "");
    group.add(Scope::Inode, &path, Mask::OPEN_PERM, Options::empty()).unwrap();
    let mut reader = Helper::cat(&path);
    readable(&group);
    let mut bytes = [0; 24];
    rustix::io::read(&group, &mut bytes).unwrap();
    let fd = fd_in(&bytes);
    close(fd);
    assert!(reader.stays(A_WHILE), "still waits");
    assert_eq!(code(answer_by_hand(&group, fd + 1000)), libc::ENOENT);
    answer_by_hand(&group, fd).unwrap();
    assert!(reader.end().success());
}

#[test]
fn a_second_answer_is_an_error() {
    let Some(group) = privileged("a_second_answer_is_an_error", &content()) else { return };
    let dir = Dir::new("second");
    let path = dir.file("a", "");
    group.add(Scope::Inode, &path, Mask::OPEN_PERM, Options::empty()).unwrap();
    let mut reader = Helper::cat(&path);
    let permission = asked(&group);
    answer_by_hand(&group, permission.file().as_raw_fd()).unwrap();
    assert_eq!(code(permission.deny()), libc::ENOENT);
    assert!(reader.end().success());
}

#[test]
fn a_killed_process_waits_no_more() {
    let Some(group) = privileged("a_killed_process_waits_no_more", &content()) else { return };
    let dir = Dir::new("killed");
    let path = dir.file("a", "");
    group.add(Scope::Inode, &path, Mask::OPEN_PERM, Options::empty()).unwrap();
    let mut reader = Helper::cat(&path);
    let permission = asked(&group);
    reader.0.kill().unwrap();
    reader.end();
    permission.allow().unwrap(); // too late, but no error
    let mut reader = Helper::cat(&path);
    asked(&group).allow().unwrap();
    assert!(reader.end().success());
}

#[test]
fn a_code_needs_the_class_before_content() {
    let Some(group) = privileged("a_code_needs_the_class_before_content", &content()) else { return };
    let dir = Dir::new("codes");
    let path = dir.file("a", "");
    let answer = |group: &Fanotify, response, text| {
        let mut reader = Helper::cat(&path);
        let result = asked(group).answer(response);
        failed_with(&mut reader, text);
        result
    };
    group.add(Scope::Inode, &path, Mask::OPEN_PERM, Options::empty()).unwrap();
    assert_eq!(code(answer(&group, Response::deny_with(libc::EIO), EPERM)), libc::EINVAL);
    drop(group);

    let group = content().class(Class::PreContent).open().unwrap();
    group.add(Scope::Inode, &path, Mask::OPEN_PERM, Options::empty()).unwrap();
    // Before Linux 6.14 there is EPERM alone.
    let has_codes = understood(&group, &[libc::FAN_DENY | (libc::EIO as u32) << 24]);
    for (errno, text) in [
        (libc::EPERM, EPERM),
        (libc::EIO, "Input/output error"),
        (libc::EBUSY, "Device or resource busy"),
        (libc::ETXTBSY, "Text file busy"),
        (libc::EAGAIN, "Resource temporarily unavailable"),
        (libc::ENOSPC, "No space left on device"),
        (libc::EDQUOT, "Disk quota exceeded"),
    ] {
        if has_codes {
            answer(&group, Response::deny_with(errno), text).unwrap();
        } else {
            assert_eq!(code(answer(&group, Response::deny_with(errno), EPERM)), libc::EINVAL);
        }
    }
    for errno in [libc::ENOENT, 255, 256, 256 + libc::EIO, -1, i32::MIN] {
        assert_eq!(code(answer(&group, Response::deny_with(errno), EPERM)), libc::EINVAL);
    }
}

#[test]
fn audited_answers_need_a_group_for_them() {
    let dir = Dir::new("audit");
    let path = dir.file("a", "");
    let rule = AuditRule { number: 3, subject_trusted: Some(false), object_trusted: Some(true) };
    let Some(group) = privileged("audited_answers_need_a_group_for_them", &content()) else { return };
    group.add(Scope::Inode, &path, Mask::OPEN_PERM, Options::empty()).unwrap();
    for response in [Response::ALLOW, Response::DENY] {
        for audited in [response.audited(), response.audited_by(rule)] {
            let mut reader = Helper::cat(&path);
            assert_eq!(code(asked(&group).answer(audited)), libc::EINVAL);
            assert_eq!(reader.end().success(), response == Response::ALLOW, "the verdict stands");
        }
    }
    drop(group);

    let Some(group) = privileged("audited_answers_need_a_group_for_them", &content().audit()) else { return };
    group.add(Scope::Inode, &path, Mask::OPEN_PERM, Options::empty()).unwrap();
    // Before Linux 6.3 rules are unknown. The words: kind and length, number, the two trusts.
    let kind = u32::from_ne_bytes(
        [[libc::FAN_RESPONSE_INFO_AUDIT_RULE, 0], 16u16.to_ne_bytes()].as_flattened().try_into().unwrap(),
    );
    let has_rules = understood(&group, &[libc::FAN_ALLOW | libc::FAN_AUDIT | libc::FAN_INFO, kind, 0, 2, 2]);
    for response in [Response::ALLOW, Response::DENY] {
        for audited in [response.audited(), response.audited_by(rule)] {
            let mut reader = Helper::cat(&path);
            let answered = asked(&group).answer(audited);
            if has_rules || audited == response.audited() {
                answered.unwrap();
            } else {
                assert_eq!(code(answered), libc::EINVAL);
            }
            assert_eq!(reader.end().success(), response == Response::ALLOW);
        }
    }
}

#[test]
fn execution_and_reading_are_asked_for_apart() {
    let Some(group) = privileged("execution_and_reading_are_asked_for_apart", &content()) else { return };
    let dir = Dir::new("exec");
    let program = dir.program("true");
    group.add(Scope::Inode, &program, Mask::OPEN_EXEC_PERM, Options::empty()).unwrap();
    File::open(&program).unwrap(); // not asked for
    // Starting it waits, so it does so in a shell.
    let mut shell = Helper::sh("\"$1\"", &[&program]);
    let permission = asked(&group);
    assert_eq!(permission.mask, Mask::OPEN_EXEC_PERM);
    permission.deny().unwrap();
    failed_with(&mut shell, EPERM);
    let mut shell = Helper::sh("\"$1\"", &[&program]);
    asked(&group).allow().unwrap();
    assert!(shell.end().success());
    group.flush(Scope::Inode).unwrap();

    let path = dir.file("a", "text");
    group.add(Scope::Inode, &path, Mask::OPEN_PERM | Mask::ACCESS_PERM, Options::empty()).unwrap();
    let mut reader = Helper::cat(&path);
    let open = asked(&group);
    assert_eq!(open.mask, Mask::OPEN_PERM);
    open.allow().unwrap();
    let read = asked(&group);
    assert_eq!(read.mask, Mask::ACCESS_PERM);
    read.deny().unwrap();
    // There are programs that try again in another way.
    while reader.stays(Duration::ZERO) {
        if group.wait_ready(Ready::READ, Some(Instant::now() + A_WHILE)).unwrap().is_some() {
            asked(&group).deny().unwrap();
        }
    }
    failed_with(&mut reader, EPERM);
}

#[test]
fn content_is_filled_in_before_it_is_read() {
    let builder = content().class(Class::PreContent).event_files(OpenFlags::READ_WRITE).report(Report::PIDFD);
    let Some(group) = privileged("content_is_filled_in_before_it_is_read", &builder) else { return };
    let dir = Dir::new("fill");
    let path = dir.file("a", &"-".repeat(10_000));
    if let Err(e) = group.add(Scope::Inode, &path, Mask::PRE_ACCESS, Options::empty()) {
        println!("SKIP: content_is_filled_in_before_it_is_read: the kernel or the file system has no such events: {e}");
        return;
    }
    let mut reader = Helper::sh("exec dd if=$1 bs=1 skip=5000 count=4 status=none", &[&path]);
    let permission = asked(&group);
    assert_eq!((permission.mask, permission.pid), (Mask::PRE_ACCESS, Some(reader.0.id())));
    let range = permission.range.unwrap();
    assert!((range.offset..range.offset + range.count).contains(&5000), "{range:?}");
    let full = Range { offset: range.offset, count: range.count.min(10_000 - range.offset) };
    permission.file().write_all_at(&vec![b'+'; full.count as usize], full.offset).unwrap();
    permission.allow().unwrap();
    // Reading goes by the byte, and each of them asks.
    while reader.stays(Duration::ZERO) {
        if group.wait_ready(Ready::READ, Some(Instant::now() + A_WHILE)).unwrap().is_some() {
            asked(&group).allow().unwrap();
        }
    }
    assert_eq!(io::read_to_string(reader.0.stdout.take().unwrap()).unwrap(), "++++");
}

#[test]
fn another_thread_answers_when_the_group_is_gone_elsewhere() {
    let Some(group) = privileged("another_thread_answers_when_the_group_is_gone_elsewhere", &content()) else { return };
    let dir = Dir::new("thread");
    let path = dir.file("a", "");
    let group = Arc::new(group);
    group.add(Scope::Inode, &path, Mask::OPEN_PERM, Options::empty()).unwrap();
    let (send, receive) = mpsc::channel::<Permission<'static>>();
    let thread = std::thread::spawn(move || {
        let permission = receive.recv_timeout(Duration::from_secs(20)).unwrap();
        // The sender has let go of the group.
        assert!(receive.recv().is_err());
        permission.deny()
    });
    let mut reader = Helper::cat(&path);
    readable(&group);
    let mut buf = EventBuf::new();
    for event in group.read_events_shared(&mut buf).unwrap().unwrap() {
        let Event::Permission(permission) = event else { panic!() };
        send.send(permission).unwrap();
    }
    drop((group, send));
    thread.join().unwrap().unwrap();
    failed_with(&mut reader, EPERM);
}

#[test]
fn who_asks_for_what_cannot_be_opened_is_refused() {
    let test = "who_asks_for_what_cannot_be_opened_is_refused";
    if privileged(test, &content()).is_none() {
        return;
    }
    let failing = content().event_files(OpenFlags::READ_WRITE);
    let telling =
        known(&format!("{test} (in part)"), Report::FD_ERROR).then(|| failing.clone().report(Report::FD_ERROR));
    let dir = Dir::new("busy");
    let program = dir.program("sleep");
    let running = Helper::spawn(Command::new(&program).arg("100"));
    while fs::read_link(format!("/proc/{}/exe", running.0.id())).ok().as_ref() != Some(&program) {
        std::thread::yield_now();
    }
    for builder in [failing].into_iter().chain(telling) {
        let group = builder.open().unwrap();
        group.add(Scope::Inode, &program, Mask::OPEN_PERM, Options::empty()).unwrap();
        let mut reader = Helper::cat(&program);
        readable(&group);
        match group.try_read() {
            Err(e) => assert_eq!(e.raw_os_error(), Some(libc::ETXTBSY)),
            Ok(events) => {
                let Some(Event::Notice(notice)) = events.unwrap().pop() else { panic!() };
                assert_eq!((notice.mask, code(notice.file.unwrap())), (Mask::OPEN_PERM, libc::ETXTBSY));
            }
        }
        failed_with(&mut reader, EPERM);
    }
}

#[test]
fn a_group_that_is_taken_over_answers() {
    let Some(group) = privileged("a_group_that_is_taken_over_answers", &content()) else { return };
    let dir = Dir::new("taken");
    let path = dir.file("a", "");
    group.add(Scope::Inode, &path, Mask::OPEN_PERM, Options::empty()).unwrap();
    let group = Fanotify::try_from(std::os::fd::OwnedFd::from(group)).unwrap().with_on_drop(Response::DENY);
    let mut reader = Helper::cat(&path);
    drop(asked(&group));
    failed_with(&mut reader, EPERM);
}

#[test]
#[allow(unsafe_code, reason = "what is read by hand is handed over")]
fn bytes_that_were_read_elsewhere_are_taken_once() {
    let Some(group) = privileged("bytes_that_were_read_elsewhere_are_taken_once", &content().on_drop(Response::DENY))
    else {
        return;
    };
    let dir = Dir::new("elsewhere");
    let path = dir.file("a", "text");
    group.add(Scope::Inode, &path, Mask::OPEN_PERM, Options::empty()).unwrap();
    for answered in [true, false] {
        let mut reader = Helper::cat(&path);
        readable(&group);
        let mut bytes = [0; 4096];
        let len = rustix::io::read(&group, &mut bytes).unwrap();
        // SAFETY: that is what this read brought, and nobody has taken it.
        let mut events = unsafe { group.take_events(&bytes[..len]) };
        if answered {
            let Some(Event::Permission(permission)) = events.next() else { panic!() };
            permission.allow().unwrap();
        }
        drop(events);
        assert_eq!(reader.end().success(), answered);
    }
}
