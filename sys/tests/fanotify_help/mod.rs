//! What the tests of fanotify share.
//!
//! Where tests run in threads of one process, a child that one of them starts has, for a moment, all descriptors of the
//! others: a file is not always closed when it is dropped. So they wait for what comes of closing.
#![allow(dead_code, unreachable_pub, reason = "each of them uses a part of it")]

use becket_sys::fanotify::{Builder, Event, Fanotify, Notice, Permission, Report};
use becket_sys::process::PidFd;
use becket_sys::{Ready, wait};
use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A directory of the test's own, removed in the end.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new(test: &str) -> Dir {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).canonicalize().unwrap();
        let path = path.join(format!("fanotify-{test}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Dir(path)
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file in it with this content.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        fs::write(self.at(name), content).unwrap();
        self.at(name)
    }

    /// A copy of a program in it, to be executed.
    pub fn program(&self, name: &str) -> PathBuf {
        let original = ["/bin", "/usr/bin"].map(|dir| Path::new(dir).join(name)).into_iter().find(|path| path.exists());
        // Not by this process: a child that another test has just forked would hold the copy open for writing.
        let copied = Command::new("cp").arg(original.unwrap()).arg(self.at(name)).status().unwrap();
        assert!(copied.success());
        self.at(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Opens a group that needs privileges; `None`, and a word on it, without.
pub fn privileged(test: &str, builder: &Builder) -> Option<Fanotify> {
    match Fanotify::builder().open() {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            println!("SKIP: {test}: no CAP_SYS_ADMIN");
            None
        }
        _ => Some(builder.open().unwrap()),
    }
}

/// Whether the kernel has a report of the newer ones; a word on it where it has not. For those who may open such groups.
pub fn known(test: &str, report: Report) -> bool {
    match Fanotify::builder().report(report).open() {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
            let since = if report == Report::MNT { (6, 15) } else { (6, 13) };
            assert!(release() < since, "Linux {since:?} has {report:?}");
            println!("SKIP: {test}: Linux before {}.{} has no {report:?}", since.0, since.1);
            false
        }
        group => {
            group.unwrap();
            true
        }
    }
}

fn release() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// All that has happened, which is there at once: the kernel queues before the call that does something returns.
pub fn notices(group: &Fanotify) -> Vec<Notice<'static>> {
    let mut all = Vec::new();
    while let Some(events) = group.try_read().unwrap() {
        all.extend(events.into_iter().map(|event| match event {
            Event::Notice(notice) => notice,
            other => panic!("{other:?}"),
        }));
    }
    all
}

/// Keeps the bytes of real events where BECKET_FANOTIFY_CORPUS names a folder: the fuzzer's corpus is from there.
pub fn keep(name: &str, bytes: &[u8]) {
    if let Some(folder) = std::env::var_os("BECKET_FANOTIFY_CORPUS") {
        fs::write(Path::new(&folder).join(name), bytes).unwrap();
    }
}

pub fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(20))
}

/// Waits until there is something to read, within bounds.
pub fn readable(fd: impl AsFd) {
    wait(fd, Ready::READ, soon()).unwrap().expect("nothing comes");
}

/// The one who waits for permission next.
pub fn asked(group: &Fanotify) -> Permission<'_> {
    readable(group);
    match group.try_read().unwrap().unwrap().pop() {
        Some(Event::Permission(permission)) => permission,
        other => panic!("{other:?}"),
    }
}

/// A process that is killed when the test is done with it.
pub struct Helper(pub Child);

impl Helper {
    /// Reads the file.
    pub fn cat(path: &Path) -> Helper {
        Helper::spawn(Command::new("cat").arg(path))
    }

    /// Runs a script of the shell, with arguments.
    pub fn sh(script: &str, args: &[&Path]) -> Helper {
        Helper::spawn(Command::new("sh").args(["-c", script, "sh"]).args(args))
    }

    /// As `sh`, in a mount namespace of its own, where nothing is told to others.
    pub fn unshared(script: &str, args: &[&Path]) -> Helper {
        let mut command = Command::new("unshare");
        Helper::spawn(command.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]).args(args))
    }

    pub fn spawn(command: &mut Command) -> Helper {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("LC_ALL", "C");
        Helper(command.spawn().unwrap())
    }

    /// Whether it still runs after some time.
    pub fn stays(&mut self, time: Duration) -> bool {
        if self.0.try_wait().unwrap().is_some() {
            return false;
        }
        let process = PidFd::of_child(&self.0).unwrap();
        process.wait_ready(Ready::READ, Some(Instant::now() + time)).unwrap().is_none()
    }

    /// A line of its output.
    pub fn line(&mut self) -> String {
        let out = self.0.stdout.as_mut().unwrap();
        let mut line = Vec::new();
        loop {
            readable(&*out);
            let mut byte = [0];
            match out.read(&mut byte).unwrap() {
                0 => panic!("it ended: {}", self.errors()),
                _ if byte == *b"\n" => return String::from_utf8(line).unwrap(),
                _ => line.extend(byte),
            }
        }
    }

    /// Its end, within bounds.
    pub fn end(&mut self) -> ExitStatus {
        drop(self.0.stdin.take());
        assert!(!self.stays(Duration::from_secs(20)), "it does not end");
        self.0.wait().unwrap()
    }

    /// What it said of errors, after its end.
    pub fn errors(&mut self) -> String {
        self.end();
        io::read_to_string(self.0.stderr.take().unwrap()).unwrap()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
