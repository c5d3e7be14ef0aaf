//! The configuration file changes while the gateway runs.

use crate::config::{File, of_broker, of_device};
use crate::devices::message;
use crate::{MARGIN, Sums};
use becket_tests::broker::{Broker, free_port};
use becket_tests::device::Device;
use becket_tests::mqtt::Client;
use becket_tests::program::Program;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

fn observer(broker: &Broker) -> Client {
    let mut client = Client::connect(broker.port(), "observer");
    client.subscribe("becket/+/+");
    client
}

fn end(gateway: Program) -> Sums {
    gateway.signal(Signal::TERM);
    Sums::of(&gateway.finish(MARGIN))
}

/// Says `n=1`, `n=2` and so on, up to `n=COUNT`, within about the time.
fn count_up(device: &Device, numbers: std::ops::Range<u32>) {
    for n in numbers {
        device.say(&format!("n={n}\n"));
        sleep(Duration::from_millis(2));
    }
}

/// Takes the numbers that a device counts up to, from 0, until the last one has come.
fn numbers(client: &mut Client, device: &Device, last: u32) -> BTreeSet<u32> {
    let mut seen = BTreeSet::new();
    while !seen.contains(&last) {
        let next = client.next_that(MARGIN, |seen| seen.topic == message(device, "n", "").topic);
        seen.insert(next.payload.parse().unwrap());
    }
    seen
}

#[test]
fn devices_come_and_go_while_others_are_read() {
    let broker = Broker::start();
    let mut client = observer(&broker);
    let [first, second] = ["stays", "comes"].map(Device::plug);
    let with = |devices: &[&str]| of_broker(&broker) + &devices.concat();
    let (first_table, second_table) = (of_device(&first, ""), of_device(&second, ""));
    let file = File::new("come-and-go", &with(&[&first_table]));
    let gateway = file.start();
    gateway.expect_stderr("connected", MARGIN);

    std::thread::scope(|s| {
        s.spawn(|| count_up(&first, 0..2000));
        file.rename(&with(&[&first_table, &second_table]));
        gateway.expect_stderr(&format!("gateway: {}: added", second.name()), MARGIN);
        count_up(&second, 0..100);
        assert_eq!(numbers(&mut client, &second, 99).len(), 100);
        client.publish(&format!("becket/{}/set", second.name()), "go");
        assert_eq!(second.hear(), "go\n");
        // What it has said goes out, though it is gone.
        count_up(&second, 100..200);
        sleep(Duration::from_millis(200));
        file.rename(&with(&[&first_table]));
        gateway.expect_stderr(&format!("gateway: {}: removed", second.name()), MARGIN);
        assert_eq!(numbers(&mut client, &second, 199).len(), 100);
        // Another may have it now.
        let port = becket_sys::serial::Port::open(second.path(), 9600).unwrap();
        drop(port);
    });
    client.publish(&format!("becket/{}/set", first.name()), "still there");
    assert_eq!(first.hear(), "still there\n");
    sleep(Duration::from_millis(500));
    let sums = end(gateway);
    assert_eq!((sums.readings, sums.dropped, sums.commands), (2200, 0, 2), "{sums:?}");
}

