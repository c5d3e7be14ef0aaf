//! What the benchmark programs share: arguments, clock, the line of a result, random numbers, and the part of `pipes`
//! that is the same whichever loop runs it. See `benches/README.md` for the protocol.
//!
//! The peers build this file into their own package: it names nothing but libc.

#![allow(unsafe_code, reason = "what every program does beside its loop is done by hand, the same in all of them")]

use std::cell::Cell;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// How much an echo server reads at a time.
pub const ECHO_BUF: usize = 16384;

/// The size of a read in `fileread`.
pub const BLOCK: usize = 4096;

/// The benchmark that is asked for: the first argument.
pub fn bench_name() -> String {
    std::env::args().nth(1).unwrap_or_default()
}

/// The value of `--key=value`.
pub fn text(key: &str) -> Option<String> {
    let key = format!("--{key}=");
    std::env::args().find_map(|arg| arg.strip_prefix(&key).map(str::to_owned))
}

/// The value of `--key=value`, a number.
///
/// # Panics
/// Where it is none.
pub fn number(key: &str, default: i64) -> i64 {
    text(key).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("--{key}={value} is not a number")))
}

/// Whether there is `--key=1`.
pub fn flag(key: &str) -> bool {
    number(key, 0) != 0
}

/// Prints a result. `--as=NAME` overrides the name of the peer.
pub fn emit(peer: &str, bench: &str, n: i64, value: f64, unit: &str) {
    let peer = text("as").unwrap_or_else(|| peer.to_owned());
    println!("{{\"bench\":\"{bench}\",\"peer\":\"{peer}\",\"n\":{n},\"value\":{value:.3},\"unit\":\"{unit}\"}}");
}

/// Ends the program with the status that says: I have no such benchmark.
pub fn unsupported() -> ! {
    std::process::exit(3)
}

/// Where an echo server listens.
pub fn port() -> u16 {
    number("port", 7000) as u16
}

/// Says that the echo server listens.
pub fn ready() {
    println!("READY");
}

/// Nanoseconds since `start`, by `n`.
pub fn ns_per(start: Instant, n: i64) -> f64 {
    start.elapsed().as_nanos() as f64 / n as f64
}

/// Resident bytes of this process.
///
/// # Panics
/// Without a /proc.
pub fn resident() -> i64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("/proc is mounted");
    let pages: i64 = text.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
    pages * 4096
}

/// Lets this thread run on one processor only.
pub fn pin_self(cpu: usize) {
    // SAFETY: all zeros is an empty set, and the kernel reads it only.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

/// Random numbers, the same in every run and in every program.
pub fn random() -> u64 {
    thread_local!(static STATE: Cell<u64> = const { Cell::new(88172645463325252) });
    let mut x = STATE.get();
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    STATE.set(x);
    x
}

/// The middle value.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The file of `fileread`, and how many blocks it has.
///
/// # Panics
/// Where it is not there.
pub fn data_file() -> (std::fs::File, u64) {
    let path = text("file").unwrap_or("data.bin".into());
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let blocks = file.metadata().expect("an open file").len() / BLOCK as u64;
    (file, blocks)
}

/// A non-blocking listener, as all servers have it.
///
/// # Panics
/// Where the port is taken.
pub fn listen() -> std::net::TcpListener {
    // SAFETY: plain calls; the kernel reads what it is given, and the descriptor is new.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0);
        assert!(fd >= 0, "socket: {}", std::io::Error::last_os_error());
        let listener = std::net::TcpListener::from_raw_fd(fd);
        let one: libc::c_int = 1;
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, (&raw const one).cast(), 4);
        let addr = libc::sockaddr_in {
            sin_family: libc::AF_INET as u16,
            sin_port: port().to_be(),
            sin_addr: libc::in_addr { s_addr: u32::to_be(0x7f00_0001) },
            sin_zero: [0; 8],
        };
        assert_eq!(libc::bind(fd, (&raw const addr).cast(), 16), 0, "bind: {}", std::io::Error::last_os_error());
        assert_eq!(libc::listen(fd, 4096), 0, "listen: {}", std::io::Error::last_os_error());
        listener
    }
}

/// One `pipes` benchmark, beside the loop that runs it: `n` pairs of sockets of which `a` get a byte; whoever reads one
/// sends one to the next pair, until `w` more were sent.
#[derive(Debug)]
pub struct Pipes {
    /// How many pairs.
    pub n: usize,
    /// How many bytes are under way at once.
    pub a: usize,
    /// How many more are sent.
    pub w: i64,
    /// How many runs are measured; one more comes before.
    pub runs: usize,
    /// Whether each source has a timeout, armed anew in every callback.
    pub timeouts: bool,
    /// How many bytes were read, and were sent.
    pub count: i64,
    #[allow(missing_docs, reason = "with the above")]
    pub fired: i64,
    writes: i64,
    near: Vec<RawFd>,
    far: Vec<RawFd>,
    owned: Vec<Option<OwnedFd>>,
    #[allow(dead_code, reason = "kept open")]
    far_owned: Vec<UnixStream>,
}

