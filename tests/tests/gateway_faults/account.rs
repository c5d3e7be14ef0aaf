//! What reached the broker, by the account of a subscriber that knows nothing of the gateway's.

use becket_tests::mqtt::{Client, Message};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// The fields that a reading of a device here has; each carries the number of the reading.
pub const FIELDS: [&str; 2] = ["n", "check"];

/// The line that is the reading of that number.
pub fn reading(device: usize, number: u64) -> String {
    format!("n={number} check={}\n", check(device, number))
}

/// What else than a number would be the same in a message that was taken for another.
fn check(device: usize, number: u64) -> String {
    let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(device as u32);
    format!("{number}-{:08x}", mixed as u32)
}

/// What one device's readings have come to.
#[derive(Debug, Default, Clone)]
struct OfDevice {
    /// For each number the fields that have arrived, as bits.
    arrived: Vec<u8>,
    messages: u64,
    /// The highest number that has arrived whole.
    last: Option<u64>,
    /// First arrivals behind that of a later number.
    late: u64,
}

#[derive(Debug, Default)]
struct Seen {
    devices: HashMap<String, (usize, OfDevice)>,
    heartbeats: u64,
    strange: Vec<Message>,
}

/// The sums of a device.
#[derive(Debug, Clone, Copy, Default)]
pub struct Arrived {
    /// Readings that arrived whole, each counted once.
    pub readings: u64,
    /// Readings of which some field arrived.
    pub begun: u64,
    pub messages: u64,
    pub late: u64,
    /// The highest number of a reading that arrived whole.
    pub last: Option<u64>,
}

/// The account.
pub struct Account {
    seen: Arc<Mutex<Seen>>,
    subscriber: Option<JoinHandle<()>>,
}

impl Account {
    /// Of the devices of these names.
    pub fn new<'a>(devices: impl Iterator<Item = &'a str>) -> Account {
        let devices = devices.enumerate().map(|(n, name)| (name.to_owned(), (n, OfDevice::default()))).collect();
        Account { seen: Arc::new(Mutex::new(Seen { devices, ..Seen::default() })), subscriber: None }
    }

    /// Takes down what the broker on this port publishes, until it ends. At QoS 0: it writes each message to us before
    /// it acknowledges it, as long as there is room for it, and never meets a byte of ours that it has not read, so that
    /// what it wrote arrives even where it is killed.
    pub fn subscribe(&mut self, port: u16) {
        let mut client = Client::connect(port, "account");
        client.receive_much();
        client.subscribe_at("becket/+/+", 0);
        let seen = self.seen.clone();
        self.subscriber = Some(thread::spawn(move || {
            client.listen(|message| seen.lock().unwrap().take(message));
        }));
    }

    /// Waits until all is taken down that a broker left which has ended.
    pub fn finish(&mut self) {
        if let Some(subscriber) = self.subscriber.take() {
            subscriber.join().expect("the subscriber");
        }
    }

    pub fn of(&self, device: &str) -> Arrived {
        let seen = self.seen.lock().unwrap();
        let (_, of) = &seen.devices[device];
        let whole = (1 << FIELDS.len()) - 1;
        Arrived {
            readings: of.arrived.iter().filter(|&&fields| fields == whole).count() as u64,
            begun: of.arrived.iter().filter(|&&fields| fields != 0).count() as u64,
            messages: of.messages,
            late: of.late,
            last: of.last,
        }
    }

    pub fn heartbeats(&self) -> u64 {
        self.seen.lock().unwrap().heartbeats
    }

    /// Messages that no device here can have caused.
    pub fn strange(&self) -> Vec<Message> {
        self.seen.lock().unwrap().strange.clone()
    }
}

impl Seen {
    fn take(&mut self, message: Message) {
        let mut levels = message.topic.split('/').skip(1);
        let (device, field) = (levels.next().unwrap_or(""), levels.next().unwrap_or(""));
        if (device, field) == ("gateway", "heartbeat") {
            self.heartbeats += 1;
            return;
        }
        if field == "set" {
            return;
        }
        let known = self.devices.get_mut(device).and_then(|(n, of)| of.take(*n, field, &message.payload));
        if known.is_none() && self.strange.len() < 20 {
            self.strange.push(message);
        }
    }
}

impl OfDevice {
    /// Takes down a field; `None` where no reading of the device has it.
    fn take(&mut self, device: usize, field: &str, value: &str) -> Option<()> {
        let bit = 1 << FIELDS.iter().position(|known| *known == field)?;
        let number: u64 = value.split('-').next()?.parse().ok().filter(|&n| n < 1 << 32)?;
        if field == "check" && value != check(device, number) {
            return None;
        }
        let at = number as usize;
        if self.arrived.len() <= at {
            self.arrived.resize(at + 1, 0);
        }
        self.messages += 1;
        let before = self.arrived[at];
        self.arrived[at] |= bit;
        if before == 0 && self.last.is_some_and(|last| last > number) {
            self.late += 1;
        }
        if self.arrived[at].count_ones() as usize == FIELDS.len() {
            self.last = self.last.max(Some(number));
        }
        Some(())
    }
}
