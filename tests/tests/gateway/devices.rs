//! Serial devices, played by pseudoterminals of the test.

use crate::{MARGIN, Sums, start};
use becket_tests::broker::Broker;
use becket_tests::device::Device;
use becket_tests::mqtt::{Client, Message};
use rustix::process::Signal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn message(device: &Device, field: &str, payload: &str) -> Message {
    Message { topic: format!("becket/{}/{field}", device.name()), payload: payload.into() }
}

#[test]
fn a_device_that_hangs_up_is_reopened_while_the_others_go_on() {
    let broker = Broker::start();
    let mut client = Client::connect(broker.port(), "observer");
    client.subscribe("becket/+/+");
    let (mut first, second) = (Device::plug("first"), Device::plug("second"));
    let serial = ["--serial", first.path(), "--serial", &format!("{}:9600", second.path())];
    let gateway = start(&[&serial[..], &["--broker", &broker.url()]].concat());
    gateway.expect_stderr("connected", MARGIN);

    let mut seen = |wanted: Message| client.next_that(MARGIN, |message| *message == wanted);
    first.say("a=1 b=two\n");
    second.say("c=3\r\n");
    seen(message(&first, "a", "1"));
    seen(message(&first, "b", "two"));
    seen(message(&second, "c", "3"));

    first.unplug();
    gateway.expect_stderr(&format!("{}: hung up", first.name()), MARGIN);
    second.say("c=4\n");
    seen(message(&second, "c", "4"));

    first.plug_again();
    gateway.expect_stderr(&format!("{}: open again", first.name()), MARGIN);
    first.say("a=5\nthis is no reading\nset=6 a=7\n");
    seen(message(&first, "a", "5"));
    seen(message(&first, "a", "7"));

    gateway.signal(Signal::TERM);
    let sums = Sums::of(&gateway.finish(MARGIN));
    assert_eq!((sums.readings, sums.acknowledged, sums.commands), (5, 5, 0), "{sums:?}");
}

#[test]
fn commands_reach_the_device_that_they_are_for() {
    let broker = Broker::start();
    let mut client = Client::connect(broker.port(), "commander");
    let (first, second) = (Device::plug("one"), Device::plug("two"));
    let gateway = start(&["--serial", first.path(), "--serial", second.path(), "--broker", &broker.url()]);
    gateway.expect_stderr("subscribed", MARGIN);
    client.publish(&format!("becket/{}/set", second.name()), "blink 3");
    assert_eq!(second.hear(), "blink 3\n");
    client.publish(&format!("becket/{}/set", first.name()), "stop");
    assert_eq!(first.hear(), "stop\n");
    gateway.signal(Signal::TERM);
    let sums = Sums::of(&gateway.finish(MARGIN));
    assert_eq!((sums.readings, sums.commands), (0, 2), "{sums:?}");
}

#[test]
fn a_device_that_never_stops_takes_nothing_from_the_others() {
    let many_fields = (0..500).map(|n| format!("f{n}=1 ")).collect::<String>() + "\n";
    for flood in [&b"a=1\n".repeat(500)[..], many_fields.as_bytes(), &b"hello\n".repeat(500), &[b'x'; 2000]] {
        let broker = Broker::start();
        let mut client = Client::connect(broker.port(), "observer");
        let (loud, quiet) = (Device::plug("loud"), Device::plug("quiet"));
        client.subscribe(&format!("becket/{}/+", quiet.name()));
        let gateway = start(&["--serial", loud.path(), "--serial", quiet.path(), "--broker", &broker.url()]);
        gateway.expect_stderr("subscribed", MARGIN);
        let stop = AtomicBool::new(false);
        thread::scope(|s| {
            s.spawn(|| loud.flood(flood, &stop));
            // In a scope of its own, which a failed test leaves with the flood stopped.
            let _stop = StopAtEnd(&stop);
            for n in 0..10 {
                thread::sleep(Duration::from_millis(100));
                quiet.say(&format!("n={n}\n"));
                assert_eq!(client.next(MARGIN), message(&quiet, "n", &n.to_string()));
            }
        });
        gateway.signal(Signal::TERM);
        let finished = gateway.finish(MARGIN);
        let sums = Sums::of(&finished);
        println!("{sums:?}, {} lines on standard error", finished.stderr.lines().count());
        assert!(finished.stderr.lines().count() < 500, "{} lines", finished.stderr.lines().count());
        assert!(sums.acknowledged >= 10, "{sums:?}");
    }
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn noise_is_passed_over() {
    let broker = Broker::start();
    let mut client = Client::connect(broker.port(), "observer");
    let device = Device::plug("noisy+\u{fdd0}");
    let name = device.name().replace(['+', '\u{fdd0}'], "_");
    client.subscribe("becket/+/+");
    let gateway = start(&["--serial", device.path(), "--broker", &broker.url()]);
    gateway.expect_stderr("subscribed", MARGIN);
    let mut noise = 1_u32;
    let bytes = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 24) as u8
    });
    device.say_bytes(&bytes.filter(|byte| *byte != b'=').take(3000).collect::<Vec<_>>());
    device.say_bytes(b"\n\0=1 \xff=1 +=1\n=\n \n\r\n");
    device.say("\u{ffff}=1 \u{85}=2 a/b=3 set=4 fine=5\n");
    let seen = client.next_that(MARGIN, |message| !message.topic.starts_with("becket/gateway/"));
    assert_eq!(seen, Message { topic: format!("becket/{name}/fine"), payload: "5".into() });
    gateway.signal(Signal::TERM);
    let sums = Sums::of(&gateway.finish(MARGIN));
    assert_eq!((sums.readings, sums.acknowledged), (1, 1), "{sums:?}");
}

