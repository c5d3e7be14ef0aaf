//! A surrounding that gives little: no time, no output, few descriptors.

use crate::{MARGIN, Sums, start};
use becket_tests::examples;
use becket_tests::program::Program;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::Instant;

#[test]
fn no_time_at_all_is_enough() {
    let sums = Sums::of(&start(&["--for", "0s"]).finish(MARGIN));
    assert_eq!((sums.readings, sums.published), (0, 0), "{sums:?}");
}

#[test]
fn standard_output_that_takes_nothing_is_told() {
    let mut command = Command::new(examples::path("gateway"));
    command.args(["--for", "100ms"]).stdout(File::create("/dev/full").unwrap()).stderr(Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    let last = String::from_utf8(output.stderr).unwrap().lines().last().map(str::to_owned);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(last.as_deref(), Some("gateway: standard output: No space left on device (os error 28)"));
}

#[test]
fn standard_error_that_takes_nothing_changes_nothing() {
    let mut command = Command::new(examples::path("gateway"));
    command.args(["--for", "1s"]).stdout(Stdio::piped()).stderr(File::create("/dev/full").unwrap());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.starts_with(br#"{"readings":"#), "{output:?}");
}

#[test]
fn standard_error_that_nobody_reads_holds_up_nothing() {
    let (_unread, writer) = std::io::pipe().unwrap();
    // Full, but for what one line needs at most.
    let full = OwnedFd::from(writer.try_clone().unwrap());
    rustix::pipe::fcntl_setpipe_size(&full, 4096).unwrap();
    (&writer).write_all(&[b'x'; 4096]).unwrap();
    let mut command = Command::new(examples::path("gateway"));
    command.args(["--for", "2s"]).stdout(Stdio::piped()).stderr(writer);
    let started = Instant::now();
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.starts_with(br#"{"readings":"#), "{output:?}");
    assert!(started.elapsed() < MARGIN);
}

#[test]
fn with_too_few_descriptors_it_says_so_or_does_its_work() {
    for limit in 8..=24 {
        let mut command = Command::new("sh");
        let program = examples::path("gateway");
        command.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" --for 300ms")]).arg(program);
        let finished = Program::spawn(command).finish(MARGIN);
        if finished.status.code() == Some(0) {
            Sums::of(&finished);
        } else {
            assert_eq!(finished.status.code(), Some(2), "{limit}: {finished:?}");
            assert!(finished.stderr.contains("Too many open files"), "{limit}: {finished:?}");
        }
    }
}
