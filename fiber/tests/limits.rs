//! Where the kernel's limits are, an error comes first. Each case is a child process: this test program again, with one
//! test selected by the environment.

#![allow(unsafe_code, reason = "locks the memory of a child process")]

mod common;

use becket_fiber::sync::Event;
use becket_fiber::{Builder, Runtime, SpawnError, sleep, spawn, yield_now};
use common::{kernel_has_guards, skips_valgrind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

const CASE: &str = "BECKET_LIMITS_CASE";

#[test]
fn the_child() {
    match std::env::var(CASE).as_deref() {
        Ok("mappings") => mappings(),
        Ok("forty thousand") => forty_thousand(),
        Ok("locked later") => locked_later(),
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

/// Whether guards within a mapping are refused: by the kernel, or because all memory that this process maps from now on
/// is locked. Says SKIP where neither can be.
fn refuses_guards() -> bool {
    let known = kernel_has_guards();
    println!("this kernel {} guards within a mapping", if known { "has" } else { "does not have" });
    // SAFETY: concerns this process alone, which is about to end.
    let refuses = !known || unsafe { libc::mlockall(libc::MCL_FUTURE | libc::MCL_ONFAULT) } == 0;
    if !refuses {
        eprintln!("SKIP: memory cannot be locked: {}", std::io::Error::last_os_error());
    }
    refuses
}

fn max_map_count() -> usize {
    std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap()
}

/// How many stacks may have two mappings each; `None`, with SKIP, where `count` may.
fn cap_below(count: usize) -> Option<usize> {
    let max = max_map_count();
    let cap = (max - max / 8) / 2;
    if cap >= count {
        eprintln!("SKIP: vm.max_map_count is {max}: {count} fibers are no more than there may be");
    }
    (cap < count).then_some(cap)
}

fn maps() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

/// Bytes in memory.
fn used() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Tries to spawn 40,000 fibers that wait, of which some are refused; wakes and joins those that live. Returns their
/// number, and how many mappings and how much memory there were with all of them: stacks that are idle soon go.
fn spawn_forty_thousand(stack_size: usize) -> (usize, usize, usize) {
    let go = Rc::new(Event::new());
    let mut fibers = Vec::with_capacity(COUNT);
    let mut refused = 0;
    for i in 0..COUNT {
        let go = go.clone();
        match Builder::new().stack_size(stack_size).spawn(move || go.wait().map(|()| i)) {
            Ok(fiber) => fibers.push((i, fiber)),
            Err(e) => {
                assert!(e.is_out_of_memory() && !e.is_limit(), "{e}");
                let text = e.to_string();
                if text.contains("os error 11") {
                    eprintln!("SKIP: so much memory cannot be locked: {e}");
                    std::process::exit(0);
                }
                assert!(text.contains("vm.max_map_count"), "{text}");
                if refused == 0 {
                    println!("{} fibers, then: {e}", fibers.len());
                }
                refused += 1;
            }
        }
    }
    // Once one is refused, so are all after it: none has ended.
    assert_eq!(refused + fibers.len(), COUNT);
    assert!(fibers.last().unwrap().0 == fibers.len() - 1, "{refused} were refused, not the last ones");
    (0..3).for_each(|_| yield_now());
    // The rest of the process still has what it needs.
    assert_eq!(std::thread::spawn(|| vec![1u8; 1 << 20].len()).join().unwrap(), 1 << 20);
    let (count, maps, used) = (fibers.len(), maps(), used());
    go.set();
    for (i, fiber) in fibers {
        assert_eq!(fiber.join().unwrap().unwrap(), i);
    }
    (count, maps, used)
}

const COUNT: usize = 40_000;
const STACK: usize = 64 * 1024;

fn forty_thousand() {
    let Some(cap) = cap_below(COUNT) else { return };
    if !refuses_guards() {
        return;
    }
    let ran = Runtime::builder().idle_stacks(100).build().unwrap().run(|| {
        spawn(|| ()).unwrap().join().unwrap();
        let (maps_before, used_before) = (maps(), used());
        for round in 0..2 {
            let (count, peak_maps, peak_used) = spawn_forty_thousand(STACK);
            // The stacks of this fiber and the one before it are there already.
            assert!((cap - 100..cap).contains(&count), "round {round}: {count} fibers, of {cap}");
            // Two each, but where neighbours have become one.
            assert!(peak_maps > 2 * count - 100, "{peak_maps} mappings of {count} fibers");
            // All stacks are idle now, and serve no other size: they make room for it.
            let other = Builder::new().stack_size(4 * STACK).spawn(|| 42).unwrap();
            assert_eq!(other.join().unwrap(), 42);
            let late = Instant::now() + Duration::from_secs(60);
            while maps() > maps_before + 400 {
                assert!(Instant::now() < late, "{} mappings, {maps_before} before, {peak_maps} at most", maps());
                sleep(Duration::from_millis(20)).unwrap();
            }
            let left = used().saturating_sub(used_before);
            println!("{peak_maps} mappings, then {}; {} bytes each, then {left} in all", maps(), peak_used / count);
            assert!(left < (peak_used - used_before) / 5, "{left} of {}", peak_used - used_before);
            assert_eq!(spawn(|| 42).unwrap().join().unwrap(), 42);
        }
    });
    if let Err(e) = ran {
        eprintln!("SKIP: so much memory cannot be locked: {e}");
    }
}

fn locked_later() {
    let Some(cap) = cap_below(COUNT) else { return };
    Runtime::new()
        .unwrap()
        .run(|| {
            // By now it is known how guards are best made.
            spawn(|| ()).unwrap().join().unwrap();
            if refuses_guards() {
                let (count, ..) = spawn_forty_thousand(STACK);
                assert!((cap - 100..=cap).contains(&count), "{count} fibers, of {cap}");
                assert_eq!(spawn(|| 42).unwrap().join().unwrap(), 42);
            }
        })
        .unwrap();
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
fn forty_thousand_fibers_whose_guards_are_mappings_are_refused_in_order_at_the_limit() {
    if !skips_valgrind("it counts mappings and pages, and has its own") {
        check("forty thousand");
    }
}

#[test]
fn memory_that_is_locked_while_fibers_run_has_the_same_limit() {
    if !skips_valgrind("it counts mappings and pages, and has its own") {
        check("locked later");
    }
}

#[test]
fn running_out_of_address_space_is_an_error_from_the_first_fiber_on() {
    check("address space");
}
