//! GPIO lines and UARTs as kernels drive them, in the virtual machine that scripts/test-vm starts.

use crate::config::{File, of_broker};
use crate::{MARGIN, Sums, start};
use becket_sys::serial::Port;
use becket_sys::{Ready, wait};
use becket_tests::broker::Broker;
use becket_tests::mqtt::{Client, Message};
use becket_tests::program::Program;
use rustix::process::Signal;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

const PULLS: usize = 100;

/// The simulated chip.
struct Chip {
    device: PathBuf,
    base: usize,
}

impl Chip {
    /// `None` outside the virtual machine.
    fn find() -> Option<Chip> {
        let Some(device) = env::var_os("GPIO_SIM_DEV") else {
            println!("SKIP: no simulated GPIO chip here; scripts/test-vm has one");
            return None;
        };
        Some(Chip { device: device.into(), base: env::var("GPIO_SIM_BASE").unwrap().parse().unwrap() })
    }

    fn pull(&self, line: usize, up: bool) {
        let file = self.device.join(format!("sim_gpio{line}/pull"));
        fs::write(file, if up { "pull-up" } else { "pull-down" }).unwrap();
    }

    fn topic(&self, line: usize) -> String {
        format!("becket/gpio/{}", self.base + line)
    }

    fn is_exported(&self, line: usize) -> bool {
        PathBuf::from(format!("/sys/class/gpio/gpio{}", self.base + line)).exists()
    }
}

/// A gateway on these lines by sysfs, `LINE:EDGE` each, and somebody who hears what it says of them.
fn watching(chip: &Chip, lines: &[(usize, &str)]) -> (Broker, Client, Program) {
    let option = |(line, edge): &(usize, &str)| ["--gpio-sysfs".to_owned(), format!("{}:{edge}", chip.base + line)];
    watching_by(&lines.iter().flat_map(option).collect::<Vec<_>>())
}

/// The same with these options.
fn watching_by(options: &[String]) -> (Broker, Client, Program) {
    let broker = Broker::start();
    let mut client = Client::connect(broker.port(), "observer");
    client.subscribe("becket/gpio/+");
    let url = broker.url();
    let mut args = vec!["--for", "100s", "--broker", &*url];
    args.extend(options.iter().map(String::as_str));
    let gateway = start(&args);
    gateway.expect_stderr("gateway: connected", MARGIN);
    (broker, client, gateway)
}

fn edge(topic: &str, word: &str) -> Message {
    Message { topic: format!("becket/gpio/{topic}"), payload: word.into() }
}

#[test]
fn each_edge_becomes_a_message() {
    let Some(chip) = Chip::find() else { return };
    chip.pull(0, false);
    let (_broker, mut client, gateway) = watching(&chip, &[(0, "both")]);
    for _ in 0..PULLS {
        // Sysfs has no queue: the next change comes when this one has been heard of.
        for (up, word) in [(true, "rising"), (false, "falling")] {
            chip.pull(0, up);
            let message = client.next(MARGIN);
            assert_eq!((message.topic, &*message.payload), (chip.topic(0), word));
        }
    }
    gateway.signal(Signal::TERM);
    let sums = Sums::of(&gateway.finish(MARGIN));
    println!("{} edges heard of in {PULLS} pulls up and down; {sums:?}", 2 * PULLS);
    // Beside the readings of the simulated device, two fields each, and the heartbeats.
    assert!(sums.published >= 2 * sums.acknowledged + 2 * PULLS as u64, "{sums:?}");
    assert!(!chip.is_exported(0));
}

#[test]
fn lines_are_told_apart_and_only_the_edges_asked_for_are_heard_of() {
    let Some(chip) = Chip::find() else { return };
    let lines = [(1, "rising"), (2, "falling"), (3, "both")];
    lines.iter().for_each(|(line, _)| chip.pull(*line, false));
    let (_broker, mut client, gateway) = watching(&chip, &lines);
    for _ in 0..10 {
        for (line, words) in [(1, &["rising"][..]), (2, &["falling"]), (3, &["rising", "falling"])] {
            // Nobody watches this one.
            chip.pull(4, true);
            chip.pull(4, false);
            for up in [true, false] {
                chip.pull(line, up);
                let word = if up { "rising" } else { "falling" };
                if words.contains(&word) {
                    let message = client.next(MARGIN);
                    assert_eq!((message.topic, &*message.payload), (chip.topic(line), word));
                }
            }
        }
    }
    gateway.signal(Signal::INT);
    Sums::of(&gateway.finish(MARGIN));
}

#[test]
fn after_a_burst_the_last_message_tells_the_level() {
    let Some(chip) = Chip::find() else { return };
    [5, 6].iter().for_each(|line| chip.pull(*line, false));
    let (_broker, mut client, gateway) = watching(&chip, &[(5, "both"), (6, "rising")]);
    let changes = 501;
    for n in 0..changes {
        chip.pull(5, n % 2 == 0);
    }
    // Long after: nothing of the burst is under way any more when the other line is heard of.
    thread::sleep(Duration::from_secs(2));
    chip.pull(6, true);
    let messages: Vec<_> =
        std::iter::repeat_with(|| client.next(MARGIN)).take_while(|message| message.topic == chip.topic(5)).collect();
    println!("{changes} changes at once became {} messages", messages.len());
    assert!(messages.len() <= changes, "{} messages", messages.len());
    assert_eq!(messages.last().map(|message| &*message.payload), Some("rising"));
    gateway.signal(Signal::TERM);
    Sums::of(&gateway.finish(MARGIN));
}

