//! The examples of becket-fiber, each run as its users run it.

use becket_tests::examples::{self, Run};
use becket_tests::program::{Finished, Program};
use becket_tests::tools;
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

const TABLE: &[Run<'_>] = &[
    ("abort_the_deaf", &[], "after the cancel it runs: true\nthe lamp is off\nafter the abort it does not\n"),
    ("ask_by_oneshot", &[], "boiler: Some(61.5)\nattic: None\nvalues: 1\n"),
    ("block_on_a_future", &[], "rope is made of fibers\na deadline ends it: true\n"),
    (
        "broadcast_news",
        &[],
        "sent 1 to 2\nquick: 1\nsent 2 to 2\nquick: 2\nsent 3 to 2\nquick: 3\nsent 4 to 2\nquick: 4\nsent 5 to 2\nquick: 5\n\
         sent 6 to 2\nquick: 6\nslow: 3 lost\nslow: 4\nslow: 5\nslow: 6\n",
    ),
    ("callbacks_beside_fibers", &[], "in a callback: Err(Deadlock)\n2 left\n1 left\n0 left\n"),
    ("cancel_a_part", &[], "boiler: cancelled: true\nattic: cancelled: true\nboiler: goes on\nattic: goes on\n"),
    (
        "cancel_and_shield",
        &[],
        "the pump runs\ntold to end: true\nstill told so: true\nthe pump has stopped in good order\n\
         its result: the fiber was cancelled\n",
    ),
    ("channel_pipeline", &[], "20.0\n20.1\n20.2\n20.3\n20.4\nnot delivered: {..}\nnot delivered: {..}\n"),
    ("copy_between_kinds", &[], "1000000 bytes sent, 1000000 passed on, 1000000 read\nand then the end: true\n"),
    (
        "days_in_a_test",
        &[],
        "day 7: the weekly report\nday 10: a long sleep ends\nday 14: the weekly report\ntook less than a minute: true\n",
    ),
    (
        "deadline_is_inherited",
        &[],
        "a line: Some(TimedOut), not early: true\nchildren have it: true\nspawned fibers do not: None\n\
         the earliest counts: true\n",
    ),
    ("echo_on_threads", &[], "serves 127.0.0.1:{..}\nbytes by each thread: [{..}], together 48\n"),
    ("end_in_order", &[], "saved\nended: Ok(())\n"),
    (
        "fiber_locals",
        &[],
        "request 0: all begun\nrequest 1: begins\nrequest 2: begins\nrequest 1: ends\nrequest 2: ends\n",
    ),
    ("files_while_others_run", &[], "the sum is 5000050000\n"),
    (
        "fork_with_fibers",
        &[],
        "the child was refused: true; its fiber runs in it: true\nthe parent's runs in the parent: true\nreaped: true\n",
    ),
    (
        "interval_keeps_phase",
        &[],
        "in phase: true, early: false\nin phase: true, early: false\nin phase: true, early: false\n\
         left out during 125 ms of work: true\nmade up for: true\n",
    ),
    ("io_over_anything", &[], "through a pipe of std's\nthrough an eventfd: 42\n"),
    ("limit_by_semaphore", &[], "10 fibers, at most 3 at a time, 3 places free\n"),
    (
        "limit_of_fibers",
        &[],
        "cannot spawn a fiber: there are 11, the limit of the runtime\n1000 fibers, 10 at a time\n",
    ),
    ("lock_across_a_wait", &[], "client 1 has modbus\nclient 2 has modbus\nclient 3 has modbus\n3 questions\n"),
    ("look_up_names", &["127.0.0.1:80", "no-port"], "127.0.0.1:80: [127.0.0.1:80]\nresolve no-port: {..}\n"),
    ("look_up_names", &[], "{..}localhost:1883: {..}\n[::1]:80: [[::1]:80]\nresolve no-port: {..}\n"),
    (
        "make_once",
        &[],
        "first logs in\nfirst: refused\nsecond logs in\nsecond has the token of second\nthird has the token of second\n",
    ),
    ("measure_stacks", &[], "parser: {..} of 128 KiB, fibers: 3\nidle: {..} of 128 KiB, fibers: 3\n"),
    ("names_and_priorities", &[], "alarm runs\nweb runs\nlog runs\n"),
    (
        "panic_comes_out_of_join",
        &[],
        "parser: the fiber panicked: index out of bounds{..}\nand the other fiber goes on\n",
    ),
    (
        "pipe_through_a_child",
        &[],
        "\"4\\n30\\n100\\n\", exit status: 0\ntoo late: true\nsignal: 9 (SIGKILL)\n\"becket\\n\", exit status: 3\n",
    ),
    ("pool_of_threads", &[], "55 by {\"pool-0\", \"pool-1\"}\n"),
    (
        "race_and_all",
        &[],
        "the first: Err(\"server 1 is out of order\")\nthe first success: 2\nall: server 1 is out of order\nall: [2, 3]\n",
    ),
    (
        "read_mostly",
        &[],
        "first reads [\"boiler\"]\nsecond reads [\"boiler\"]\nfirst has read 1 of them\nsecond has read 1 of them\nchanged\n\
         third reads [\"boiler\", \"attic\"]\nthird has read 2 of them\n",
    ),
    (
        "report_of_fibers",
        &[],
        "fiber 1 main: running{..}\nfiber 2 doze: waits: sleep{..} (in the function doze)\n\
         fiber 3 consumer: waits: a value of a channel{..}\nby a signal: 3 fibers\n",
    ),
    (
        "scope_borrows",
        &[],
        "18 letters in [\"rope\", \"is\", \"made\", \"of\", \"fibers\"]\nthe other one was stopped: true\n\
         the scope: Err(\"no such device\")\n",
    ),
    ("select_of_many", &[], "the sum is 10\n"),
    (
        "select_the_first",
        &[],
        "command: calibrate\nfrom the pipe: 21.53\nthe script has ended, the heart beats: true\n",
    ),
    ("serial_questions", &[], "answer to temp\ntimed out\nanswer to hum\n"),
    ("share_the_thread", &[], "beat 1\nbeat 2\nbeat 3\nprimes were found meanwhile: true\n"),
    ("shell_on_a_pty", &[], "{..}hello becket\nexit status: 0\n"),
    ("signals_as_a_loop", &[], "reads its settings again\nends by SIGTERM\nthe work is saved\n"),
    ("sleep_by_the_wall_clock", &[], "not early: true\n"),
    (
        "spawn_and_join",
        &[],
        "fiber 3 has slept\nfiber 2 has slept\nfiber 1 has slept\njoined: 1\njoined: 4\njoined: 9\n",
    ),
    ("spawn_from_threads", &[], "42\n"),
    ("split_a_stream", &[], "client: 1\nclient: 2\nclient: 3\nserver: 1\nserver: 2\nserver: 3\n"),
    ("start_together", &[], "0 have passed the gate\n3 are there\n0 are left\n"),
    (
        "tell_of_stalls",
        &[],
        "fiber 2 careless has kept the thread for {..}, and waits in futex(2): for a lock?\n\
         fiber 2 careless had kept the thread for {..}\n",
    ),
    ("thread_channels", &[], "[1, 4, 9, 16, 25]\n"),
    ("udp_with_retries", &[], "asked more than twice: true\nwhat time is it?\n"),
    ("unblock_a_call", &[], "on another thread: true\nthe heart has beaten meanwhile: true\n[1, 2, 3]\n"),
    ("unix_peer", &[], "{..}both ends of a rope\n"),
    ("wait_for_a_condition", &[], "the valve shuts at 5\nthe level is 5\n"),
    ("walk_a_folder", &[], "2 files, 4 bytes\n"),
    ("watch_the_machine", &[], "mounts: {..}\nm{..}: {..}\n"),
    ("watch_settings", &[], "measures every 3600s\nmeasures every 600s\nno more settings\n"),
];

