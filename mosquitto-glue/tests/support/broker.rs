//! A broker of the test's own, to kill, restart and freeze.

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

/// A broker on a port of its own that it keeps over restarts. Dropping it kills it.
pub struct Broker {
    port: u16,
    folder: PathBuf,
    program: OsString,
    args: Vec<OsString>,
    child: Option<Child>,
}

impl Broker {
    /// A mosquitto that serves everybody on a port and on a unix socket, else the program that the environment variable
    /// `BECKET_EMBEDDED_BROKER` names; `None`, with a line that says SKIP, where there is neither.
    pub fn start() -> Option<Broker> {
        if let Some(program) = find_mosquitto() {
            return Some(Self::run_mosquitto(program, "allow_anonymous true"));
        }
        Self::embedded()
    }

    /// The program that the environment variable `BECKET_EMBEDDED_BROKER` names; `None`, with a line that says SKIP,
    /// where it names none.
    pub fn embedded() -> Option<Broker> {
        let Some(program) = env::var_os("BECKET_EMBEDDED_BROKER") else {
            println!("SKIP: BECKET_EMBEDDED_BROKER names no broker");
            return None;
        };
        let port = free_port();
        Some(Self::run(program, vec!["--port".into(), port.to_string().into()], port, folder()))
    }

    /// A mosquitto with more lines of configuration; `None`, with a line that says SKIP, where there is none.
    pub fn mosquitto(config: &str) -> Option<Broker> {
        let program = find_mosquitto();
        if program.is_none() {
            println!("SKIP: no mosquitto found");
        }
        Some(Self::run_mosquitto(program?, config))
    }

    /// The configuration of one that serves everybody, queues without a bound, and keeps sessions in a file over an orderly
    /// end.
    pub const REMEMBERS: &str = "allow_anonymous true\nmax_queued_messages 0\npersistence true\nautosave_interval 0";

    /// A mosquitto configured so; `None`, with a line that says SKIP, where there is none.
    pub fn persistent() -> Option<Broker> {
        Self::mosquitto(Self::REMEMBERS)
    }

    fn run_mosquitto(program: PathBuf, config: &str) -> Broker {
        let (port, folder) = (free_port(), folder());
        let file = folder.join("mosquitto.conf");
        let socket = folder.join("socket");
        let text = format!(
            "listener {port} 127.0.0.1\nlistener 0 {}\nuser root\npersistence_location {}/\n{config}\n",
            socket.display(),
            folder.display()
        );
        fs::write(&file, text).unwrap();
        Self::run(program.into(), vec!["-c".into(), file.into()], port, folder)
    }

    fn run(program: OsString, args: Vec<OsString>, port: u16, folder: PathBuf) -> Broker {
        let mut broker = Broker { port, folder, program, args, child: None };
        broker.restart();
        broker
    }

    /// Whether it is mosquitto, which does what others leave out.
    pub fn is_mosquitto(&self) -> bool {
        self.folder.join("mosquitto.conf").exists()
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of its unix socket; `None`, with a line that says SKIP, where it has none.
    pub fn unix_url(&self) -> Option<String> {
        let socket = self.folder.join("socket");
        if !socket.exists() {
            println!("SKIP: this broker serves no unix socket");
            return None;
        }
        Some(format!("unix:{}", socket.display()))
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    /// Ends it with SIGTERM, frozen or not: it writes down what it remembers, where it is configured to.
    pub fn terminate(&mut self) {
        if self.child.is_some() {
            kill_process(self.pid(), Signal::TERM).unwrap();
            self.thaw();
        }
        if let Some(mut child) = self.child.take() {
            child.wait().unwrap();
        }
    }

    /// Starts it again on the same port.
    pub fn restart(&mut self) {
        self.kill();
        let mut command = Command::new(&self.program);
        let mut child = command.args(&self.args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        // Read to the end, so that it never blocks on its log.
        let log = thread::spawn(move || BufReader::new(stderr).lines().map_while(Result::ok).collect::<Vec<_>>());
        let end = Instant::now() + Duration::from_secs(20);
        while !listens(child.id(), self.port) {
            if child.try_wait().unwrap().is_some() {
                panic!("the broker ended: {:?}", log.join().unwrap());
            }
            assert!(Instant::now() < end, "the broker does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        self.child = Some(child);
    }

    /// Stops it with SIGSTOP, and returns when all of its threads stand still: connections stay, nothing answers.
    pub fn freeze(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
        assert!(waitid(WaitId::Pid(self.pid()), WaitIdOptions::STOPPED).is_ok_and(|status| status.is_some()));
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("the broker runs"))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
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

fn find_mosquitto() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join("mosquitto")).find(|file| file.is_file())
}

/// A folder of its own for each broker.
fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("becket-mqtt-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let folder = env::temp_dir().join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A port of the loopback interface that nobody listens on just now.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