#[test]
fn what_differs_is_changed_and_nothing_else() {
    let broker = Broker::start();
    let mut client = observer(&broker);
    let [slow, other] = ["slow", "other"].map(Device::plug);
    let with = |more: &str| of_broker(&broker) + &of_device(&slow, more) + &of_device(&other, "");
    let file = File::new("differs", &with(""));
    let gateway = file.start();
    gateway.expect_stderr("connected", MARGIN);
    slow.say("a=1\n");
    client.next_that(MARGIN, |seen| *seen == message(&slow, "a", "1"));

    file.overwrite(&with(
        "baud = 9600\nname = \"slow\"\ntopic = \"becket/fast\"\n[[device.field]]\nname = \"a\"\nscale = 2.0",
    ));
    gateway.expect_stderr("gateway: slow: added", MARGIN);
    slow.say("a=1\n");
    client.next_that(MARGIN, |seen| (&*seen.topic, &*seen.payload) == ("becket/fast/a", "2"));
    // In the middle of a line.
    slow.say("lost=1 a=");
    file.overwrite(&with("baud = 2400\nname = \"slow\"\ntopic = \"becket/other-topic\""));
    gateway.expect_stderr("gateway: slow: changed", MARGIN);
    gateway.expect_stderr("subscribed to becket/other-topic/set", MARGIN);
    slow.say("3\n");
    client.next_that(MARGIN, |seen| (&*seen.topic, &*seen.payload) == ("becket/other-topic/lost", "1"));
    client.next_that(MARGIN, |seen| (&*seen.topic, &*seen.payload) == ("becket/other-topic/a", "3"));
    client.publish("becket/other-topic/set", "here");
    assert_eq!(slow.hear(), "here\n");

    // What cannot be is said; and the rest is done.
    file.overwrite(&("store = \"owed\"\nqueue = 7\n".to_owned() + &with("").replace(&broker.url(), "embedded")));
    for what in ["`store`", "`queue`", "that the broker is, or is not, one of the gateway's own"] {
        gateway.expect_stderr(&format!("{what} cannot change while the gateway runs"), MARGIN);
    }
    gateway.expect_stderr("gateway: slow: removed", MARGIN);
    gateway.signal(Signal::HUP);
    gateway.expect_stderr("it asks for nothing new", MARGIN);
    other.say("b=1\n");
    client.next_that(MARGIN, |seen| *seen == message(&other, "b", "1"));
    let finished = {
        gateway.signal(Signal::TERM);
        gateway.finish(MARGIN)
    };
    let sums = Sums::of(&finished);
    assert_eq!((sums.readings, sums.dropped, sums.reconnects), (4, 0, 0), "{sums:?}");
    assert!(!finished.stderr.contains("other: "), "{finished:?}");
}

#[test]
fn a_broken_file_is_refused_and_everything_goes_on_until_it_is_mended() {
    let broker = Broker::start();
    let mut client = observer(&broker);
    let [first, second] = ["whole", "mended"].map(Device::plug);
    let good = of_broker(&broker) + &of_device(&first, "");
    let file = File::new("broken", &good);
    let gateway = file.start();
    gateway.expect_stderr("connected", MARGIN);

    let lines = good.lines().count();
    file.overwrite(&format!("{good}[[device]\n"));
    gateway.expect_stderr(&format!("gateway: {}:{}: invalid table header", file.path(), lines + 1), MARGIN);
    file.rename(&format!("{good}\nwhat = 1\n"));
    let refused = format!("gateway: {}:{}: unknown field `what`", file.path(), lines + 2);
    assert!(gateway.expect_stderr(&refused, MARGIN).ends_with("; the settings stay as they are"));
    fs::remove_file(&file.path).unwrap();
    gateway.expect_stderr("gateway.toml: No such file or directory (os error 2); the settings stay", MARGIN);
    first.say("a=1\n");
    client.next_that(MARGIN, |seen| *seen == message(&first, "a", "1"));

    file.overwrite(&(good + &of_device(&second, "")));
    gateway.expect_stderr(&format!("gateway: {}: added", second.name()), MARGIN);
    second.say("a=2\n");
    client.next_that(MARGIN, |seen| *seen == message(&second, "a", "2"));
    let sums = end(gateway);
    assert_eq!((sums.readings, sums.acknowledged), (2, 2), "{sums:?}");
}

/// As kubernetes does it: the file is a link through a link to a folder, and that one is replaced.
#[test]
fn a_file_behind_links_is_followed() {
    let broker = Broker::start();
    let mut client = observer(&broker);
    let [first, second] = ["link-one", "link-two"].map(Device::plug);
    let file = File::new("links", "");
    fs::remove_file(&file.path).unwrap();
    let version = |name: &str, device: &Device| {
        fs::create_dir(file.folder.join(name)).unwrap();
        fs::write(file.folder.join(name).join("gateway.toml"), of_broker(&broker) + &of_device(device, "")).unwrap();
        file.link(name, "..data");
    };
    version("..1", &first);
    file.link("..data/gateway.toml", "gateway.toml");
    let gateway = file.start();
    gateway.expect_stderr("connected", MARGIN);
    for (name, device, before) in [("..2", &second, &first), ("..3", &first, &second)] {
        version(name, device);
        fs::remove_dir_all(file.folder.join(if name == "..2" { "..1" } else { "..2" })).unwrap();
        gateway.expect_stderr(&format!("gateway: {}: removed", before.name()), MARGIN);
        gateway.expect_stderr(&format!("gateway: {}: added", device.name()), MARGIN);
        device.say(&format!("v={name}\n"));
        client.next_that(MARGIN, |seen| *seen == message(device, "v", name));
    }
    // In place, where the links lead to.
    fs::write(file.folder.join("..3/gateway.toml"), of_broker(&broker)).unwrap();
    sleep(Duration::from_millis(300));
    let sums = end(gateway);
    assert_eq!((sums.readings, sums.acknowledged), (2, 2), "{sums:?}");
}

