//! The broker dies, or freezes: readings wait, go out when it is back, and none is counted twice.

use crate::{MARGIN, Sums, start};
use becket_tests::broker::{self, Broker};
use rustix::process::Signal;
use std::thread::sleep;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// Killed at 3 s, there again at 6 s.
fn killed_and_restarted(mut broker: Broker) {
    let url = broker.url();
    let gateway = start(&["--for", "10s", "--broker", &url]);
    gateway.expect_stderr("connected", MARGIN);
    sleep(3 * SECOND);
    broker.kill();
    sleep(3 * SECOND);
    broker.restart();
    let sums = Sums::of(&gateway.finish(15 * SECOND + MARGIN));
    assert!((40..=52).contains(&sums.readings), "{sums:?}");
    assert!(sums.reconnects >= 1, "{sums:?}");
    assert_eq!(sums.dropped, 0, "the queue holds what comes in three seconds: {sums:?}");
    sums.assert_no_delivery_twice(10);
}

#[test]
fn mosquitto_killed_at_3_s_and_restarted_at_6_s() {
    if let Some(broker) = Broker::start_mosquitto() {
        killed_and_restarted(broker);
    }
}

#[test]
fn the_embedded_broker_killed_at_3_s_and_restarted_at_6_s() {
    killed_and_restarted(Broker::embedded());
}

#[test]
fn a_broker_frozen_for_20_s_is_noticed_and_left_for_a_new_connection() {
    let broker = Broker::start();
    let url = broker.url();
    let gateway = start(&["--for", "36s", "--keepalive", "5", "--broker", &url]);
    gateway.expect_stderr("connected", MARGIN);
    sleep(2 * SECOND);
    broker.freeze();
    let frozen = Instant::now();
    // Twice the keep-alive, and a margin for the seconds in which libmosquitto counts.
    gateway.expect_stderr("connection lost", 20 * SECOND);
    sleep((20 * SECOND).saturating_sub(frozen.elapsed()));
    broker.thaw();
    let sums = Sums::of(&gateway.finish(36 * SECOND + MARGIN));
    assert!(sums.reconnects >= 1, "{sums:?}");
    assert_eq!(sums.dropped, 0, "the queue holds what comes in half a minute: {sums:?}");
    sums.assert_no_delivery_twice(36);
}

#[test]
fn what_a_killed_gateway_owes_is_sent_by_the_next_one() {
    let mut broker = Broker::start();
    let url = broker.url();
    broker.kill();
    let folder = std::env::temp_dir().join(format!("becket-gateway-store-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("owed");
    let args = ["--for", "3s", "--broker", &url, "--store", file.to_str().unwrap()];
    let gateway = start(&args);
    gateway.expect_stderr("connection lost", MARGIN);
    sleep(2 * SECOND);
    gateway.kill();
    broker.restart();
    let gateway = start(&args);
    gateway.expect_stderr("messages of earlier runs go out first", MARGIN);
    gateway.expect_stderr("nothing of earlier runs is left", MARGIN);
    let sums = Sums::of(&gateway.finish(3 * SECOND + MARGIN));
    assert_eq!(sums.dropped, 0, "{sums:?}");
    let nothing_owed = start(&args).finish(3 * SECOND + MARGIN);
    assert!(!nothing_owed.stderr.contains("earlier runs"), "{nothing_owed:?}");
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn what_does_not_fit_the_queue_is_counted() {
    let mut broker = Broker::start();
    let url = broker.url();
    let gateway = start(&["--for", "7s", "--queue", "5", "--broker", &url]);
    gateway.expect_stderr("connected", MARGIN);
    sleep(SECOND);
    broker.kill();
    let sums = Sums::of(&gateway.finish(12 * SECOND + MARGIN));
    assert!(sums.acknowledged > 0 && sums.dropped > 5, "{sums:?}");
    assert_eq!(sums.reconnects, 0, "{sums:?}");
    sums.assert_no_delivery_twice(7);
}

#[test]
fn a_broker_that_comes_late_gets_everything() {
    let mut broker = Broker::start();
    broker.kill();
    let gateway = start(&["--for", "8s", "--broker", &broker.url()]);
    gateway.expect_stderr("connection lost: Connection refused", MARGIN);
    sleep(2 * SECOND);
    broker.restart();
    let sums = Sums::of(&gateway.finish(8 * SECOND + MARGIN));
    assert!((30..=42).contains(&sums.readings), "{sums:?}");
    assert_eq!((sums.acknowledged, sums.reconnects), (sums.readings, 0), "{sums:?}");
}

#[test]
fn without_a_broker_signals_are_answered_and_what_waits_is_dropped() {
    let gateway = start(&["--broker", &format!("mqtt://127.0.0.1:{}", broker::free_port())]);
    gateway.expect_stderr("connection lost", MARGIN);
    gateway.signal(Signal::USR1);
    gateway.expect_stderr("heartbeat", MARGIN);
    sleep(SECOND);
    gateway.signal(Signal::TERM);
    let asked = Instant::now();
    let sums = Sums::of(&gateway.finish(MARGIN));
    assert!(sums.readings >= 3 && sums.dropped == sums.readings, "{sums:?}");
    assert!(asked.elapsed() < 15 * SECOND, "it went on for {:?}", asked.elapsed());
}
