//! What the gateway is told by a file.

use crate::bad_input::check;
use crate::devices::message;
use crate::{MARGIN, Sums, start};
use becket_tests::broker::Broker;
use becket_tests::device::Device;
use becket_tests::examples::workspace;
use becket_tests::mqtt::{Client, Message};
use becket_tests::program::Program;
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A configuration file in a folder of its own.
pub(crate) struct File {
    pub(crate) folder: PathBuf,
    pub(crate) path: PathBuf,
}

impl File {
    pub(crate) fn new(name: &str, text: &str) -> File {
        let folder = std::env::temp_dir().join(format!("becket-config-{}-{name}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let path = folder.join("gateway.toml");
        fs::write(&path, text).unwrap();
        File { folder, path }
    }

    /// As an editor does it that writes another file and renames it.
    pub(crate) fn rename(&self, text: &str) {
        let new = self.folder.join("gateway.toml.new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &self.path).unwrap();
    }

    /// As an editor does it that writes the same file anew.
    pub(crate) fn overwrite(&self, text: &str) {
        fs::write(&self.path, text).unwrap();
    }

    /// Has the link `name` lead to `target`, without a moment in which there is none.
    pub(crate) fn link(&self, target: &str, name: &str) {
        let new = self.folder.join("new link");
        symlink(target, &new).unwrap();
        fs::rename(new, self.folder.join(name)).unwrap();
    }

    pub(crate) fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// A gateway that runs by it.
    pub(crate) fn start(&self) -> Program {
        start(&["--config", self.path()])
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The table of a broker.
pub(crate) fn of_broker(broker: &Broker) -> String {
    format!("[broker]\nurl = \"{}\"\n", broker.url())
}

/// The table of a device, with more keys.
pub(crate) fn of_device(device: &Device, more: &str) -> String {
    format!("[[device]]\npath = \"{}\"\n{more}\n", device.path())
}

#[test]
fn the_example_is_right_and_a_wrong_file_is_refused_with_its_line() {
    let example = workspace().join("examples/gateway/gateway.toml");
    let fine = start(&["--check-config", "--config", example.to_str().unwrap()]).finish(MARGIN);
    assert_eq!(fine.status.code(), Some(0), "{fine:?}");
    assert_eq!(fine.stdout, format!("{}: 2 devices, 1 GPIO lines, nothing is wrong\n", example.display()));

    let file = File::new("wrong", "");
    for (text, wrong) in [
        ("[broker]\nurl = mqtt://host\n", ":2: "),
        ("[[device]]\npath = \"/dev/a\"\nspeed = 9600\n", ":3: unknown field `speed`"),
        ("[[device]]\npath = \"/dev/a\"\n\n[[device]]\npath = \"/dev/a\"\n", ":5: the device /dev/a is there twice"),
    ] {
        file.overwrite(text);
        let named = &[file.path(), wrong][..];
        check(&["--config", file.path(), "--check-config"], named);
        check(&["--config", file.path()], named);
    }
    check(&["--config", "/there/is/none"], &["/there/is/none: No such file or directory"]);
    check(&["--config", file.path(), "--queue", "5"], &["--queue: not beside --config"]);
}

#[test]
fn a_file_says_what_becomes_of_each_field() {
    let broker = Broker::start();
    let mut client = Client::connect(broker.port(), "observer");
    client.subscribe("#");
    let device = Device::plug("fields");
    let fields = "topic = \"house/heating\"\nstop-bits = 2\n\
        [[device.field]]\nname = \"t\"\ntopic = \"flow/temp\"\nscale = 0.1\nunit = \"°C\"\n\
        [[device.field]]\nname = \"n\"\ndeadband = 2.0";
    let file = File::new(
        "fields",
        &(of_broker(&broker) + "topic-prefix = \"plant\"\nqos = 2\n" + &of_device(&device, fields)),
    );
    let gateway = file.start();
    gateway.expect_stderr("subscribed to house/heating/set", MARGIN);
    device.say("t=215 other=1 n=1\nother=2\nn=2\nn=3\n");
    let mut next = || client.next_that(MARGIN, |message| !message.topic.ends_with("/heartbeat"));
    for (topic, payload) in [("flow/temp", "21.5 °C"), ("n", "1"), ("n", "3")] {
        assert_eq!(next(), Message { topic: format!("house/heating/{topic}"), payload: payload.into() });
    }
    client.next_that(MARGIN, |message| message.topic == "plant/gateway/heartbeat");
    client.publish("house/heating/set", "on");
    assert_eq!(device.hear(), "on\n");
    gateway.signal(Signal::TERM);
    let sums = Sums::of(&gateway.finish(MARGIN));
    assert_eq!((sums.readings, sums.acknowledged, sums.commands), (4, 4, 1), "{sums:?}");
}

#[test]
fn a_device_that_is_not_there_is_waited_for() {
    let broker = Broker::start();
    let mut client = Client::connect(broker.port(), "observer");
    client.subscribe("becket/+/+");
    let mut device = Device::plug("late");
    device.unplug();
    let file = File::new("late", &(of_broker(&broker) + &of_device(&device, "")));
    let gateway = file.start();
    gateway.expect_stderr("No such file or directory (os error 2); trying again", MARGIN);
    device.plug_again();
    device.say("a=1\n");
    client.next_that(MARGIN, |seen| *seen == message(&device, "a", "1"));
    gateway.signal(Signal::TERM);
    Sums::of(&gateway.finish(MARGIN));
    assert!(Path::new(device.path()).exists());
}
