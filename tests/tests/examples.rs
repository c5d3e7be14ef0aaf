//! The small example programs, each run as its users run it.

use becket_tests::{examples, program::Program};
use rustix::process::Signal;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

fn start(name: &str, args: &[&str]) -> Program {
    Program::start(examples::path(name), args)
}

#[test]
fn the_same_tick_at_three_layers() {
    for name in ["tick_with_sys", "tick_with_loop", "tick_with_fiber"] {
        let finished = start(name, &[]).finish(SOON);
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
        assert_eq!(finished.stdout, "tick 1\ntick 2\ntick 3\ntick 4\ntick 5\n", "{name}");
    }
}

#[test]
fn read_serial_prints_lines_and_names_what_is_wrong() {
    let finished = start("read_serial", &[]).finish(SOON);
    assert_eq!(finished.stdout, "temp=21.53 hum=40\n".repeat(5), "{finished:?}");
    let finished = start("read_serial", &["/dev/there-is-none"]).finish(SOON);
    assert_eq!(finished.status.code(), Some(2));
    assert_eq!(finished.stderr, "read_serial: open /dev/there-is-none: No such file or directory (os error 2)\n");
}

const SERVERS: [&str; 2] = ["echo_server", "echo_server_fiber"];

fn connect(server: &Program) -> TcpStream {
    let line = server.expect_stdout("listening on ", SOON);
    let stream = TcpStream::connect(line.trim().rsplit(' ').next().unwrap()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

#[test]
fn echo_servers_send_back_more_than_the_buffers_hold() {
    for name in SERVERS {
        let server = start(name, &["--clients", "1"]);
        let mut stream = connect(&server);
        let mut sender = stream.try_clone().unwrap();
        let sent: Vec<u8> = (0..8_000_000u32).map(|n| (n % 251) as u8).collect();
        let expected = sent.clone();
        let writer = std::thread::spawn(move || {
            sender.write_all(&sent).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
        });
        let mut seen = Vec::new();
        stream.read_to_end(&mut seen).unwrap();
        writer.join().unwrap();
        assert!(seen == expected, "{name}: {} of {} bytes", seen.len(), expected.len());
        let finished = server.finish(SOON);
        assert_eq!(finished.last_line(), "served 1 connections, 8000000 bytes");
    }
}

#[test]
fn echo_servers_end_by_signal_and_by_time_and_refuse_nonsense() {
    for name in SERVERS {
        let server = start(name, &[]);
        let mut stream = connect(&server);
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        server.signal(Signal::TERM);
        let finished = server.finish(SOON);
        assert_eq!((finished.status.code(), finished.last_line()), (Some(0), "served 1 connections, 1 bytes"));
        let ended = stream.read(&mut [0]);
        assert!(matches!(&ended, Ok(0)) || ended.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset));

        let finished = start(name, &["--for", "0.05"]).finish(SOON);
        assert_eq!(finished.last_line(), "served 0 connections, 0 bytes", "{finished:?}");
        let finished = start(name, &["--port", "many"]).finish(SOON);
        assert_eq!(finished.status.code(), Some(2), "{finished:?}");
        assert!(finished.stderr.contains("--port many"), "{finished:?}");
    }
}

/// Clients of the fiber server, each with messages one after the other: all are answered. 100 of each; with
/// BECKET_LONG set, 1,000.
#[test]
fn many_clients_are_all_answered() {
    let n = if std::env::var_os("BECKET_LONG").is_some() { 1000 } else { 100 };
    let server = start("echo_server_fiber", &["--clients", &n.to_string()]);
    let line = server.expect_stdout("listening on ", SOON);
    let address = line.trim().rsplit(' ').next().unwrap();
    let before = memory_kib(server.pid());
    let mut clients: Vec<TcpStream> = (0..n).map(|_| TcpStream::connect(address).unwrap()).collect();
    for round in 0..n as u32 {
        for client in &mut clients {
            client.write_all(&round.to_ne_bytes()).unwrap();
        }
        for client in &mut clients {
            let mut answer = [0; 4];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(answer, round.to_ne_bytes());
        }
    }
    let each = (memory_kib(server.pid()) - before) as f64 / n as f64;
    println!("{n} clients, {n} messages each: {each:.1} KiB of the server's memory for each connection");
    drop(clients);
    let finished = server.finish(SOON);
    assert_eq!(finished.last_line(), format!("served {n} connections, {} bytes", 4 * n * n));
}

/// The memory that a process has to itself or its share of.
fn memory_kib(pid: u32) -> i64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
