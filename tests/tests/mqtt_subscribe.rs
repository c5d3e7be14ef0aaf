//! The example program mqtt_subscribe.

use becket_tests::broker::Broker;
use becket_tests::examples;
use becket_tests::mqtt::Client;
use becket_tests::program::Program;
use rustix::process::Signal;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

fn start(args: &[&str]) -> Program {
    Program::start(examples::path("mqtt_subscribe"), args)
}

#[test]
fn it_prints_the_messages_asked_for_and_ends() {
    let broker = Broker::start();
    for more in [&[][..], &["--v5", "--qos", "2"][..]] {
        let url = broker.url();
        let program = start(&[&[&url, "plant/+/temp", "--count", "2"], more].concat());
        program.expect_stderr("subscribed to plant/+/temp", SOON);
        let mut client = Client::connect(broker.port(), "sensor");
        client.publish("plant/boiler/temp", "21.5");
        client.publish("plant/boiler/hum", "40");
        client.publish("plant/attic/temp", "12");
        client.publish("plant/attic/temp", "13");
        let end = program.finish(SOON);
        assert_eq!(end.status.code(), Some(0), "{}", end.stderr);
        assert_eq!(end.stdout, "plant/boiler/temp 21.5\nplant/attic/temp 12\n");
    }
}

#[test]
fn it_outlives_its_broker_and_ends_by_a_signal() {
    let (done, stop) = channel::<()>();
    let mut broker = Broker::start();
    let program = start(&[&broker.url(), "t"]);
    program.expect_stderr("subscribed to t", SOON);
    broker.kill();
    program.expect_stderr("again in", SOON);
    broker.restart();
    // When it is back is seen by what it prints.
    let mut client = Client::connect(broker.port(), "sensor");
    let publisher = thread::spawn(move || {
        while stop.recv_timeout(Duration::from_millis(50)) == Err(RecvTimeoutError::Timeout) {
            client.publish("t", "back");
        }
    });
    program.expect_stdout("t back", SOON);
    drop(done);
    publisher.join().unwrap();
    program.signal(Signal::TERM);
    let end = program.finish(SOON);
    assert_eq!(end.status.code(), Some(0), "{}", end.stderr);
    assert!(end.stdout.starts_with("t back\n"), "{}", end.stdout);
}

#[test]
fn bad_arguments_are_told_in_one_line() {
    for (args, told) in [
        (&[][..], "missing argument URL"),
        (&["mqtt://h"][..], "missing argument TOPIC"),
        (&["http://h", "t"][..], "broker address `http://h`: scheme `http` is not `mqtt`"),
        (&["mqtt://h:99999", "t"][..], "port 99999 is above 65535"),
        (&["mqtt://h", "a/#/b"][..], "`a/#/b` is no topic filter"),
        (&["mqtt://h", "t", "--count", "0"][..], "--count 0"),
        (&["mqtt://h", "t", "--qos", "3"][..], "\"3\" is none of 0, 1, 2"),
    ] {
        let end = start(args).finish(SOON);
        assert_eq!(end.status.code(), Some(2), "{args:?}");
        assert!(end.stderr.starts_with("mqtt_subscribe: ") && end.stderr.contains(told), "{args:?}: {}", end.stderr);
        assert_eq!((end.stderr.lines().count(), end.stdout.as_str()), (1, ""), "{args:?}");
    }
}