#[test]
fn they_print_what_they_show() {
    examples::run_all(TABLE);
}

/// What runs at the same time prints in any order.
#[test]
fn they_print_what_they_show_in_some_order() {
    for (name, expected) in [
        ("fibers_inside_calloop", "fiber: a word from calloop|fiber: tick 1|fiber: tick 2|fiber: tick 3"),
        ("fibers_inside_tokio", "fiber: is made|fiber: of fibers|fiber: rope|tokio: sends|tokio: sends|tokio: sends"),
        ("sync_libraries", "attic: {\"got\":2}|boiler: {\"got\":2}"),
    ] {
        let finished = finish(name, Program::start(examples::path(name), [""; 0]));
        let mut lines: Vec<&str> = finished.stdout.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines.join("|"), expected, "{name}");
    }
}

#[test]
fn an_overflow_ends_the_program_and_names_the_fiber() {
    let finished = Program::start(examples::path("stack_overflow"), [""; 0]).finish(SOON);
    assert_eq!(finished.status.signal(), Some(Signal::ABORT.as_raw()), "{finished:?}");
    assert_eq!(finished.stdout, "depth 1000 on 4 MiB\n");
    assert!(finished.stderr.contains(" parser has overflowed its stack"), "{finished:?}");
}

#[test]
fn a_filter_stands_in_a_pipeline() {
    for (rest, expected) in [("", "7\n17\n27\n"), ("| head -n 1", "7\n")] {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("seq 1 30 | {} 7 {rest}", examples::path("filter_lines").display()));
        assert_eq!(finish("filter_lines", Program::spawn(shell)).stdout, expected);
    }
}

#[test]
fn names_are_resolved_without_threads() {
    if tools::find_or_skip("cmake").is_none() {
        return;
    }
    let program = examples::path_with("c-ares", "resolver");
    let finished = finish("resolver", Program::start(program, ["127.0.0.1:1883"]));
    assert_eq!(finished.stdout, "127.0.0.1:1883: 100 answers, the same: true\nSome(127.0.0.1:1883)\n");
}

#[test]
fn all_are_run() {
    let elsewhere = [
        "fibers_inside_calloop",
        "fibers_inside_tokio",
        "filter_lines",
        "resolver",
        "stack_overflow",
        "sync_libraries",
    ];
    examples::assert_complete("fiber/examples", TABLE, &elsewhere);
}

fn finish(name: &str, program: Program) -> Finished {
    let finished = program.finish(SOON);
    assert_eq!(finished.status.code(), Some(0), "{name}: {finished:?}");
    finished
}
