//! A tool that measures what an operation costs: random reads of 4 KiB from a cached file, 1, 4 and 32 under way at a time,
//! by the loop that has its choice, by the loop over io_uring, by io_uring alone, and by the loop over helper threads. In
//! each round all of them have their turn; prints the best of the rounds in nanoseconds a read, and the median of the rounds'
//! ratios to io_uring alone.
//!
//! `cargo run --release -p becket-loop --example random_reads [ROUNDS [READS]]`

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
const DEPTHS: [usize; 3] = [1, 4, 32];

/// Where to read: a generator of random numbers, and how many reads are left.
struct Plan {
    random: u64,
    left: usize,
}

impl Plan {
    fn new(reads: usize) -> Plan {
        Plan { random: 88172645463325252, left: reads }
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

fn by_loop(
    file: &Rc<File>,
    depth: usize,
    reads: usize,
    completions: Option<Completions>,
) -> Result<(), Box<dyn Error>> {
    let epoll = completions.map_or_else(Epoll::new, Epoll::with_completions)?;
    let mut event_loop = Loop::with_backend(epoll);
    let mut plan = Plan::new(reads);
    for _ in 0..depth {
        read(&mut plan, &mut event_loop, Rc::clone(file), vec![0; BLOCK]);
    }
    event_loop.run(&mut plan)?;
    assert_eq!(event_loop.stats().completions, reads as u64);
    Ok(())
}

fn alone(file: &File, depth: usize, reads: usize) -> Result<(), Box<dyn Error>> {
    let mut ring = IoUring::new(depth as u32)?;
    let mut plan = Plan::new(reads);
    let mut bufs = vec![[0_u8; BLOCK]; depth];
    let mut free: Vec<u64> = (0..depth as u64).collect();
    let mut ended = 0;
    while ended < reads {
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

/// Nanoseconds a read: of time, and of processor time of all threads.
fn measured(reads: usize, run: impl Fn() -> Result<(), Box<dyn Error>>) -> Result<(f64, f64), Box<dyn Error>> {
    let processor = || Duration::try_from(clock_gettime(ClockId::ProcessCPUTime));
    let (start, before) = (Instant::now(), processor()?);
    run()?;
    let each = |time: Duration| time.as_nanos() as f64 / reads as f64;
    Ok((each(start.elapsed()), each(processor()? - before)))
}

fn median(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let rounds: usize = args.next().map_or(Ok(7), |rounds| rounds.parse())?;
    let reads: usize = args.next().map_or(Ok(100_000), |reads| reads.parse())?;
    let path = std::env::temp_dir().join(format!("becket-random-reads-{}", std::process::id()));
    let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(path)?;
    file.write_all(&vec![1; BLOCK * BLOCKS as usize])?;
    let file = Rc::new(file);
    if let Err(e) = Epoll::with_completions(Completions::Backend) {
        println!("no io_uring here: {e}");
        return Ok(());
    }
    println!("depth  by what            time  processor    time and processor, times those of io_uring alone");
    for depth in DEPTHS {
        let mut rows = vec![Vec::new(); 4];
        for _ in 0..rounds.max(1) {
            rows[0].push(measured(reads, || alone(&file, depth, reads))?);
            let forced = [None, Some(Completions::Backend), Some(Completions::HelperThreads)];
            for (row, completions) in rows[1..].iter_mut().zip(forced) {
                row.push(measured(reads, || by_loop(&file, depth, reads, completions))?);
            }
        }
        for (what, row) in ["io_uring alone", "loop", "loop, io_uring", "loop, threads"].iter().zip(&rows) {
            let best = row.iter().fold((f64::MAX, f64::MAX), |best, run| (best.0.min(run.0), best.1.min(run.1)));
            let ratios = row.iter().zip(&rows[0]);
            let time = median(ratios.clone().map(|(run, alone)| run.0 / alone.0).collect());
            let processor = median(ratios.map(|(run, alone)| run.1 / alone.1).collect());
            println!("{depth:>5}  {what:<14} {:>6.0} ns  {:>6.0} ns    {time:.2} {processor:.2}", best.0, best.1);
        }
    }
    Ok(())
}
