//! Where the kernel's limits are, an error comes first.

#![allow(unsafe_code, reason = "locks the memory of a child process")]

use becket_fiber::{Runtime, spawn, yield_now};
use std::process::Command;

const CHILD: &str = "BECKET_LIMITS_CHILD";

#[test]
fn the_child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    // Locked memory refuses guards within a mapping, so that each stack takes two mappings, of which there are few.
    // SAFETY: concerns this process alone, which is about to end.
    let locked = unsafe { libc::mlockall(libc::MCL_FUTURE) };
    if locked != 0 {
        eprintln!("SKIP: memory cannot be locked: {}", std::io::Error::last_os_error());
        return;
    }
    let mut rt = Runtime::builder().stack_size(16 * 1024).build().unwrap();
    rt.run(|| {
        let mut fibers = Vec::new();
        let refused = loop {
            match spawn(yield_now) {
                Ok(fiber) => fibers.push(fiber),
                Err(e) => break e,
            }
        };
        assert!(refused.is_out_of_memory(), "{refused}");
        println!("{} fibers, then: {refused}", fibers.len());
        if refused.to_string().contains("os error 11") {
            eprintln!("SKIP: so much memory cannot be locked: {refused}");
        } else {
            assert!(fibers.len() > 1000);
        }
        // The rest of the process still has what it needs.
        std::thread::spawn(|| vec![1u8; 1 << 20].len()).join().unwrap();
        fibers.into_iter().for_each(|f| f.join().unwrap());
        spawn(|| ()).unwrap().join().unwrap();
    })
    .unwrap();
}

#[test]
#[ignore = "long: locks 600 MB of memory"]
fn running_out_of_mappings_is_an_error_not_a_hang() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_child", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .env("RUST_BACKTRACE", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    if let Some(skip) = text.lines().find(|line| line.starts_with("SKIP: ")) {
        println!("{skip}");
        return;
    }
    assert!(output.status.success(), "{:?}: {text}", output.status);
    println!("{}", String::from_utf8_lossy(&output.stdout));
}
