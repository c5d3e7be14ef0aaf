//! What a terminal shows of the gateway, by a small model of one; and what comes where there is no terminal.

use crate::devices::message;
use crate::{MARGIN, Sums, start};
use becket_sys::process::Child;
use becket_sys::pty::Controller;
use becket_sys::signal::Signal;
use becket_sys::tty::WindowSize;
use becket_sys::{Ready, wait};
use becket_tests::broker::Broker;
use becket_tests::device::Device;
use becket_tests::examples;
use becket_tests::mqtt::Client;
use serde_json::Value;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What the gateway shows, and what was shown before.
struct Terminal {
    controller: Controller,
    gateway: Child,
    columns: usize,
    rows: Vec<Vec<char>>,
    column: usize,
    /// An escape sequence or a character that has begun.
    held: Vec<u8>,
    raw: Vec<u8>,
}

impl Terminal {
    fn start(columns: u16, env: &[(&str, &str)], args: &[&str]) -> Terminal {
        let controller = Controller::open().unwrap();
        controller.set_window_size(WindowSize { rows: 24, columns, ..WindowSize::default() }).unwrap();
        let mut command = Command::new(examples::path("gateway"));
        command.args(args).env("TERM", "xterm").env_remove("NO_COLOR").envs(env.iter().copied());
        let gateway = controller.spawn(command).unwrap();
        let (rows, held, raw) = (vec![Vec::new()], Vec::new(), Vec::new());
        Terminal { controller, gateway, columns: columns.into(), rows, column: 0, held, raw }
    }

    fn resize(&mut self, columns: u16) {
        self.controller.set_window_size(WindowSize { rows: 24, columns, ..WindowSize::default() }).unwrap();
        self.columns = columns.into();
    }

    /// Goes on until the last row is as wanted.
    fn until(&mut self, what: &str, is_so: impl Fn(&Terminal) -> bool) {
        let deadline = Instant::now() + MARGIN;
        while !is_so(self) {
            assert!(Instant::now() < deadline && self.step(), "never {what}:\n{}", self.text());
        }
    }

    /// Takes in what comes next; `false` at the end.
    fn step(&mut self) -> bool {
        let more = wait(&self.controller, Ready::READ, Some(Instant::now() + MARGIN)).unwrap();
        assert!(more.is_some(), "nothing more to see of {:?}:\n{}", self.gateway, self.text());
        let mut bytes = [0; 4096];
        let n = self.controller.try_read(&mut bytes).unwrap().unwrap_or(0);
        self.raw.extend_from_slice(&bytes[..n]);
        bytes[..n].iter().for_each(|&byte| self.show(byte));
        n > 0
    }

    /// Runs to the end, and returns the exit status.
    fn finish(&mut self) -> Option<i32> {
        while self.step() {}
        self.gateway.wait(Some(Instant::now() + MARGIN)).unwrap().expect("it ends").code()
    }

    fn show(&mut self, byte: u8) {
        self.held.push(byte);
        match &self.held[..] {
            b"\r" => self.column = 0,
            b"\n" => self.rows.push(vec![' '; self.column]),
            b"\x1b[K" => {
                let end = self.column;
                self.row().truncate(end);
            }
            [0x1b] | [0x1b, b'['] | [0x1b, b'[', b'0'..=b'9'] | [0x1b, b'[', b'0'..=b'9', b'0'..=b'9'] => return,
            // Colours.
            [0x1b, b'[', .., b'm'] => {}
            bytes => match str::from_utf8(bytes).map(|text| text.chars().next().unwrap()) {
                Err(_) if bytes.len() < 4 && bytes[0] >= 0xc0 => return,
                Ok(c) if !c.is_control() => self.put(c),
                _ => panic!("a terminal must not get {bytes:x?}:\n{}", self.text()),
            },
        }
        self.held.clear();
    }

    fn put(&mut self, c: char) {
        if self.column == self.columns {
            self.rows.push(Vec::new());
            self.column = 0;
        }
        let at = self.column;
        let row = self.row();
        row.truncate(row.len().max(at));
        if at < row.len() {
            row[at] = c
        } else {
            row.push(c)
        }
        self.column += 1;
    }

