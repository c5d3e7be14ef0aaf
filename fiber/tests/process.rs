//! Child processes: started, fed, read, waited for, left alone, killed.

mod common;

use becket_fiber::process::{Child, Command, PidFd, Stdio};
use becket_fiber::signal::CommandSignalExt;
use becket_fiber::{Io, Ready, copy, is_cancelled, pipe, scope, sleep, spawn, timeout};
use common::{HOUR, each_backend, kind, settle, skips_valgrind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// Runs `test` in a fiber on each backend.
fn in_fiber(test: impl Fn() -> io::Result<()>) {
    if !skips_valgrind("it does not know pidfd_open") {
        each_backend(|rt| rt.run(&test).unwrap().unwrap());
    }
}

/// Waits until the process of that number is no child of ours any more: neither running nor a zombie.
fn until_gone(pid: u32) -> io::Result<()> {
    timeout(Duration::from_secs(20), || {
        while std::fs::exists(format!("/proc/{pid}"))? {
            sleep(5 * MS)?;
        }
        Ok(())
    })
}

#[test]
fn output_and_status() {
    in_fiber(|| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "cat; echo out $A $B; echo err >&2; pwd; exit 3"]);
        shell.env_clear().env("A", "1").envs([("B", "2"), ("C", "3")]).env_remove("C").current_dir("/");
        for _ in 0..2 {
            let output = shell.output()?;
            assert_eq!(output.status.code(), Some(3));
            assert_eq!(String::from_utf8_lossy(&output.stdout), "out 1 2\n/\n");
            assert_eq!(output.stderr, b"err\n");
        }
        let output = Command::new("echo").arg("lost").stdout(Stdio::null()).output()?;
        assert!(output.status.success() && output.stdout.is_empty());
        assert_eq!(Command::new("sh").args(["-c", "exit 7"]).status()?.code(), Some(7));
        let mut true_ = Command::new("true");
        true_.as_std_mut().reset_sigmask();
        assert!(true_.status()?.success());
        let e = Command::new("/no/such/program").output().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound);
        let e = Command::new("/no/such/program").spawn().unwrap_err();
        assert_eq!(e.to_string(), "spawn /no/such/program: No such file or directory (os error 2)");
        Ok(())
    });
}

#[test]
fn both_outputs_are_read_as_they_fill() {
    in_fiber(|| {
        // More than two pipes hold, one after the other.
        let script = "head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2";
        let output = timeout(HOUR, || Command::new("sh").args(["-c", script]).output())?;
        assert_eq!((output.stdout.len(), output.stderr.len()), (300_000, 600_000));
        Ok(())
    });
}

#[test]
fn a_child_is_fed_and_read_by_fibers() {
    in_fiber(|| {
        let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (mut input, mut output) = (cat.stdin.take().unwrap(), cat.stdout.take().unwrap());
        let writer = spawn(move || input.write_all(&[b'x'; 300_000]))?;
        let mut text = String::new();
        output.read_to_string(&mut text)?;
        assert_eq!(text.len(), 300_000);
        writer.join()??;
        assert!(cat.wait()?.success());
        cat.kill()?; // it is gone: nothing happens
        assert!(cat.wait()?.success());
        Ok(())
    });
}

#[test]
fn no_child_stays_a_zombie() {
    in_fiber(|| {
        // Dropped while it runs, and left alone.
        let left = Command::new("sleep").arg("0.1").spawn()?;
        let ended = Io::new(PidFd::open(left.id())?)?;
        let pid = left.id();
        drop(left);
        assert!(ended.wait(Ready::READ, Some(std::time::Instant::now()))?.is_none());
        until_gone(pid)?;

        // Dropped and killed.
        let killed = Command::new("sleep").arg("60").kill_on_drop(true).spawn()?;
        let pid = killed.id();
        drop(killed);
        until_gone(pid)?;

        // Given up by a deadline and by a cancel.
        let pid = std::cell::Cell::new(0);
        let late = timeout(20 * MS, || {
            let child = Command::new("sleep").arg("60").kill_on_drop(true).stdout(Stdio::piped()).spawn()?;
            pid.set(child.id());
            child.wait_with_output()
        });
        assert_eq!(kind(late), Some(ErrorKind::TimedOut));
        until_gone(pid.get())?;
        let status = spawn(|| Command::new("sleep").arg("60").kill_on_drop(true).status())?;
        settle();
        status.cancel();
        assert!(is_cancelled(&status.join()?.unwrap_err()));
        Ok(())
    });
}

/// 400 children, or where `BECKET_LONG` is set 10,000, as many as 200 of them at a time.
#[test]
fn many_at_a_time_each_with_its_status() {
    let all = if std::env::var_os("BECKET_LONG").is_some() { 10_000 } else { 400 };
    in_fiber(|| {
        let next = Cell::new(0);
        scope(|s| {
            for _ in 0..200 {
                s.spawn_or_cancel(|| {
                    loop {
                        let n = next.get();
                        if n >= all {
                            return Ok::<_, io::Error>(());
                        }
                        next.set(n + 1);
                        let script = format!("exit {}", n % 251);
                        let child = Child::spawn(std::process::Command::new("sh").args(["-c", &script]))?;
                        assert_eq!(child.wait()?.code(), Some(n % 251));
                    }
                })?;
            }
            Ok::<_, io::Error>(())
        })?;
        assert_eq!(next.get(), all);
        Ok(())
    });
}

/// A thousand stages, each a fiber between two pipes.
#[test]
fn a_pipeline_of_a_thousand_pipes() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if setrlimit(Resource::Nofile, most).is_err() || limit.maximum.is_some_and(|n| n < 2500) {
        println!("SKIP: this process may not have 2000 descriptors");
        return;
    }
    if skips_valgrind("it takes minutes") {
        return;
    }
    each_backend(|rt| {
        rt.run(|| {
            let (mut first, mut reader) = (None, None);
            scope(|s| {
                for _ in 0..1000 {
                    let (r, w) = pipe::pair()?;
                    match reader.replace(r) {
                        None => first = Some(w),
                        Some(from) => drop(s.spawn_or_cancel(move || copy(&from, &w).map(drop))?),
                    }
                }
                let (first, mut last) = (first.take().unwrap(), reader.take().unwrap());
                s.spawn_or_cancel(move || { &first }.write_all(&[7; 300_000]))?;
                let mut all = Vec::new();
                last.read_to_end(&mut all)?;
                assert!(all == [7; 300_000]);
                Ok::<_, io::Error>(())
            })
        })
        .unwrap()
        .unwrap();
    });
}
