//! Where the kernel's limits are, an error comes first. Each case is a child process: this test program again, with one
//! test selected by the environment.

#![allow(unsafe_code, reason = "locks the memory of a child process")]

use becket_fiber::{Runtime, SpawnError, spawn, yield_now};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::process::Command;

const CASE: &str = "BECKET_LIMITS_CASE";

#[test]
fn the_child() {
    match std::env::var(CASE).as_deref() {
        Ok("mappings") => mappings(),
        Ok("address space") => address_space(),
        _ => {}
    }
}

/// Spawns fibers until that is refused, for want of memory, and lets all end.
fn spawn_until_refused() -> (usize, SpawnError) {
    let mut fibers = Vec::with_capacity(100_000);
    let refused = loop {
        match spawn(yield_now) {
            Ok(fiber) => fibers.push(fiber),
            Err(e) => break e,
        }
    };
    assert!(refused.is_out_of_memory(), "{refused}");
    println!("{} fibers, then: {refused}", fibers.len());
    let count = fibers.len();
    fibers.into_iter().for_each(|f| f.join().unwrap());
    spawn(|| ()).unwrap().join().unwrap();
    (count, refused)
}

fn mappings() {
    // Locked memory refuses guards within a mapping, so that each stack takes two mappings, of which there are few. Locked
    // on fault, so that it takes no more memory than is used.
    // SAFETY: concerns this process alone, which is about to end.
    let locked = unsafe { libc::mlockall(libc::MCL_FUTURE | libc::MCL_ONFAULT) };
    if locked != 0 {
        eprintln!("SKIP: memory cannot be locked: {}", std::io::Error::last_os_error());
        return;
    }
    let ran = Runtime::builder().stack_size(16 * 1024).build().unwrap().run(|| {
        let (count, refused) = spawn_until_refused();
        if refused.to_string().contains("os error 11") {
            eprintln!("SKIP: so much memory cannot be locked: {refused}");
            return;
        }
        assert!(count > 1000);
        // The rest of the process still has what it needs.
        std::thread::spawn(|| vec![1u8; 1 << 20].len()).join().unwrap();
    });
    if let Err(e) = ran {
        eprintln!("SKIP: so much memory cannot be locked: {e}");
    }
}

fn address_space() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.trim().strip_suffix(" kB")).unwrap();
    let now = size.parse::<u64>().unwrap() << 10;
    let before = getrlimit(Resource::As);
    let limit = |more| setrlimit(Resource::As, Rlimit { current: Some(now + more), ..before }).unwrap();
    let mut rt = Runtime::new().unwrap();
    // Less than a stack, and less than what the first fiber of a process needs.
    limit(48 << 10);
    let refused = rt.run(|| ()).unwrap_err();
    limit(32 << 20);
    println!("first: {refused}");
    rt.run(|| assert!(spawn_until_refused().0 > 100)).unwrap();
}

fn check(case: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_child", "--nocapture", "--test-threads=1"])
        .env(CASE, case)
        .env("RUST_BACKTRACE", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    if let Some(skip) = text.lines().find(|line| line.starts_with("SKIP: ")) {
        println!("{skip}");
        return;
    }
    assert!(output.status.success(), "{:?}: {text}", output.status);
    assert!(!text.contains("panicked"), "{text}");
    println!("{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn running_out_of_mappings_is_an_error_not_a_hang() {
    check("mappings");
}

#[test]
fn running_out_of_address_space_is_an_error_from_the_first_fiber_on() {
    check("address space");
}
