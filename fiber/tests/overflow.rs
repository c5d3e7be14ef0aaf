//! A stack overflow ends the process, and says whose stack it was. Each case is a child process: this test
//! program again, with one test selected by the environment.

#![allow(unsafe_code, reason = "provokes what must not be")]

use becket_fiber::{Builder, Runtime};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

const CASE: &str = "BECKET_OVERFLOW_CASE";

fn child(case: &str) -> Output {
    let program = std::env::current_exe().unwrap();
    Command::new(program)
        .args(["--exact", "the_child", "--nocapture", "--test-threads=1"])
        .env(CASE, case)
        .output()
        .unwrap()
}

#[inline(never)]
fn descend(depth: u64) -> u64 {
    let frame = [depth; 64];
    if depth == u64::MAX { 0 } else { descend(depth + 1) + std::hint::black_box(&frame)[7] }
}

#[test]
fn the_child() {
    let Ok(case) = std::env::var(CASE) else { return };
    if case.contains("locked") {
        // Locked memory refuses guards within a mapping: the pages are protected the old way.
        // SAFETY: concerns this process alone, which is about to end.
        let locked = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) };
        if locked != 0 {
            eprintln!("SKIP: memory cannot be locked: {}", std::io::Error::last_os_error());
            return;
        }
    }
    if case.contains("foreign") {
        // A thread that std did not make has no alternate stack.
        let mut thread = 0;
        // SAFETY: `in_a_foreign_thread` has the signature, and needs no argument.
        unsafe {
            libc::pthread_create(&mut thread, std::ptr::null(), in_a_foreign_thread, std::ptr::null_mut());
            libc::pthread_join(thread, std::ptr::null_mut());
        }
    } else {
        overflow(&case);
    }
}

extern "C" fn in_a_foreign_thread(_: *mut libc::c_void) -> *mut libc::c_void {
    overflow("foreign");
    std::ptr::null_mut()
}

fn overflow(case: &str) {
    let mut rt = Runtime::new().unwrap();
    rt.run(|| {
        becket_fiber::spawn(|| 1).unwrap().join().unwrap();
        let overflows = || {
            if case == "null" {
                // SAFETY: none: this is to crash.
                unsafe { std::ptr::null::<u8>().wrapping_add(8).read_volatile() };
            }
            descend(0)
        };
        let builder = if case.contains("named") { Builder::new().name("deep one") } else { Builder::new() };
        becket_fiber::scope(|s| s.spawn_with(builder, overflows).map(drop)).unwrap();
    })
    .unwrap();
}

fn check(case: &str, message: &str) {
    let output = child(case);
    let stderr = String::from_utf8_lossy(&output.stderr);
    if let Some(skip) = stderr.lines().find(|line| line.starts_with("SKIP: ")) {
        println!("{skip}");
        return;
    }
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{:?}: {stderr}", output.status);
    assert!(stderr.contains(message), "{stderr}");
}

#[test]
fn rule_02_an_overflow_names_the_fiber_and_aborts() {
    check("plain", "\nfiber 3 has overflowed its stack\n");
    check("named", "\nfiber 3 deep one has overflowed its stack\n");
}

#[test]
fn an_overflow_on_a_foreign_thread_is_told_too() {
    check("foreign", "\nfiber 3 has overflowed its stack\n");
}

#[test]
fn an_overflow_is_found_without_guards_in_the_mapping_too() {
    check("named locked", "\nfiber 3 deep one has overflowed its stack\n");
}

#[test]
fn another_fault_is_left_to_whoever_had_it_before() {
    let output = child("null");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{:?}: {stderr}", output.status);
    assert!(!stderr.contains("overflowed"), "{stderr}");
}