#[test]
fn a_command_reaches_the_device_whole_or_not_at_all() {
    let broker = Broker::start();
    let mut client = Client::connect(broker.port(), "commander");
    let device = Device::plug("stuck");
    let gateway = start(&["--serial", device.path(), "--broker", &broker.url()]);
    gateway.expect_stderr("subscribed", MARGIN);
    let set = format!("becket/{}/set", device.name());
    client.publish(&set, &"x".repeat(4097));
    gateway.expect_stderr("too long, is refused", MARGIN);
    // More than the terminal holds, while nobody reads it.
    let letters = (b'A'..=b'Z').map(|letter| char::from(letter).to_string());
    for letter in letters.clone() {
        client.publish(&set, &letter.repeat(4000));
        thread::sleep(Duration::from_millis(20));
    }
    // Longer than a command may take to begin.
    thread::sleep(Duration::from_secs(7));
    let mut heard = Vec::new();
    let mut asked = false;
    while heard.last().is_none_or(|line| line != "after\n") {
        let lines = device.hear();
        heard.extend(lines.split_inclusive('\n').map(str::to_owned));
        // By then there is soon room again where commands wait.
        if heard.len() > 16 && !asked {
            asked = true;
            thread::sleep(Duration::from_millis(300));
            client.publish(&set, "after");
        }
    }
    heard.pop();
    let whole: Vec<_> = letters.map(|letter| letter.repeat(4000) + "\n").collect();
    println!("{} of {} commands were heard", heard.len(), whole.len());
    assert!(heard.iter().all(|line| whole.contains(line)), "{heard:?}");
    gateway.signal(Signal::TERM);
    let sums = Sums::of(&gateway.finish(MARGIN));
    assert_eq!(sums.commands, heard.len() as u64 + 1, "{sums:?}");
}

#[test]
fn a_device_that_hears_nothing_does_not_hold_up_the_end() {
    let broker = Broker::start();
    let mut client = Client::connect(broker.port(), "commander");
    let device = Device::plug("deaf");
    let gateway = start(&["--serial", device.path(), "--broker", &broker.url()]);
    gateway.expect_stderr("subscribed", MARGIN);
    for _ in 0..40 {
        client.publish(&format!("becket/{}/set", device.name()), &"x".repeat(4000));
    }
    gateway.expect_stderr("is lost: too many wait", MARGIN);
    gateway.signal(Signal::TERM);
    let asked = Instant::now();
    Sums::of(&gateway.finish(MARGIN));
    assert!(asked.elapsed() < Duration::from_secs(10), "it went on for {:?}", asked.elapsed());
}

#[test]
fn a_device_serves_one_gateway_alone() {
    let device = Device::plug("wanted");
    let broker = Broker::start();
    let first = start(&["--serial", device.path(), "--broker", &broker.url()]);
    first.expect_stderr("connected", MARGIN);
    let second = start(&["--serial", device.path(), "--broker", &broker.url()]).finish(MARGIN);
    assert_eq!(second.status.code(), Some(2), "{second:?}");
    assert!(second.stderr.contains(device.path()) && second.stderr.lines().count() == 1, "{second:?}");
    first.signal(Signal::TERM);
    Sums::of(&first.finish(MARGIN));
}