impl Pipes {
    /// As the arguments say.
    ///
    /// # Panics
    /// Where the descriptors do not suffice.
    pub fn new() -> Self {
        let n = number("n", 1000) as usize;
        raise_nofile(2 * n as u64 + 50);
        let mut pipes = Pipes {
            n,
            a: (number("a", 100) as usize).min(n),
            w: number("w", 1000),
            runs: number("runs", 25) as usize,
            timeouts: flag("timeouts"),
            count: 0,
            fired: 0,
            writes: 0,
            near: vec![],
            far: vec![],
            owned: vec![],
            far_owned: vec![],
        };
        for _ in 0..n {
            let (near, far) = UnixStream::pair().expect("two descriptors");
            for end in [&near, &far] {
                end.set_nonblocking(true).expect("a socket");
            }
            pipes.near.push(near.as_raw_fd());
            pipes.far.push(far.as_raw_fd());
            pipes.owned.push(Some(near.into()));
            pipes.far_owned.push(far);
        }
        pipes
    }

    /// The end of pair `i` that is read, for the loop to own; it has to stay open. Its number goes on in
    /// [`on_read`](Self::on_read).
    ///
    /// # Panics
    /// The second time.
    pub fn take(&mut self, i: usize) -> OwnedFd {
        self.owned[i].take().expect("taken once")
    }

    /// The number of the end of pair `i` that is read, for those who register numbers.
    pub fn fd(&self, i: usize) -> RawFd {
        self.near[i]
    }

    /// What a callback does whose pair is readable.
    ///
    /// # Panics
    /// Where there is nothing to read.
    #[inline]
    pub fn on_read(&mut self, i: usize) {
        let mut byte = 0_u8;
        // SAFETY: a buffer of one byte.
        let got = unsafe { libc::recv(self.near[i], (&raw mut byte).cast(), 1, 0) };
        assert!(got == 1, "recv");
        self.forward(i);
    }

    /// What comes after a byte was read.
    #[inline]
    pub fn forward(&mut self, i: usize) {
        self.count += 1;
        if self.writes > 0 {
            self.send(if i + 1 >= self.n { 0 } else { i + 1 });
            self.writes -= 1;
            self.fired += 1;
        }
    }

    /// Sends a byte to pair `i`.
    ///
    /// # Panics
    /// Where its buffer is full.
    pub fn send(&self, i: usize) {
        // SAFETY: a buffer of one byte.
        let sent = unsafe { libc::send(self.far[i], b"e".as_ptr().cast(), 1, 0) };
        assert_eq!(sent, 1, "send");
    }

    /// Sends the first bytes.
    pub fn kick(&mut self) {
        self.count = 0;
        self.fired = self.a as i64;
        self.writes = self.w;
        for i in 0..self.a {
            self.send(i * (self.n / self.a));
        }
    }

    /// Whether all that was sent was read.
    pub fn done(&self) -> bool {
        self.count == self.fired
    }

    /// How long the next timeout is, in milliseconds: none ever expires.
    pub fn timeout_ms() -> u64 {
        10_000 + random() % 1000
    }

    /// Prints microseconds a run: of the events, and of everything.
    pub fn report(&self, peer: &str, events: Vec<f64>, total: Option<Vec<f64>>) {
        let bench = if self.timeouts { "pipes_timeouts" } else { "pipes" };
        emit(peer, bench, self.n as i64, median(events), "us");
        if let Some(total) = total {
            emit(peer, &format!("{bench}_total"), self.n as i64, median(total), "us");
        }
    }
}

impl Default for Pipes {
    fn default() -> Self {
        Self::new()
    }
}

/// Allows this process so many descriptors, where it may.
fn raise_nofile(want: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes into `limit`, and reads it.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        if limit.rlim_cur < want {
            limit.rlim_cur = want.min(limit.rlim_max);
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// The benchmark `mqtt`, whichever client it is of: messages that come back to who published them, 100 under way.
#[derive(Debug)]
pub struct Mqtt {
    /// The level: `--qos`.
    pub qos: u8,
    n: i64,
    depth: i64,
    payload: Vec<u8>,
    sent: i64,
    received: i64,
    /// When the first one was sent, and how much processor time had been used then.
    began: Option<(Instant, u64)>,
}

impl Mqtt {
    /// As the arguments say: `--n`, `--size`, `--depth`, `--qos`.
    pub fn new() -> Mqtt {
        Mqtt {
            qos: number("qos", 0) as u8,
            n: number("n", 20_000),
            depth: number("depth", 100),
            payload: vec![b'x'; number("size", 64) as usize],
            sent: 0,
            received: 0,
            began: None,
        }
    }

    /// The payload of the next message, where one may be sent.
    pub fn payload(&mut self) -> Option<Vec<u8>> {
        if self.sent == self.n || self.sent - self.received == self.depth {
            return None;
        }
        self.began.get_or_insert_with(|| (Instant::now(), processor_ns()));
        self.sent += 1;
        Some(self.payload.clone())
    }

    /// One came back. Whether it was the last.
    ///
    /// # Panics
    /// Where it is none of those that were sent.
    pub fn came(&mut self, payload: &[u8]) -> bool {
        assert_eq!(payload.len(), self.payload.len());
        self.received += 1;
        assert!(self.received <= self.sent);
        self.received == self.n
    }

    /// Prints messages a second, and the processor time for one.
    pub fn emit(&self, peer: &str) {
        let (began, processor) = self.began.expect("something was sent");
        let bench = format!("mqtt_q{}_{}B", self.qos, self.payload.len());
        emit(peer, &bench, self.n, 1e9 / ns_per(began, self.n), "msg/s");
        let each = (processor_ns() - processor) as f64 / self.n as f64;
        emit(peer, &format!("{bench}_cpu"), self.n, each, "ns/msg");
    }
}

impl Default for Mqtt {
    fn default() -> Mqtt {
        Mqtt::new()
    }
}

/// The processor time of this process, all threads together.
fn processor_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a pointer to a live struct of the right type.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
