//! A surrounding that gives little: no time, no output, few descriptors.

use crate::{MARGIN, Sums, start};
use becket_tests::examples;
use becket_tests::program::Program;
use std::fs::File;
use std::process::{Command, Stdio};

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