/// Readings flow while the gateway is sent from one broker, of which something becomes before, to another: each reading
/// is at one of them.
fn moved(name: &str, becomes: Option<fn(&mut Broker)>, more: &str) {
    let [mut from, to] = [Broker::start(), Broker::start()];
    let [mut before, mut after] = [&from, &to].map(observer);
    let device = Device::plug(name);
    let with = |broker: &Broker| format!("{more}{}{}", of_broker(broker), of_device(&device, ""));
    let file = File::new(name, &with(&from));
    let gateway = file.start();
    gateway.expect_stderr("connected", MARGIN);
    std::thread::scope(|s| {
        s.spawn(|| count_up(&device, 0..1000));
        sleep(Duration::from_millis(500));
        if let Some(becomes) = becomes {
            becomes(&mut from);
            sleep(Duration::from_millis(500));
        }
        file.rename(&with(&to));
        gateway.expect_stderr(&format!("broker at {} from now on", to.url()), MARGIN);
    });
    let at_last = numbers(&mut after, &device, 999);
    if becomes.is_none() {
        let first = *at_last.first().unwrap();
        let at_first = numbers(&mut before, &device, first.saturating_sub(1));
        assert_eq!((at_first.first(), at_first.union(&at_last).count()), (Some(&0), 1000), "from {first} on");
    }
    let commands = format!("becket/{}/set", device.name());
    after.publish(&commands, "here");
    assert_eq!(device.hear(), "here\n");
    let sums = end(gateway);
    assert_eq!((sums.readings, sums.acknowledged, sums.reconnects), (1000, 1000, 0), "{sums:?}");
}

#[test]
fn a_broker_is_changed_for_another_and_nothing_is_lost() {
    moved("moved", None, "");
}

#[test]
fn what_a_dead_broker_did_not_take_goes_to_another() {
    moved("dead", Some(Broker::kill), "");
}

#[test]
fn what_a_frozen_broker_does_not_answer_goes_to_another() {
    moved("frozen", Some(|broker| broker.freeze()), "");
}

#[test]
fn what_is_kept_for_a_dead_broker_goes_to_another() {
    moved("kept", Some(Broker::kill), "store = \"owed\"\n");
}

#[test]
fn files_that_the_file_names_are_followed_too() {
    let broker = Broker::start();
    let with = |more: &str| of_broker(&broker) + "user = \"u\"\npassword-file = \"password\"\n" + more;
    let file = File::new("named", "");
    fs::write(file.folder.join("password"), "one\n").unwrap();
    file.rename(&with(""));
    let gateway = file.start();
    gateway.expect_stderr("connected", MARGIN);
    fs::write(file.folder.join("password.new"), "two").unwrap();
    fs::rename(file.folder.join("password.new"), file.folder.join("password")).unwrap();
    gateway.expect_stderr("gateway.toml: taken over", MARGIN);
    fs::remove_file(file.folder.join("password")).unwrap();
    let gone = format!("gateway.toml:4: {}: No such file", file.folder.join("password").display());
    gateway.expect_stderr(&gone, MARGIN);
    assert_eq!(end(gateway).reconnects, 0);
}

