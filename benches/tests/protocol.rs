//! Our programs keep the protocol that `benches/run` and its peers speak.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const LOOP: &str = env!("CARGO_BIN_EXE_becket_loop_bench");
const FIBER: &str = env!("CARGO_BIN_EXE_becket_fiber_bench");
const MOSQUITTO: &str = env!("CARGO_BIN_EXE_becket_mosquitto_bench");

/// A server that ends with its test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The names of the results of one run.
fn results(program: &str, args: &[&str]) -> Vec<String> {
    let output = Command::new(program).args(args).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    let name = |line: &str| {
        assert!(line.ends_with('}') && line.contains(r#""unit":""#), "{line}");
        let rest = line.strip_prefix(r#"{"bench":""#).unwrap_or_else(|| panic!("{line}"));
        rest.split('"').next().unwrap().to_owned()
    };
    text.lines().map(name).collect()
}

/// A file of eight blocks.
fn data() -> PathBuf {
    let path = std::env::temp_dir().join(format!("becket-bench-{}", std::process::id()));
    std::fs::write(&path, vec![7; 8 * 4096]).unwrap();
    path
}

#[test]
fn results_are_lines() {
    let small = ["pipes", "--n=20", "--a=5", "--w=50", "--runs=2"];
    assert_eq!(results(LOOP, &small), ["pipes", "pipes_total"]);
    assert_eq!(results(FIBER, &small), ["pipes"]);
    let with_timeouts = [&small[..], &["--timeouts=1"]].concat();
    assert_eq!(results(LOOP, &with_timeouts), ["pipes_timeouts", "pipes_timeouts_total"]);
    assert_eq!(results(FIBER, &with_timeouts), ["pipes_timeouts"]);
    let timers = ["timers_arm", "timers_cancel", "timers_rearm", "timers_expire"];
    assert_eq!(results(LOOP, &["timers", "--n=100", "--expire=300"]), timers);
    assert_eq!(results(LOOP, &["wake", "--rounds=20", "--posts=1000"]), ["wake_rtt", "wake_post"]);
    assert_eq!(results(FIBER, &["spawn", "--n=100", "--live=10"]), ["spawn_live10"]);
    assert_eq!(results(FIBER, &["yield", "--n=100"]), ["yield"]);
    assert_eq!(results(FIBER, &["chan", "--n=100"]), ["chan"]);
    assert_eq!(results(FIBER, &["sleepers", "--n=50"]), ["sleepers_start", "sleepers_rss", "sleepers_maps"]);
    assert_eq!(results(FIBER, &["sleepers", "--n=50", "--warm=1"]), ["sleepers_warm"]);
    let million = ["start", "rss", "maps", "end", "given_back", "left"].map(|part| format!("million_{part}"));
    assert_eq!(results(FIBER, &["million", "--n=2000"]), million);
    let path = data();
    let file = format!("--file={}", path.display());
    for program in [LOOP, FIBER] {
        assert_eq!(results(program, &["fileread", "--n=100", "--qd=4", &file]), ["fileread"]);
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn what_is_missing_is_status_3() {
    for (program, bench) in
        [(LOOP, "yield"), (FIBER, "timers"), (LOOP, ""), (FIBER, "no such thing"), (MOSQUITTO, "echo")]
    {
        assert_eq!(Command::new(program).arg(bench).status().unwrap().code(), Some(3), "{program} {bench}");
    }
}

#[test]
fn an_echo_server_echoes_what_fills_its_buffers_too() {
    let of_loop = ["--closures=0", "--closures=1", "--shards=2"].map(|option| (LOOP, option));
    let of_fiber = ["--lend=0", "--lend=1", "--threads=2"].map(|option| (FIBER, option));
    for (program, option) in of_loop.into_iter().chain(of_fiber) {
        // Found free, and taken a moment later.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let port_option = format!("--port={port}");
        let mut command = Command::new(program);
        let mut server = Server(command.args(["echo", option, &port_option]).stdout(Stdio::piped()).spawn().unwrap());
        let mut said = String::new();
        BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "READY\n", "{program} {option}");
        let mut slow = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut quick = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // More than the sockets hold: the server has to stop reading, and to go on once there is room.
        let sent: Vec<u8> = (0..16 << 20).map(|i: u32| (i % 251) as u8).collect();
        let mut writer = slow.try_clone().unwrap();
        let all = sent.clone();
        let writing = std::thread::spawn(move || writer.write_all(&all));
        let mut word = [0; 5];
        quick.write_all(b"quick").unwrap();
        quick.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"quick");
        let mut got = vec![0; sent.len()];
        slow.read_exact(&mut got).unwrap();
        assert!(got == sent, "{program} {option}: not what was sent");
        writing.join().unwrap().unwrap();
    }
}
