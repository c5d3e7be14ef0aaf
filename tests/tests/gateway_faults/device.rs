//! A device that does anything at random.

use crate::account::reading;
use becket_sys::Ready;
use becket_tests::device::Device;
use becket_tests::random::Random;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a line may take to be taken before the device goes on to something else.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many readings a flood has at most.
const FLOOD: u64 = 3000;

/// A device and what it has said.
pub struct Chatter {
    number: usize,
    pub device: Device,
    random: Random,
    /// The rest of a line that was begun.
    rest: Vec<u8>,
    next: u64,
    /// Whether it is ever pulled out.
    pub is_loose: bool,
}

/// What has become of the devices.
#[derive(Debug, Default)]
pub struct Told {
    pub pulled: AtomicU64,
    pub floods: AtomicU64,
    pub noise: AtomicU64,
    pub stalls: AtomicU64,
}

impl Chatter {
    pub fn plug(number: usize, name: &str, random: Random, is_loose: bool) -> Chatter {
        Chatter { number, device: Device::plug(name), random, rest: Vec::new(), next: 0, is_loose }
    }

    /// How many readings it has begun to say.
    pub fn said(&self) -> u64 {
        self.next
    }

    /// Does anything until told to stop, and is plugged in then, with no line begun.
    pub fn run(&mut self, stop: &AtomicBool, told: &Told) {
        while !stop.load(Ordering::Relaxed) {
            match self.random.within(0..if self.is_loose { 14 } else { 12 }) {
                0..=4 => self.talk(stop),
                5 => {
                    told.floods.fetch_add(1, Ordering::Relaxed);
                    self.flood(stop);
                }
                6 | 7 => {
                    told.noise.fetch_add(1, Ordering::Relaxed);
                    self.make_noise();
                }
                8 => self.stammer(),
                9 => self.answer(),
                10 | 11 => {
                    told.stalls.fetch_add(1, Ordering::Relaxed);
                    let silence = self.random.millis(200..2000);
                    self.listen(silence);
                }
                _ => {
                    told.pulled.fetch_add(1, Ordering::Relaxed);
                    self.come_loose();
                }
            }
        }
        self.end_line();
    }

    /// Readings at a pace of its own.
    fn talk(&mut self, stop: &AtomicBool) {
        let (until, pause) = (Instant::now() + self.random.millis(500..2000), self.random.millis(5..50));
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            self.say_reading();
            self.listen(pause);
        }
    }

    fn flood(&mut self, stop: &AtomicBool) {
        for _ in 0..self.random.within(100..FLOOD) {
            if stop.load(Ordering::Relaxed) || !self.say_reading() {
                break;
            }
        }
    }

    /// What is no reading: bytes of all kinds, a line that is too long, text that a terminal would obey.
    fn make_noise(&mut self) {
        let mut noise = match self.random.within(0..3) {
            0 => {
                let count = self.random.within(1..3000);
                self.random.bytes(count)
            }
            1 => vec![b'x'; self.random.within(4000..12_000) as usize],
            _ => b"\x1b[2J\x1b]0;owned\x07\r\x9b31mhello\x00".repeat(self.random.within(1..20) as usize),
        };
        // By chance there must be no reading in it.
        noise.iter_mut().filter(|byte| **byte == b'=').for_each(|byte| *byte = b'-');
        self.end_line();
        noise.push(b'\n');
        self.say(noise);
    }

    /// A reading in pieces.
    fn stammer(&mut self) {
        self.end_line();
        let line = self.take_number().into_bytes();
        let (begin, rest) = line.split_at(self.random.within(1..line.len() as u64) as usize);
        self.say(begin.to_vec());
        let pause = self.random.millis(1..300);
        self.listen(pause);
        self.rest.extend_from_slice(rest);
        self.end_line();
    }

    /// Lines that are no readings.
    fn answer(&mut self) {
        for n in 0..self.random.within(1..40) {
            self.say(format!("ok {n}\r\n").into_bytes());
        }
    }

    /// Is pulled out, perhaps in the middle of a line, and plugged in again.
    fn come_loose(&mut self) {
        if self.random.within(0..2) == 0 {
            let line = self.take_number();
            self.say(line[..line.len() / 2].into());
        }
        // What was not taken yet is lost with the pair.
        self.rest.clear();
        match self.random.within(0..4) {
            0 => {}
            1 => {
                self.device.hang_up();
                sleep(self.random.millis(50..1500));
            }
            _ => {
                self.device.unplug();
                sleep(self.random.millis(50..3000));
            }
        }
        self.device.plug_again();
    }

    /// Says a reading; whether it was taken in time.
    pub fn say_reading(&mut self) -> bool {
        let line = self.take_number();
        self.say(line.into_bytes())
    }

    fn take_number(&mut self) -> String {
        self.next += 1;
        reading(self.number, self.next - 1)
    }

    fn end_line(&mut self) -> bool {
        self.say(Vec::new())
    }

    /// Says the rest of what was begun, and this; what is not taken in time becomes the rest.
    fn say(&mut self, bytes: Vec<u8>) -> bool {
        self.rest.extend(bytes);
        let deadline = Instant::now() + PATIENCE;
        while !self.rest.is_empty() && Instant::now() < deadline {
            match self.device.controller().try_write(&self.rest).expect("write to the pair") {
                Some(n) => drop(self.rest.drain(..n)),
                None => self.device.wait_for(Ready::WRITE, Duration::from_millis(20)),
            }
            self.hear();
        }
        // A device that nobody opens for long: what it has to say does not grow without end.
        if self.rest.len() > 1 << 16 {
            let line_end = self.rest.iter().position(|&byte| byte == b'\n').map_or(self.rest.len(), |at| at + 1);
            self.rest.truncate(line_end);
        }
        self.rest.is_empty()
    }

    /// Passes over what is written to it, for this time.
    pub fn listen(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let left = until.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            // A hang-up before the gateway has opened it, or between two openings, is ready at once.
            self.device.wait_for(Ready::READ, left);
            if !self.hear() {
                sleep(left.min(Duration::from_millis(5)));
            }
        }
    }

    fn hear(&self) -> bool {
        let mut bytes = [0; 4096];
        self.device.controller().try_read(&mut bytes).expect("read from the pair").is_some_and(|n| n > 0)
    }
}