    fn row(&mut self) -> &mut Vec<char> {
        self.rows.last_mut().unwrap()
    }

    fn last(&self) -> String {
        self.rows.last().unwrap().iter().collect()
    }

    fn text(&self) -> String {
        self.rows.iter().map(|row| row.iter().collect::<String>() + "\n").collect()
    }
}

#[test]
fn a_status_line_changes_in_place_and_is_gone_at_the_end() {
    let mut terminal = Terminal::start(120, &[], &["--for", "5s"]);
    let status = "1 device, broker connected, ";
    terminal.until("up", |t| t.last().starts_with(status) && t.last().ends_with(", up 0:00:01"));
    let rows = terminal.rows.len();
    terminal.until("up for longer", |t| t.last().starts_with(status) && t.last().ends_with(", up 0:00:02"));
    assert_eq!(terminal.rows.len(), rows, "it moved:\n{}", terminal.text());
    terminal.resize(40);
    terminal.until("narrow", |t| t.last().starts_with(status) && t.last().len() == 39);
    assert_eq!(terminal.rows.len(), rows, "it moved:\n{}", terminal.text());
    assert_eq!(terminal.finish(), Some(0));
    let text = terminal.text();
    let lines: Vec<_> = text.lines().collect();
    assert!(!text.contains("readings/s"), "{text}");
    assert!(lines.contains(&"gateway: connected"), "{text}");
    assert!(lines.iter().any(|line| line.starts_with(r#"{"readings":"#)), "{text}");
}

#[test]
fn lines_come_above_the_status_and_cannot_command_the_terminal() {
    let broker = Broker::start();
    let mut device = Device::plug("hostile");
    let url = broker.url();
    let mut terminal = Terminal::start(100, &[], &["--for", "6s", "--broker", &url, "--serial", device.path()]);
    terminal.until("connected", |t| t.last().starts_with("1 device, broker connected"));
    device.say("\x1b[2J\x1b]0;owned\x07 \u{9b}31m\u{202e}gnp.exe\r\n");
    let shown = r"gateway: becket-PID-hostile: \u{1b}[2J\u{1b}]0;owned\u{7} \u{9b}31m\u{202e}gnp.exe";
    let shown = shown.replace("becket-PID-hostile", device.name());
    let has = |t: &Terminal, line: &str| t.rows.iter().any(|row| *row == line.chars().collect::<Vec<_>>());
    terminal.until("told", |t| has(t, &shown) && t.last().starts_with("1 device, "));
    device.unplug();
    terminal.until("gone", |t| t.last().starts_with("1 device (1 gone), "));
    assert!(has(&terminal, &format!("gateway: {}: hung up", device.name())), "{}", terminal.text());
    assert!(terminal.raw.windows(5).any(|bytes| bytes == b"\x1b[33m"), "no warning in colour");
    device.plug_again();
    assert_eq!(terminal.finish(), Some(0));
    assert!(!terminal.text().contains("readings/s"), "{}", terminal.text());
}

/// As ssh(1) leaves it whose machine has gone to sleep.
#[test]
fn a_terminal_that_nobody_reads_holds_up_nothing() {
    let broker = Broker::start();
    let mut client = Client::connect(broker.port(), "observer");
    client.subscribe("becket/+/n");
    let device = Device::plug("unread");
    let url = broker.url();
    let mut terminal = Terminal::start(100, &[], &["--broker", &url, "--serial", device.path()]);
    terminal.until("connected", |t| t.last().starts_with("1 device, broker connected"));
    // More than a terminal holds, of all lengths.
    for n in 0..60 {
        device.say(&format!("{}\n", "x".repeat(1000 + 37 * n)));
        sleep(Duration::from_millis(100));
    }
    device.say("n=1\n");
    assert_eq!(client.next(MARGIN), message(&device, "n", "1"));
    while wait(&terminal.controller, Ready::READ, Some(Instant::now() + Duration::from_millis(300))).unwrap().is_some()
    {
        terminal.step();
    }
    device.say("read again\n");
    terminal.until("told", |t| t.text().contains(" lines left out, since nobody read them"));
    terminal.until("as before", |t| t.last().starts_with("1 device, broker connected"));
    terminal.gateway.send_signal(Signal::TERM).unwrap();
    assert_eq!(terminal.finish(), Some(0));
}

#[test]
fn a_second_signal_leaves_a_clean_terminal() {
    let broker = Broker::start();
    let mut terminal = Terminal::start(100, &[], &["--broker", &broker.url()]);
    terminal.until("connected", |t| t.last().contains("broker connected"));
    broker.freeze();
    for _ in 0..2 {
        terminal.controller.try_write(b"\x03").unwrap();
        terminal.until("told", |t| t.text().contains("SIGINT"));
    }
    assert_eq!(terminal.finish(), Some(130));
    assert!(!terminal.text().contains("readings/s"), "{}", terminal.text());
}

#[test]
fn no_colours_and_no_cursor_where_they_are_not_wanted() {
    let gone = ["--for", "2s", "--broker", "mqtt://127.0.0.1:1"];
    let mut without_colours = Terminal::start(100, &[("NO_COLOR", "1")], &gone);
    without_colours.until("lost", |t| t.text().contains("connection lost") && t.last().contains("not connected"));
    assert_eq!(without_colours.finish(), Some(0));
    assert!(!without_colours.raw.windows(3).any(|bytes| bytes == b"\x1b[3"), "{}", without_colours.text());
    for (env, args) in [(("TERM", "dumb"), &[][..]), (("X", ""), &["--json"]), (("X", ""), &["--quiet"])] {
        let mut plain = Terminal::start(100, &[env], &[&["--for", "1s"], args].concat());
        assert_eq!(plain.finish(), Some(0));
        assert!(!plain.raw.contains(&0x1b), "{}", plain.text());
        assert!(!plain.text().contains("readings/s"), "{}", plain.text());
    }
}

#[test]
fn without_a_terminal_there_are_plain_lines() {
    let finished = start(&["--for", "2s", "--broker", "mqtt://127.0.0.1:1"]).finish(MARGIN);
    Sums::of(&finished);
    assert!(finished.stderr.lines().all(|line| line.starts_with("gateway: ")), "{finished:?}");
    assert!(!finished.stderr.contains('\x1b') && !finished.stderr.contains('\r'), "{finished:?}");
    let quiet = start(&["--for", "1s", "--quiet"]).finish(MARGIN);
    assert_eq!(quiet.stderr, "", "{quiet:?}");
}

#[test]
fn each_line_is_an_object_where_json_is_asked_for() {
    let objects = |stderr: &str| -> Vec<Value> {
        stderr.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    };
    let broker = Broker::start();
    let device = Device::plug("json");
    let url = broker.url();
    let gateway = start(&["--json", "--serial", device.path(), "--broker", &url]);
    gateway.expect_stderr("\"connected\"", MARGIN);
    device.say("\"quoted\" \x1b[31m \\ é\n");
    gateway.expect_stderr("quoted", MARGIN);
    gateway.signal(rustix::process::Signal::USR1);
    gateway.expect_stderr("sources:", MARGIN);
    gateway.signal(rustix::process::Signal::TERM);
    let finished = gateway.finish(MARGIN);
    Sums::of(&finished);
    assert!(!finished.stderr.contains('\x1b'), "{finished:?}");
    let lines = objects(&finished.stderr);
    for line in &lines {
        let time = line["time"].as_str().expect("a time");
        assert!(time.len() == 24 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{line}");
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
    }
    let said = format!("{}: \"quoted\" \x1b[31m \\ é", device.name());
    let said = lines.iter().find(|line| line["message"] == said.as_str()).expect("what the device said");
    assert_eq!((&said["level"], &said["device"]), (&"info".into(), &device.name().into()));

    for args in [&["--json", "--bogus"][..], &["--serial", "/dev/there-is-none", "--json"]] {
        let finished = start(args).finish(MARGIN);
        assert_eq!(finished.status.code(), Some(2), "{finished:?}");
        let [line] = &objects(&finished.stderr)[..] else { panic!("not one line: {finished:?}") };
        assert_eq!(line["level"], "error", "{line}");
    }
}