#[test]
fn by_the_character_device_no_edge_is_left_out() {
    let Some(chip) = Chip::find() else { return };
    let label = env::var("GPIO_SIM_LABEL").unwrap();
    [1, 2].iter().for_each(|line| chip.pull(*line, false));
    let options =
        ["--gpio".to_owned(), format!("{label}:sim-line1"), "--gpio".to_owned(), format!("{label}:2:falling")];
    let (_broker, mut client, gateway) = watching_by(&options);
    let by_offset = format!("{label}-2");
    for _ in 0..PULLS {
        for (up, word) in [(true, "rising"), (false, "falling")] {
            chip.pull(1, up);
            assert_eq!(client.next(MARGIN), edge("sim-line1", word));
        }
        chip.pull(2, true);
        chip.pull(2, false);
        assert_eq!(client.next(MARGIN), edge(&by_offset, "falling"));
    }
    // It is ours: nobody else gets it.
    let refused = start(&["--gpio", &format!("{label}:1")]).finish(MARGIN);
    assert!(refused.status.code() == Some(2) && refused.stderr.contains("busy"), "{refused:?}");
    gateway.signal(Signal::TERM);
    Sums::of(&gateway.finish(MARGIN));
    for (line, wrong) in [("99", "the chip has lines 0 to 7"), ("no such line", "the chip has no line of that name")] {
        let refused = start(&["--gpio", &format!("{label}:{line}")]).finish(MARGIN);
        assert!(refused.status.code() == Some(2) && refused.stderr.contains(wrong), "{refused:?}");
    }
}

#[test]
fn lines_come_and_go_with_the_configuration_file() {
    let Some(chip) = Chip::find() else { return };
    let label = env::var("GPIO_SIM_LABEL").unwrap();
    [0, 3].iter().for_each(|line| chip.pull(*line, false));
    let broker = Broker::start();
    let mut client = Client::connect(broker.port(), "observer");
    client.subscribe("becket/gpio/+");
    let by_sysfs = format!("[[gpio]]\nsysfs = {}\nname = \"old\"\n", chip.base + 3);
    let by_chip =
        format!("[[gpio]]\nchip = \"{label}\"\nline = 0\nname = \"new\"\nactive-low = true\ndebounce = \"1ms\"\n");
    let file = File::new("lines", &(of_broker(&broker) + &by_sysfs));
    let gateway = file.start();
    gateway.expect_stderr("gateway: connected", MARGIN);
    chip.pull(3, true);
    assert_eq!(client.next(MARGIN), edge("old", "rising"));
    file.rename(&(of_broker(&broker) + &by_sysfs + &by_chip));
    gateway.expect_stderr("gateway: gpio new: added", MARGIN);
    // Long after it was asked for.
    thread::sleep(Duration::from_secs(1));
    chip.pull(0, true);
    assert_eq!(client.next(MARGIN), edge("new", "falling"));
    file.rename(&(of_broker(&broker) + &by_chip));
    gateway.expect_stderr("gateway: gpio old: removed", MARGIN);
    assert!(!chip.is_exported(3));
    chip.pull(0, false);
    assert_eq!(client.next(MARGIN), edge("new", "rising"));
    gateway.signal(Signal::TERM);
    Sums::of(&gateway.finish(MARGIN));
}

#[test]
fn a_line_that_somebody_unexports_leaves_the_others() {
    let Some(chip) = Chip::find() else { return };
    [6, 7].iter().for_each(|line| chip.pull(*line, false));
    let (_broker, mut client, gateway) = watching(&chip, &[(6, "both"), (7, "both")]);
    fs::write("/sys/class/gpio/unexport", (chip.base + 6).to_string()).unwrap();
    chip.pull(6, true);
    chip.pull(7, true);
    assert_eq!(client.next(MARGIN), Message { topic: chip.topic(7), payload: "rising".into() });
    gateway.signal(Signal::TERM);
    Sums::of(&gateway.finish(MARGIN));
    assert!(!chip.is_exported(7));
}

#[test]
fn a_uart_is_read_and_commanded_and_has_sent_everything_at_the_end() {
    let Some(pair) = env::var_os("SERIAL_PAIR") else {
        return println!("SKIP: no connected UARTs here; scripts/test-vm has two");
    };
    let (near, far) = pair.to_str().unwrap().split_once(':').unwrap();
    let far = Port::open(far, 115_200).unwrap();
    let broker = Broker::start();
    let mut client = Client::connect(broker.port(), "observer");
    client.subscribe("becket/ttyS1/+");
    let gateway = start(&["--serial", near, "--broker", &broker.url()]);
    gateway.expect_stderr("subscribed", MARGIN);
    assert_eq!(far.try_write(b"temp=21.5 hum=40\r\n").unwrap(), Some(18));
    for (field, value) in [("temp", "21.5"), ("hum", "40")] {
        let message = Message { topic: format!("becket/ttyS1/{field}"), payload: value.into() };
        assert_eq!(client.next(MARGIN), message);
    }
    // As much as goes out in the second that closing waits for it, on a slow machine, too; the UART holds 16 bytes.
    let command = "blink".repeat(200);
    client.publish("becket/ttyS1/set", &command);
    let mut heard = hear(&far);
    gateway.signal(Signal::TERM);
    while !heard.ends_with(b"\n") {
        heard.extend(hear(&far));
    }
    assert!(heard.strip_suffix(b"\n") == Some(command.as_bytes()), "{}", String::from_utf8_lossy(&heard));
    assert_eq!(Sums::of(&gateway.finish(MARGIN)).commands, 1);
}

fn hear(port: &Port) -> Vec<u8> {
    wait(port, Ready::READ, Some(Instant::now() + MARGIN)).unwrap().expect("more of the command");
    let mut bytes = [0; 256];
    let n = port.try_read(&mut bytes).unwrap().unwrap_or(0);
    bytes[..n].to_vec()
}
