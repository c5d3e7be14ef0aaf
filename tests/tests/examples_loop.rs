//! The examples of becket-loop: each ends by itself, and prints what it says.

use becket_tests::examples::{Run, assert_complete, path, run_all};
use becket_tests::program::Program;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

const LOOP: &[Run<'_>] = &[
    ("accept_when_full", &[], "turned away: {..}\nthe peer hears of it at once: Ok(0)\naccepted\n"),
    ("answer_datagrams", &[], "ROPE\n26 bytes are too many\n"),
    (
        "blocking_calls",
        &[],
        "localhost is here: true\nthe read was cancelled: true; its buffer is back: 16 bytes\n#0.{..}: no such thing\n",
    ),
    ("borrowed_descriptor", &[], "0: rope\n1: fibers\n"),
    ("call_later", &[], "1: after 10 ms\n2: at 30 ms\n3: what was due long ago\n3 calls\n"),
    ("calm_a_talker", &[], "15 calls in two and a half whiles, and 18 turns\n"),
    ("child_with_deadline", &[], "SIGTERM\nSIGKILL\nsaid: [\"started\", \"not yet\"], ended by signal: 9 (SIGKILL)\n"),
    (
        "choose_a_backend",
        &[],
        "epoll: 3 ticks; by edge: added; inside another loop: a descriptor\n\
         poll: 3 ticks; by edge: refused: Unsupported; inside another loop: refused: Unsupported\n\
         scripted: 3 ticks; by edge: added; inside another loop: refused: Unsupported\n",
    ),
    ("control_socket", &[], "of this process: true\ndone; the path is gone: true\n"),
    ("copy_file", &[], "by {..}: all is there: true\n"),
    ("decide_opens", &[], "first: yes\nsecond: no\n"),
    ("echo_in_order", &[], "sent back 1048576, received 1048576\n"),
    (
        "errors_and_panics",
        &[],
        "run: deferred work: no paper\nhook: printer: no more paper\nhook: printer: no more paper\nprinted\n\
         panicked: true\nwhat comes after it is called in the next turn\n",
    ),
    ("find_the_slow", &[], "Some(\"lazy\") hangs: true\nlazy was slow: true\nit is over: true\n"),
    ("folder_sizes", &[], "{..} uuid\n{..} entries\n"),
    (
        "fork_with_a_loop",
        &[],
        "child: refused before: true, 1 call of the timer\nparent: the child has ended: exit status: 0\n\
         parent: 1 call of the timer\n",
    ),
    ("hooks_of_a_turn", &[], "prepare idle check prepare idle check timer deferred exit\n"),
    (
        "ids_and_guards",
        &[],
        "handed back, with Some(5) in it\n#0.0 is stale: true, #0.1 is not\nleft: 1\ncancelled: true, and again: false\n",
    ),
    ("inside_calloop", &[], "code 3; both have turned: true\n"),
    ("inside_poll", &[], "for the loop\nfor the main loop\ncode 3; both have turned: true\n"),
    ("inside_tokio", &[], "code 3; a task has slept; the loop has turned: true\n"),
    ("keep_a_schedule", &[], "the next backup is planned\n{..}backup 3\n{..}"),
    (
        "level_edge_oneshot",
        &[],
        "level, Keep: 5 calls\nedge, Keep: 1 calls, four bytes are never told of again\nedge, Again: 5 calls\n\
         one-shot, armed twice more: 3 calls\n",
    ),
    ("link_with_heartbeat", &[], "hello\nnothing more is heard\nthe peer was asked: ping\n"),
    (
        "missed_ticks",
        &[],
        "Skip\n{..}due at 20 ms, called at 45, 2 more missed\n  due at 50 ms, called at 50, 0 more missed\n{..}\
         Burst\n{..}due at 20 ms, called at 45, 2 more missed\n  due at 30 ms, called at 45, 1 more missed\n{..}\
         Delay\n{..}due at 10 ms, called at 10, 0 more missed\n  due at 55 ms, called at 55, 0 more missed\n{..}",
    ),
    (
        "notify_manager",
        &[],
        "manager: READY=1\nmanager: STATUS=listening on port 1883\nmanager: WATCHDOG=1\n{..}manager: STOPPING=1\n",
    ),
    (
        "other_clocks",
        &[],
        "it is 12 o'clock, by a clock that jumped\nit is 18 o'clock, by a clock that jumped\n\
         it is 14 o'clock, by a clock that jumped\nthe lease is over, after 2 hours awake\nit is 15 o'clock\n",
    ),
    ("own_source", &[], "1: a becket is a loop of rope\n2: and rope is made of fibers\n"),
    ("pause_reading", &[], "faster than anybody can print it; never more than 4 waiting\n"),
    (
        "post_from_threads",
        &[],
        "{\"a\": 2, \"and\": 1, \"becket\": 1, \"fibers\": 1, \"is\": 2, \"loop\": 1, \"made\": 1, \"of\": 2, \
         \"rope\": 2}\n9 words\n",
    ),
    ("put_off", &[], "saved: volume 10\n10 changes, saved 1 times\n"),
    ("random_reads", &["1", "100"], "{..}"),
    ("read_lines", &[], "the end\n"),
    ("reap_children", &[], "own child: exit status: 3\norphan: exit status: 7\n"),
    ("reload_settings", &[], "1: volume 1\n2: volume 2\n"),
    ("save_safely", &[], "settings: volume 3\n1 file in the folder\n"),
    (
        "simulated_hours",
        &[],
        "silence after 60 minutes\nnews after 90 minutes\nsilence after 150 minutes\nsilence after 210 minutes\n\
         24 in all, within a minute: true\n",
    ),
    ("state_per_client", &[], "a session of {..} words\na session of {..} words\n"),
    ("turn_by_hand", &[], "code 7, not early: true; both had their share\n"),
    ("two_loops_one_port", &[], "20 connections, each accepted once\n"),
    ("urgent_data", &[], "urgent: !\nurgent: ?\n"),
    ("urgent_first", &[], "alarm data data data statistics data data data data data\n"),
    ("values_from_threads", &[], "closed\n2000 values, 3000 in all\n"),
    ("watch_network", &[], "lo is up: true\n127.0.0.1/8\n"),
    ("watch_pressure", &[], "Some(Stalled), of the last ten seconds {..}\n"),
    (
        "what_it_holds",
        &[],
        "#0.0 doorbell: Io enabled, waits for READ (Level), 0 calls\n#1.0 tick: Timer enabled, 3 calls\n\
         3 timers, 3 callbacks\nhow late they were is known of 3, how long was waited {..} times\nin JSON: true\n",
    ),
    ("work_in_slices", &[], "2262 primes; ticks in between: yes\n"),
];

#[test]
fn the_examples_print_what_they_say() {
    run_all(LOOP);
}

#[test]
fn every_example_is_here() {
    assert_complete("loop/examples", LOOP, &["end_by_signal"]);
}

#[test]
fn a_signal_is_the_status() {
    let end = Program::start(path("end_by_signal"), [""; 0]).finish(Duration::from_secs(20));
    assert_eq!(
        (end.status.code(), &*end.stdout),
        (Some(143), "SIGTERM: no new work\nthe last of it is done\ngoodbye\n")
    );
}

#[test]
fn lines_come_from_pipes_and_from_files() {
    let text = "rope\nis made\nof fibers";
    let mut command = Command::new(path("read_lines"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let piped = child.wait_with_output().unwrap();

    let file = std::env::temp_dir().join(format!("becket-read-lines-{}", std::process::id()));
    fs::write(&file, text).unwrap();
    let read = command.stdin(fs::File::open(&file).unwrap()).output().unwrap();
    fs::remove_file(file).unwrap();
    for output in [piped, read] {
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(printed, "a line: rope\na line: is made\na line: of fibers\nthe end\n");
    }
}