#[test]
fn what_a_wrong_address_was_given_goes_to_the_right_one() {
    let [from, to] = [Broker::start(), Broker::start()];
    let [mut before, mut after] = [&from, &to].map(observer);
    let device = Device::plug("detour");
    let with = |url: &str| format!("http = 0\n[broker]\nurl = \"{url}\"\n{}", of_device(&device, ""));
    let file = File::new("detour", &with(&from.url()));
    let gateway = file.start();
    gateway.expect_stderr("connected", MARGIN);
    count_up(&device, 0..10);
    assert_eq!(numbers(&mut before, &device, 9).len(), 10);
    for _ in 0..3 {
        let nobody = format!("mqtt://127.0.0.1:{}", free_port());
        file.rename(&with(&nobody));
        gateway.expect_stderr(&format!("broker at {nobody} from now on"), MARGIN);
        count_up(&device, 10..200);
    }
    file.rename(&with(&to.url()).replace("http = 0", "http = 1"));
    gateway.expect_stderr("`http` cannot change while the gateway runs", MARGIN);
    assert_eq!(numbers(&mut after, &device, 199).len(), 190);
    sleep(Duration::from_millis(500));
    let sums = end(gateway);
    assert_eq!((sums.readings, sums.acknowledged, sums.reconnects), (580, 580, 0), "{sums:?}");
}

#[test]
fn a_broker_that_cannot_be_left_is_spoken_to_as_before() {
    let broker = Broker::start();
    let mut client = observer(&broker);
    let device = Device::plug("not-left");
    let with = |broker: &str| broker.to_owned() + &of_device(&device, "");
    let file = File::new("not-left", &with(&(of_broker(&broker) + "user = \"u\"\npassword = \"p\"\nkeepalive = 60\n")));
    let gateway = file.start();
    gateway.expect_stderr("connected", MARGIN);
    file.overwrite(&with("[broker]\nurl = \"embedded\"\ntopic-prefix = \"becket/x\"\n"));
    gateway.expect_stderr("that the broker is, or is not, one of the gateway's own", MARGIN);
    client.subscribe("becket/x/+/a");
    gateway.expect_stderr(&format!("gateway: {}: changed", device.name()), MARGIN);
    device.say("a=1\n");
    client.next_that(MARGIN, |seen| (&*seen.topic, &*seen.payload) == (&*format!("becket/x/{}/a", device.name()), "1"));
    gateway.signal(Signal::TERM);
    let finished = gateway.finish(MARGIN);
    Sums::of(&finished);
    assert_eq!(finished.stderr.matches("gateway: connected\n").count(), 1, "{finished:?}");
}

#[test]
fn a_folder_that_comes_late_is_seen_however_busy_another_one_is() {
    let broker = Broker::start();
    let file = File::new("late", &of_broker(&broker));
    let gateway = file.start();
    gateway.expect_stderr("connected", MARGIN);
    std::thread::scope(|s| {
        s.spawn(|| {
            for _ in 0..100 {
                fs::write(file.folder.join("busy"), "").unwrap();
                sleep(Duration::from_millis(100));
            }
        });
        file.rename(&(of_broker(&broker) + "user = \"u\"\npassword-file = \"late/password\"\n"));
        gateway.expect_stderr("late/password: No such file", MARGIN);
        fs::create_dir(file.folder.join("late")).unwrap();
        fs::write(file.folder.join("late/password"), "p").unwrap();
        // Before the other files are at rest.
        gateway.expect_stderr("gateway.toml: taken over", Duration::from_secs(5));
    });
    end(gateway);
}

#[test]
fn what_a_device_says_stays_in_order_though_it_is_removed_and_added_meanwhile() {
    let broker = Broker::start();
    let mut client = observer(&broker);
    let device = Device::plug("again");
    let (without, with) = (of_broker(&broker), of_broker(&broker) + &of_device(&device, ""));
    let file = File::new("again", &with);
    let gateway = file.start();
    gateway.expect_stderr("subscribed", MARGIN);
    broker.freeze();
    // More than the client takes.
    count_up(&device, 0..300);
    sleep(Duration::from_millis(200));
    for (text, what) in [(&without, "removed"), (&with, "added")] {
        file.rename(text);
        gateway.expect_stderr(&format!("gateway: {}: {what}", device.name()), MARGIN);
    }
    count_up(&device, 300..500);
    broker.thaw();
    for n in 0..500 {
        let next = client.next_that(MARGIN, |seen| seen.topic == message(&device, "n", "").topic);
        assert_eq!(next.payload, n.to_string());
    }
    let sums = end(gateway);
    assert_eq!((sums.readings, sums.dropped), (500, 0), "{sums:?}");
}
