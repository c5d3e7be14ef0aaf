//! What the gateway takes from the machine, looked at from outside.

use std::fs;
use std::time::{Duration, Instant};

/// What a process holds at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub at: Duration,
    /// Its share of memory, in KiB.
    pub pss: u64,
    pub descriptors: usize,
    /// Processor time so far.
    pub cpu: Duration,
}

/// A process that is watched.
pub struct Watch {
    pid: u32,
    start: Instant,
    pub samples: Vec<Sample>,
}

impl Watch {
    pub fn new(pid: u32) -> Watch {
        Watch { pid, start: Instant::now(), samples: Vec::new() }
    }

    /// Takes a sample and keeps it.
    pub fn sample(&mut self) -> Sample {
        let sample =
            Sample { at: self.start.elapsed(), pss: self.pss(), descriptors: self.open().len(), cpu: self.cpu() };
        self.samples.push(sample);
        sample
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.pid)).unwrap_or_else(|e| panic!("the gateway's {file}: {e}"))
    }

    fn pss(&self) -> u64 {
        let rollup = self.read("smaps_rollup");
        let line = rollup.lines().find(|line| line.starts_with("Pss:")).expect("a line Pss");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of KiB")
    }

    /// What each of its descriptors is, sorted.
    pub fn open(&self) -> Vec<String> {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.pid)).expect("the gateway's descriptors");
        let links = folder.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        let mut open: Vec<_> = links.map(|link| link.display().to_string()).collect();
        open.sort();
        open
    }

    /// The time that all of its threads took of the processor.
    pub fn cpu(&self) -> Duration {
        let stat = self.read("stat");
        // Behind the name, which may hold anything, the state is the first and utime the twelfth.
        let behind = stat.rsplit(')').next().expect("fields");
        let ticks: u64 = behind.split_whitespace().skip(11).take(2).map(|t| t.parse::<u64>().expect("ticks")).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    pub fn children(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).expect("the gateway's threads");
        let of_each = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        of_each.flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// The processor time that it takes within this time.
    pub fn cpu_within(&self, time: Duration) -> Duration {
        let before = self.cpu();
        std::thread::sleep(time);
        self.cpu() - before
    }

    /// The most memory, in KiB, at any sample of a part of the time, from and to as shares of the whole.
    pub fn most_memory(&self, from: f64, to: f64) -> u64 {
        let whole = self.samples.last().expect("samples").at;
        let part = whole.mul_f64(from)..=whole.mul_f64(to);
        self.samples.iter().filter(|s| part.contains(&s.at)).map(|s| s.pss).max().unwrap_or(0)
    }
}
