//! What systemd is told, by a socket that the test plays it with; and the unit, by systemd's own check.

use crate::{MARGIN, Sums};
use becket_tests::program::Program;
use becket_tests::{broker, examples, tools};
use rustix::process::Signal;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, process};

/// The service manager.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(name: &str) -> Manager {
        let path = env::temp_dir().join(format!("becket-notify-{}-{name}", process::id()));
        let _ = fs::remove_file(&path);
        Manager { socket: UnixDatagram::bind(&path).unwrap(), path }
    }

    fn start(&self, env: &[(&str, &str)], args: &[&str]) -> Program {
        start(self.path.to_str().unwrap(), env, args)
    }

    /// The next message.
    fn next(&self, within: Duration) -> Option<String> {
        next(&self.socket, within)
    }

    /// The next message with this in it.
    fn expect(&self, part: &str) -> String {
        let deadline = Instant::now() + MARGIN;
        loop {
            let message = self.next(deadline.saturating_duration_since(Instant::now()));
            let message = message.unwrap_or_else(|| panic!("no {part}"));
            if message.contains(part) {
                return message;
            }
        }
    }

    /// How many messages with this in them come within a time.
    fn count(&self, part: &str, within: Duration) -> usize {
        let deadline = Instant::now() + within;
        let next = || self.next(deadline.saturating_duration_since(Instant::now()));
        std::iter::from_fn(next).filter(|message| message.contains(part)).count()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn next(socket: &UnixDatagram, within: Duration) -> Option<String> {
    socket.set_read_timeout(Some(within.max(Duration::from_millis(1)))).unwrap();
    let mut bytes = [0; 4096];
    let n = socket.recv(&mut bytes).ok()?;
    Some(String::from_utf8(bytes[..n].to_vec()).unwrap())
}

/// Starts the gateway with an id of a process in place of `PID`: its own, as systemd does.
fn start(socket: &str, env: &[(&str, &str)], args: &[&str]) -> Program {
    let mut command = Command::new("sh");
    let own = r#"if [ "$WATCHDOG_PID" = PID ]; then WATCHDOG_PID=$$; fi; exec "$0" "$@""#;
    command.args(["-c", own]).arg(examples::path("gateway")).args(args);
    command.env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
    command.env("NOTIFY_SOCKET", socket).envs(env.iter().copied());
    Program::spawn(command)
}

#[test]
fn ready_first_then_how_things_stand_then_the_end() {
    let manager = Manager::new("order");
    let gateway = manager.start(&[], &[]);
    let first = manager.next(MARGIN).expect("a message");
    assert_eq!(first, "READY=1");
    assert_eq!(manager.expect("STATUS="), "STATUS=1 device, broker not connected");
    let status = manager.expect("STATUS=1 device, broker connected, ");
    assert!(status.lines().count() == 1 && status.contains(" readings/s, 0 queued, "), "{status}");
    gateway.signal(Signal::TERM);
    assert_eq!(manager.expect("STOPPING=1"), "STOPPING=1");
    assert_eq!(manager.expect("STATUS="), "STATUS=letting out what waits");
    let finished = gateway.finish(MARGIN);
    Sums::of(&finished);
    assert!(!finished.stderr.contains("service manager"), "{finished:?}");
    assert_eq!(manager.count("WATCHDOG", Duration::from_millis(1)), 0, "nobody asked for a watchdog");
}

#[test]
fn a_broker_that_is_away_is_nothing_to_wait_for() {
    let manager = Manager::new("away");
    let gateway = manager.start(&[], &["--broker", &format!("mqtt://127.0.0.1:{}", broker::free_port())]);
    manager.expect("READY=1");
    assert_eq!(manager.expect("STATUS="), "STATUS=1 device, broker not connected");
    gateway.kill();
}

#[test]
fn the_watchdog_hears_of_a_gateway_that_goes_on_and_of_no_other() {
    let manager = Manager::new("watchdog");
    let gateway = manager.start(&[("WATCHDOG_USEC", "600000"), ("WATCHDOG_PID", "PID")], &[]);
    let begun = Instant::now();
    for _ in 0..6 {
        manager.expect("WATCHDOG=1");
    }
    // Five times half of it, from the first to the last; a beat that is late puts off no other.
    assert!(begun.elapsed() >= Duration::from_millis(1200), "{:?}", begun.elapsed());
    gateway.stop();
    // What was sent before.
    manager.count("", Duration::from_millis(100));
    assert_eq!(manager.count("", Duration::from_secs(2)), 0, "it stands still, and says that it does not");
    gateway.signal(Signal::CONT);
    manager.expect("WATCHDOG=1");
    gateway.signal(Signal::TERM);
    Sums::of(&gateway.finish(MARGIN));
}

#[test]
fn a_watchdog_for_somebody_else_is_not_ours() {
    for (usec, pid) in [("200000", "1"), ("nonsense", "PID"), ("0", "PID")] {
        let manager = Manager::new("other");
        let gateway = manager.start(&[("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)], &["--for", "1s"]);
        let finished = gateway.finish(MARGIN);
        Sums::of(&finished);
        manager.expect("READY=1");
        assert_eq!(manager.count("WATCHDOG", Duration::from_millis(1)), 0, "{usec} {pid}");
        assert_eq!(finished.stderr.contains("no watchdog: "), pid == "PID", "{finished:?}");
    }
}

#[test]
fn settings_that_are_read_again_are_told_from_begin_to_end() {
    let manager = Manager::new("again");
    let file = env::temp_dir().join(format!("becket-notify-{}.toml", process::id()));
    fs::write(&file, "queue = 10\n").unwrap();
    let gateway = manager.start(&[], &["--config", file.to_str().unwrap()]);
    manager.expect("READY=1");
    let mut last = 0;
    for change in 0..3 {
        match change {
            0 => gateway.signal(Signal::HUP),
            1 => fs::write(&file, "queue = 11\n").unwrap(),
            _ => fs::write(&file, "queue = -1\n").unwrap(),
        }
        let message = manager.expect("RELOADING=1");
        let usec = message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|usec| usec.parse().ok());
        assert!(usec.is_some_and(|usec: u64| usec > last), "{message}");
        last = usec.unwrap();
        assert_eq!(manager.expect("READY=1"), "READY=1");
    }
    fs::remove_file(file).unwrap();
    gateway.signal(Signal::TERM);
    Sums::of(&gateway.finish(MARGIN));
}

#[test]
fn abstract_names_lead_to_the_manager_too() {
    let name = format!("becket-notify-{}", process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let gateway = start(&format!("@{name}"), &[], &[]);
    assert!(next(&socket, MARGIN).is_some_and(|message| message == "READY=1"));
    gateway.kill();
}

#[test]
fn a_socket_that_is_not_there_costs_one_line() {
    for (socket, lines) in [("", 0), ("/nobody/listens/here", 1), ("@nobody-listens-here", 1), ("nonsense", 1)] {
        let finished = start(socket, &[], &["--for", "1s"]).finish(MARGIN);
        Sums::of(&finished);
        let about = |line: &&str| line.contains("service manager");
        assert_eq!(finished.stderr.lines().filter(about).count(), lines, "{socket}: {finished:?}");
    }
}

#[test]
fn a_manager_that_reads_nothing_holds_up_nothing() {
    let manager = Manager::new("deaf");
    let gateway = manager.start(&[("WATCHDOG_USEC", "2000"), ("WATCHDOG_PID", "PID")], &["--for", "2s"]);
    let finished = gateway.finish(MARGIN);
    assert!(Sums::of(&finished).readings >= 5, "{finished:?}");
}

#[test]
fn children_are_not_asked() {
    if tools::find_or_skip("mosquitto").is_none() {
        return;
    }
    let manager = Manager::new("children");
    let watchdog = [("WATCHDOG_USEC", "900000"), ("WATCHDOG_PID", "PID")];
    let gateway = manager.start(&watchdog, &["--broker", "mosquitto"]);
    gateway.expect_stderr("connected", MARGIN);
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", gateway.pid())).unwrap();
    let environment = fs::read(format!("/proc/{}/environ", children.trim())).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert!(environment.contains("PATH=") && !environment.contains("NOTIFY"), "{environment}");
    assert!(!environment.contains("WATCHDOG"), "{environment}");
    gateway.signal(Signal::TERM);
    Sums::of(&gateway.finish(MARGIN));
}

#[test]
fn the_unit_passes_systemds_own_check() {
    let Some(analyze) = tools::find_or_skip("systemd-analyze") else { return };
    let unit = fs::read_to_string(examples::workspace().join("examples/gateway/gateway.service")).unwrap();
    // The program that it starts must be there.
    let installed = "/usr/local/bin/gateway";
    assert!(unit.contains(installed), "{unit}");
    let folder = env::temp_dir().join(format!("becket-unit-{}", process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("gateway.service");
    fs::write(&file, unit.replace(installed, examples::path("gateway").to_str().unwrap())).unwrap();
    let run = |command: &[&str]| {
        let mut analyze = Command::new(&analyze);
        // Units of the machine itself are not looked at.
        let output = analyze.args(command).arg(&file).output().unwrap();
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        (output.status, text)
    };
    let (status, text) = run(&["verify", "--man=no"]);
    let (security, rating) = run(&["security", "--offline=true", "--threshold=25"]);
    fs::remove_dir_all(folder).unwrap();
    assert!(status.success() && !text.contains("gateway.service:"), "{text}");
    println!("{}", rating.lines().last().unwrap_or(""));
    assert!(security.success(), "exposed more than need be:\n{rating}");
}
