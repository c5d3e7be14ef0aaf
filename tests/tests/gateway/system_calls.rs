//! How often the gateway's own thread enters the wait: no more than there is something to wait for.

use crate::{MARGIN, Sums};
use becket_tests::{broker::Broker, examples, program::Program, tools};
use std::process::Command;
use std::time::Duration;

#[test]
fn the_waits_are_no_more_than_what_was_waited_for() {
    let Some(strace) = tools::find_or_skip("strace") else { return };
    let broker = Broker::start();
    let trace = std::env::temp_dir().join(format!("becket-strace-{}", std::process::id()));
    let mut command = Command::new(strace);
    // Without -f: the main thread alone, which is the one of the loop.
    command.args(["-e", "trace=epoll_pwait2,epoll_pwait,epoll_wait", "-o"]).arg(&trace);
    command.arg(examples::path("gateway")).args(["--for", "10s", "--broker", &broker.url()]);
    let gateway = Program::spawn(command);
    let line = gateway.expect_stderr("gateway: waited ", Duration::from_secs(10) + MARGIN);
    let sums = Sums::of(&gateway.finish(MARGIN));
    let calls = std::fs::read_to_string(&trace).expect("a trace").lines().filter(|l| l.contains("epoll_")).count();
    std::fs::remove_file(trace).expect("the trace is ours");

    let numbers: Vec<usize> = line.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
    let [waits, timers, packets, lines] = numbers[..] else { panic!("{line}") };
    println!("{calls} calls, {waits} waits, {timers} timers, {packets} packets, {lines} lines; {sums:?}");
    assert!(calls <= timers + packets + lines + 2, "{calls} calls: {line}");
}
