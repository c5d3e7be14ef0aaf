//! SIGINT, SIGTERM, SIGHUP and SIGUSR1.

use crate::{MARGIN, Sums, start};
use becket_tests::broker::Broker;
use rustix::process::Signal;
use std::time::{Duration, Instant};

#[test]
fn the_signals_that_end_it_let_out_what_waits() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let broker = Broker::start();
        let gateway = start(&["--broker", &broker.url()]);
        gateway.expect_stderr("connected", MARGIN);
        std::thread::sleep(Duration::from_secs(1));
        gateway.signal(signal);
        let sums = Sums::of(&gateway.finish(MARGIN));
        assert!(sums.readings >= 3, "{sums:?}");
        assert_eq!(sums.dropped, 0, "{sums:?}");
    }
}

#[test]
fn draining_ends_after_five_seconds_and_the_rest_is_dropped() {
    let broker = Broker::start();
    let gateway = start(&["--broker", &broker.url()]);
    gateway.expect_stderr("connected", MARGIN);
    broker.freeze();
    std::thread::sleep(Duration::from_secs(1));
    gateway.signal(Signal::TERM);
    let asked = Instant::now();
    let sums = Sums::of(&gateway.finish(MARGIN));
    assert!(sums.dropped >= 3, "{sums:?}");
    assert!(asked.elapsed() >= Duration::from_secs(4), "it gave up after {:?}", asked.elapsed());
    assert!(asked.elapsed() < Duration::from_secs(15), "it went on for {:?}", asked.elapsed());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let broker = Broker::start();
    let gateway = start(&["--broker", &broker.url()]);
    gateway.expect_stderr("connected", MARGIN);
    broker.freeze();
    std::thread::sleep(Duration::from_millis(500));
    gateway.signal(Signal::TERM);
    gateway.expect_stderr("SIGTERM", MARGIN);
    let asked = Instant::now();
    gateway.signal(Signal::INT);
    let finished = gateway.finish(MARGIN);
    assert_eq!(finished.status.code(), Some(128 + 2), "{finished:?}");
    assert!(asked.elapsed() < Duration::from_secs(3), "it went on for {:?}", asked.elapsed());
}

#[test]
fn sigusr1_prints_every_source_and_fiber_and_nothing_else_happens() {
    let gateway = start(&["--for", "4s"]);
    gateway.expect_stderr("connected", MARGIN);
    gateway.signal(Signal::USR1);
    for part in [
        "broker mqtt://127.0.0.1:",
        "simulated at /dev/pts/",
        "fibers:",
        "signals",
        "simulator",
        "simulated",
        "simulated commands",
        "simulated readings",
        "heartbeat",
        "sources:",
        "mosquitto",
    ] {
        gateway.expect_stderr(part, MARGIN);
    }
    let sums = Sums::of(&gateway.finish(MARGIN));
    assert_eq!(sums.dropped, 0, "{sums:?}");
}
