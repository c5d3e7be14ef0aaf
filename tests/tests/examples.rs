//! The small example programs, each run as its users run it.

use becket_tests::broker::Broker;
use becket_tests::examples::{self, Run};
use becket_tests::program::Program;
use rustix::process::Signal;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

fn start(name: &str, args: &[&str]) -> Program {
    Program::start(examples::path(name), args)
}

/// The same at three layers.
const TICKS: &str = "tick 1\ntick 2\ntick 3\ntick 4\ntick 5\n";

const PROGRAMS: &[Run<'_>] = &[
    ("bridge_mqtt_to_serial", &[], "line/state online\nline/in read temp\nline/out 21.53 for read temp\n"),
    ("chat", &[], "listens on 127.0.0.1:{..}\n[Some(\"hello\"), Some(\"hello\")]\n[None, None]\n"),
    ("port_scan_timeout", &[], "the first is open\nthe other does not answer\n"),
    ("port_scan_timeout", &["127.0.0.1", "1"], ""),
    (
        "supervise",
        &[],
        "false: exit status: 1\n{..}false: exit status: 1\nends by SIGTERM\nsleep 1000: ended: signal: 15 (SIGTERM)\n",
    ),
    ("tail_follow", &[], "there before\nappended\nin the next file\nagain\n"),
    ("tick_with_fiber", &[], TICKS),
    ("tick_with_loop", &[], TICKS),
    ("tick_with_sys", &[], TICKS),
];

/// Without an argument each has a broker of its own.
const MQTT: &[Run<'_>] = &[
    ("mqtt_acknowledge", &[], "begins to dig a well\nbegins to dig a well\ndone\n"),
    ("mqtt_ask", &[], "{..}7: 49\nmany: invalid digit found in string\n{..}"),
    ("mqtt_full_queue", &[], "90 are left\n100 acknowledged; some came back: true\n"),
    ("mqtt_hello", &[], "connected\nsubscribed to becket/hello at QoS 1\nbecket/hello: a loop of rope\nclosed\n"),
    ("mqtt_last_will", &[], "becket/device-7/state: online\nbecket/device-7/state: offline\n"),
    ("mqtt_many_clients", &[], "200 clients, each connected and answered: true\n"),
    (
        "mqtt_outcomes",
        &[],
        "publish to `becket/outcomes`: there is no connection, and QoS 0 does not wait for one\nQoS 0: sent\n\
         QoS 1: acknowledged: {..}\nQoS 2: acknowledged: {..}\nearly: acknowledged: {..}\nlate: expired\n",
    ),
    (
        "mqtt_properties",
        &[],
        "retains messages: true\nSome(\"application/json\"), text: true\nunit: celsius\nunit: kelvin\n",
    ),
    ("mqtt_retained", &[], "acknowledged: {..}\n\"21.5\", kept\n\"21.6\", new\n\"\", new\n"),
    (
        "mqtt_retry",
        &[],
        "tries\nConnection refused {..}; waits for 40 ms at most: true\ntries\n{..}tries\ngives up: {..}\n\
         dropped: the client gave up\n",
    ),
    (
        "mqtt_routes",
        &[],
        "nobody else: becket/other ?\nsiren: becket/boiler/alarm hot\nthermometer: becket/boiler/temp 71.5\n\
         thermometer: becket/roof/temp 8\n",
    ),
    ("mqtt_session", &[], "session: false\nsession: true\nfirst letter\nsecond letter\n"),
    ("mqtt_store", &[], "owed: 3\nheard: one two three; owed: 0\n"),
    ("mqtt_threads", &[], "100 acknowledged\n100 acknowledged\n"),
    ("mqtt_in_fibers", &[], "becket/boiler/temp: 61.5\nbecket/attic/temp: 12.0\n40 + 2 = 42\n"),
];

const LIBRARIES: &[Run<'_>] = &[
    ("fetch_many", &[], "this is /page/0\n{..}\nthis is /page/19\n"),
    (
        "http_server",
        &[],
        "serves http://127.0.0.1:{..}/\nGET /: HTTP/1.1 200 OK: \"visit 1\\n\"\nGET /: HTTP/1.1 200 OK: \"visit 2\\n\"\n\
         POST /echo: HTTP/1.1 200 OK: \"rope\"\nGET /none: HTTP/1.1 404 Not Found: \"nothing here\\n\"\n",
    ),
    ("keep_readings", &[], "{..}10 readings, 24.5 on average\n"),
    ("tls_echo", &[], "client 0\n{..}\nclient 19\n"),
    ("websocket_echo", &[], "serves ws://127.0.0.1:{..}/\n[\"client 0\", {..}, \"client 19\"]\n"),
];

#[test]
fn they_print_what_they_show() {
    examples::run_all(&[PROGRAMS, MQTT, LIBRARIES].concat());
}

#[test]
fn those_of_mqtt_do_so_over_mosquitto_too() {
    let Some(broker) = Broker::start_mosquitto() else { return };
    let url: &[&str] = &[&broker.url()];
    examples::run_all(&MQTT.iter().map(|(name, _, prints)| (*name, url, *prints)).collect::<Vec<_>>());
}

#[test]
fn all_are_run() {
    let elsewhere = [
        "echo_server",
        "echo_server_fiber",
        "embedded_broker", // by all that need one
        "fiber_top",
        "mqtt_subscribe",
        "read_serial",
        "wait_gpio_edge",
    ];
    examples::assert_complete("examples", PROGRAMS, &elsewhere);
    examples::assert_complete("examples/mqtt", MQTT, &["mqtt_pub", "mqtt_sub", "mqtt_request", "mqtt_secured"]);
    examples::assert_complete("examples/libraries/examples", LIBRARIES, &[]);
}

#[test]
fn a_supervised_program_that_is_not_there_is_tried_again() {
    let program = start("supervise", &["/no/such/program"]);
    program.expect_stdout("spawn /no/such/program: No such file or directory", SOON);
    program.signal(Signal::TERM);
    let finished = program.finish(SOON);
    assert_eq!((finished.status.code(), finished.last_line()), (Some(0), "ends by SIGTERM"), "{finished:?}");
}

#[test]
fn nobody_in_the_chat_waits_for_who_does_not_read() {
    let server = start("chat", &["127.0.0.1:0"]);
    let address = server.expect_stdout("listens on ", SOON).trim().rsplit(' ').next().unwrap().to_owned();
    let come = || {
        let stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
        assert_eq!(lines.next().unwrap(), "welcome");
        lines
    };
    let mut slow = come();
    let mut talker = TcpStream::connect(&address).unwrap();
    let mut reader = BufReader::new(talker.try_clone().unwrap()).lines().map(Result::unwrap);
    assert_eq!(reader.next().unwrap(), "welcome");
    // More than the buffers of the connection hold: it goes through, while one of the two does not read.
    let line = [&[b'x'; 4000][..], b"\n"].concat();
    for _ in 0..4000 {
        talker.write_all(&line).unwrap();
        reader.next().unwrap();
    }
    let missed = slow.find(|line| line.ends_with("lines missed]")).unwrap();
    assert!(missed.starts_with('['), "{missed}");
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
