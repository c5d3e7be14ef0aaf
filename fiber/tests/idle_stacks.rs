//! What becomes of the stacks of many fibers that have ended. One test, for it measures the memory of the process.

mod common;

use becket_fiber::{Runtime, is_cancelled, sleep, spawn, stack_use};
use common::{HOUR, settle, skips_valgrind};
use std::time::{Duration, Instant};

/// Bytes of address space, and those in memory.
fn memory() -> [usize; 2] {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    ["VmSize:", "VmRSS:"].map(|key| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    })
}

fn maps() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

#[test]
fn a_million_fibers_sleep_are_woken_and_give_their_memory_back() {
    if skips_valgrind("it counts mappings and pages, and has its own") {
        return;
    }
    let count = if std::env::var_os("BECKET_LONG").is_some() { 1_000_000 } else { 20_000 };
    let mut runtime = Runtime::builder().max_fibers(count + 1).idle_stacks(100).build().unwrap();
    runtime
        .run(|| {
            assert!(stack_use().is_empty());
            spawn(|| ()).unwrap().join().unwrap();
            let (maps_before, [space, used]) = (maps(), memory());
            let mut fibers = Vec::with_capacity(count);
            for _ in 0..count {
                fibers.push(match spawn(|| sleep(HOUR)) {
                    Ok(fiber) => fiber,
                    Err(e) if e.is_out_of_memory() => {
                        println!("SKIP: after {} fibers: {e}", fibers.len());
                        return;
                    }
                    Err(e) => panic!("{e}"),
                });
            }
            settle();
            let (peak_maps, [peak_space, peak_used]) = (maps(), memory());
            println!(
                "{count} fibers: {peak_maps} mappings, {maps_before} before, {} bytes each",
                (peak_used - used) / count
            );
            assert!(peak_space - space > count * 128 * 1024);
            fibers.iter().for_each(|fiber| fiber.cancel());
            for fiber in fibers {
                assert!(is_cancelled(&fiber.join().unwrap().unwrap_err()));
            }
            let late = Instant::now() + Duration::from_secs(if count > 100_000 { 300 } else { 20 });
            while memory()[0] > space + 200 * 132 * 1024 + (peak_space - space) / 50 {
                assert!(Instant::now() < late, "{:?} of {space} and {peak_space}", memory());
                sleep(Duration::from_millis(20)).unwrap();
            }
            let left = memory()[1].saturating_sub(used);
            println!("afterwards: {} mappings, {} bytes each", maps(), left / count);
            assert!(left < (peak_used - used) / 10, "{left} of {}", peak_used - used);
            if peak_maps > count {
                println!("SKIP: each guard page is a mapping: no MADV_GUARD_INSTALL on this kernel");
                return;
            }
            // On a thread malloc takes two for every 64 MiB, of which the records alone need five.
            assert!(peak_maps <= maps_before + 30, "{peak_maps} mappings, {maps_before} before");
            // What is kept may lie in several places; far fewer than there are runs of 64 stacks.
            assert!(maps() <= peak_maps + 30, "{} mappings", maps());
            // All is as before.
            assert_eq!(spawn(|| 42).unwrap().join().unwrap(), 42);
        })
        .unwrap();
}
