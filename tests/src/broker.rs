//! A broker of the test's own, to kill, restart and freeze.

use crate::program::Program;
use crate::{examples, tools};
use rustix::process::Signal;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// How long a broker may take to accept connections.
const START: Duration = Duration::from_secs(20);

/// A broker on a port of its own that it keeps over restarts. Dropping it kills it.
#[derive(Debug)]
pub struct Broker {
    port: u16,
    kind: Kind,
    running: Option<Program>,
    _config: Option<Config>,
}

#[derive(Debug)]
enum Kind {
    Mosquitto(PathBuf),
    Configured(PathBuf, PathBuf),
    Embedded,
}

/// A file that goes with its broker.
#[derive(Debug)]
struct Config(PathBuf);

impl Drop for Config {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Broker {
    /// The machine's mosquitto where there is one, else the embedded broker of the examples.
    pub fn start() -> Broker {
        match tools::find("mosquitto") {
            Some(program) => Self::mosquitto(program),
            None => Self::embedded(),
        }
    }

    /// The machine's mosquitto; `None`, with a line that says SKIP, where there is none.
    pub fn start_mosquitto() -> Option<Broker> {
        tools::find_or_skip("mosquitto").map(Self::mosquitto)
    }

    /// The machine's mosquitto, with these lines in its configuration, after those of its listener on 127.0.0.1, which
    /// takes anybody; `None`, with a line that says SKIP, where there is none.
    pub fn start_configured(lines: &str) -> Option<Broker> {
        let program = tools::find_or_skip("mosquitto")?;
        let port = free_port();
        let file = env::temp_dir().join(format!("becket-mosquitto-{}-{port}.conf", std::process::id()));
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\n{lines}\n");
        fs::write(&file, text).expect("a configuration for the broker");
        let mut broker = Self::start_kind(Kind::Configured(program, file.clone()), port);
        broker._config = Some(Config(file));
        Some(broker)
    }

    /// The embedded broker of the examples.
    pub fn embedded() -> Broker {
        Self::start_kind(Kind::Embedded, free_port())
    }

    fn mosquitto(program: PathBuf) -> Broker {
        Self::start_kind(Kind::Mosquitto(program), free_port())
    }

    fn start_kind(kind: Kind, port: u16) -> Broker {
        let mut broker = Broker { port, kind, running: None, _config: None };
        broker.restart();
        broker
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address as the programs take it.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Kills it with SIGKILL: connections break, sessions and messages are lost.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Starts it again on the same port, after having killed it where it still runs.
    pub fn restart(&mut self) {
        self.kill();
        let port = self.port.to_string();
        let mut program = match &self.kind {
            // Without a configuration file it serves the loopback interface only, and anybody there.
            Kind::Mosquitto(program) => Program::start(program, ["-p", &port]),
            Kind::Configured(program, file) => Program::start(program, ["-c".as_ref(), file.as_os_str()]),
            Kind::Embedded => Program::start(examples::path("embedded_broker"), ["--port", &port]),
        };
        // There is nothing to wait for that all versions have in common but the port itself.
        let deadline = Instant::now() + START;
        while !listens(program.pid(), self.port) {
            if !program.is_running() {
                panic!("the broker ended: {:?}", program.finish(START));
            }
            assert!(Instant::now() < deadline, "the broker does not accept connections");
            thread::sleep(Duration::from_millis(10));
        }
        self.running = Some(program);
    }

    /// Stops it with SIGSTOP: connections stay, and the kernel accepts new ones, but nothing answers.
    pub fn freeze(&self) {
        self.program().stop();
    }

    /// Lets it go on after [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        self.program().signal(Signal::CONT);
    }

    fn program(&self) -> &Program {
        self.running.as_ref().expect("the broker runs")
    }
}

/// Whether this process listens on this port of the loopback interface. Asked of the kernel: an attempt to connect to a
/// port that was free a moment ago can be given that very port, and then succeeds, with itself. And not whether anybody
/// does: a child that another test has just forked holds what [`free_port`] listened on until it becomes its program.
fn listens(pid: u32, port: u16) -> bool {
    let local = format!(":{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp").expect("the table of sockets");
    let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let Some(row) = rows.find(|row| row[1].ends_with(&local) && row[3] == "0A") else { return false };
    let socket = format!("socket:[{}]", row[9]);
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|link| link.as_os_str() == socket.as_str())
}

/// A port of the loopback interface that nobody listens on just now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}
