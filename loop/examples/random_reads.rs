//! What an operation costs: random reads of 4 KiB from a cached file, 32 under way at a time, by the loop over io_uring,
//! by the loop over helper threads, and by io_uring alone. Prints the best of five rounds, in nanoseconds a read.
//!
//! `cargo run --release -p becket-loop --example random_reads`

#![allow(unsafe_code, reason = "io_uring alone is used by hand")]

use becket_loop::backend::{Completions, Epoll};
use becket_loop::{Ctx, Loop, op::Read};
use io_uring::{IoUring, opcode, types};
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

const BLOCK: usize = 4096;
const BLOCKS: u64 = 16384;
const DEPTH: usize = 32;
const READS: usize = 200_000;
const ROUNDS: usize = 5;

/// Where to read: a generator of random numbers, and how many reads are left.
struct Plan {
    random: u64,
    left: usize,
}

impl Plan {
    fn new() -> Plan {
        Plan { random: 88172645463325252, left: READS }
    }

    fn next(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        Some(self.random % BLOCKS * BLOCK as u64)
    }
}

fn read(plan: &mut Plan, ctx: &mut Ctx<Plan>, file: Rc<File>, buf: Vec<u8>) {
    let Some(at) = plan.next() else { return };
    ctx.submit(Read::new(file, buf, Some(at)), |plan, ctx, end| {
        assert_eq!(end.result?, BLOCK);
        read(plan, ctx, end.file, end.buf);
        Ok(())
    });
}

fn by_loop(file: &Rc<File>, completions: Completions) -> Result<(), Box<dyn Error>> {
    let mut event_loop = Loop::with_backend(Epoll::with_completions(completions)?);
    let mut plan = Plan::new();
    for _ in 0..DEPTH {
        read(&mut plan, &mut event_loop, Rc::clone(file), vec![0; BLOCK]);
    }
    event_loop.run(&mut plan)?;
    assert_eq!(event_loop.stats().completions, READS as u64);
    Ok(())
}

fn alone(file: &File) -> Result<(), Box<dyn Error>> {
    let mut ring = IoUring::new(DEPTH as u32)?;
    let mut plan = Plan::new();
    let mut bufs = vec![[0_u8; BLOCK]; DEPTH];
    let mut free: Vec<u64> = (0..DEPTH as u64).collect();
    let mut ended = 0;
    while ended < READS {
        while let Some(&buf) = free.last() {
            let Some(at) = plan.next() else { break };
            free.pop();
            let to = bufs[buf as usize].as_mut_ptr();
            let entry = opcode::Read::new(types::Fd(file.as_raw_fd()), to, BLOCK as u32).offset(at);
            // SAFETY: the file stays open, and the buffer is not touched before its completion. Where this returns or
            // panics before, the whole program ends.
            unsafe { ring.submission().push(&entry.build().user_data(buf))? };
        }
        ring.submit_and_wait(1)?;
        for completion in ring.completion() {
            assert_eq!(completion.result(), BLOCK as i32);
            free.push(completion.user_data());
            ended += 1;
        }
    }
    Ok(())
}

/// Time, and processor time of all threads, for each read.
fn measured(run: impl Fn() -> Result<(), Box<dyn Error>>) -> Result<(u128, u128), Box<dyn Error>> {
    let mut best = (u128::MAX, u128::MAX);
    for _ in 0..ROUNDS {
        let processor = || Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).map(|time| time.as_nanos());
        let (start, before) = (Instant::now(), processor()?);
        run()?;
        let took = (start.elapsed().as_nanos() / READS as u128, (processor()? - before) / READS as u128);
        best = (best.0.min(took.0), best.1.min(took.1));
    }
    Ok(best)
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("becket-random-reads-{}", std::process::id()));
    let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(path)?;
    file.write_all(&vec![1; BLOCK * BLOCKS as usize])?;
    let file = Rc::new(file);

    let print = |what: &str, (time, processor): (u128, u128)| println!("{what:<24} {time:>6} ns {processor:>6} ns CPU");
    print("helper threads", measured(|| by_loop(&file, Completions::HelperThreads))?);
    match Epoll::with_completions(Completions::Backend) {
        Ok(_) => {
            print("io_uring", measured(|| by_loop(&file, Completions::Backend))?);
            print("io_uring without a loop", measured(|| alone(&file))?);
        }
        Err(e) => println!("no io_uring here: {e}"),
    }
    Ok(())
}
