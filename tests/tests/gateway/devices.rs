//! Serial devices, played by pseudoterminals of the test.

use crate::{MARGIN, Sums, start};
use becket_sys::pty::Controller;
use becket_sys::{Ready, wait};
use becket_tests::broker::Broker;
use becket_tests::mqtt::{Client, Message};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Instant;

/// A device at a path that stays the same when it is unplugged and plugged in again.
struct Device {
    path: PathBuf,
    controller: Option<Controller>,
}

impl Device {
    fn plug(name: &str) -> Device {
        let path = std::env::temp_dir().join(format!("becket-{}-{name}", std::process::id()));
        let mut device = Device { path, controller: None };
        device.plug_again();
        device
    }

    fn plug_again(&mut self) {
        let controller = Controller::open().unwrap();
        symlink(controller.terminal_path().unwrap(), &self.path).unwrap();
        self.controller = Some(controller);
    }

    fn unplug(&mut self) {
        fs::remove_file(&self.path).unwrap();
        self.controller = None;
    }

    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    fn name(&self) -> &str {
        self.path.file_name().unwrap().to_str().unwrap()
    }

    fn say(&self, line: &str) {
        let controller = self.controller.as_ref().unwrap();
        assert_eq!(controller.try_write(line.as_bytes()).unwrap(), Some(line.len()));
    }

    /// What was written to the device, up to a line end.
    fn hear(&self) -> String {
        let controller = self.controller.as_ref().unwrap();
        let deadline = Instant::now() + MARGIN;
        let mut heard = Vec::new();
        while !heard.ends_with(b"\n") {
            wait(controller, Ready::READ, Some(deadline)).unwrap().expect("a line for the device");
            let mut bytes = [0; 256];
            if let Some(n) = controller.try_read(&mut bytes).unwrap() {
                heard.extend_from_slice(&bytes[..n]);
            }
        }
        String::from_utf8(heard).unwrap()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn message(device: &Device, field: &str, payload: &str) -> Message {
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
