//! A broker behind a proxy, and what goes wrong with them.

use crate::account::Account;
use crate::proxy::{Act, Instead, Pace, Place, Proxy, Script, Way};
use becket_tests::broker::Broker;
use becket_tests::mqtt::Client;
use becket_tests::random::Random;
use std::thread::sleep;
use std::time::Duration;

/// MQTT's kinds of packets that something happens to.
const CONNECT: u8 = 1;
const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;

/// What was done so far.
#[derive(Debug, Default)]
pub struct Done {
    pub killed: u64,
    pub frozen: u64,
    pub cut: u64,
    pub within_packets: u64,
    pub holes: u64,
    pub refused: u64,
    pub slow: u64,
    pub commands: u64,
}

pub struct Faulty {
    broker: Broker,
    /// Whether it is one that writes what it has to say before it acknowledges: then it may be killed.
    may_die: bool,
    is_there: bool,
    proxy: Proxy,
    url: String,
    account: Account,
    pub told: Done,
}

impl Faulty {
    pub fn start(account: Account) -> Faulty {
        // A queue of any length for the account, which a busy machine may keep from reading for a while.
        let mosquitto = Broker::start_configured("max_queued_messages 0");
        let may_die = mosquitto.is_some();
        let broker = mosquitto.unwrap_or_else(Broker::embedded);
        let proxy = Proxy::new(broker.port());
        let url = proxy.url();
        let mut faulty = Faulty { broker, may_die, is_there: true, proxy, url, account, told: Done::default() };
        faulty.account.subscribe(faulty.broker.port());
        faulty
    }

    /// Where the gateway finds it.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn account(&self) -> &Account {
        &self.account
    }

    /// One fault at random, and what follows from it, for so long at most.
    pub fn spoil(&mut self, random: &mut Random, most: Duration) {
        let wait = |time: Duration| sleep(time.min(most));
        match random.within(0..if self.may_die { 10 } else { 9 }) {
            0 | 1 => wait(random.millis(200..3000)),
            2 => {
                self.told.cut += 1;
                self.proxy.end_all(if random.within(0..2) == 0 { &Act::Cut } else { &Act::Reset });
            }
            3 | 4 => {
                self.told.within_packets += 1;
                let act = match random.within(0..4) {
                    0 => Act::Cut,
                    1 => Act::HalfClose,
                    2 => Act::Hold(random.millis(100..2000)),
                    _ => Act::Reset,
                };
                self.anew(Script::act(place(random), act));
            }
            5 => {
                self.told.holes += 1;
                self.anew(Script::act(place(random), Act::BlackHole));
                // Often until the keep-alive tells.
                wait(random.millis(1000..15_000));
            }
            6 => {
                self.told.refused += 1;
                let instead = if random.within(0..2) == 0 { Instead::Refuse } else { Instead::Silence };
                self.anew(Script::instead(instead));
                wait(random.millis(500..4000));
                self.proxy.end_all(&Act::Cut);
            }
            7 => {
                self.told.slow += 1;
                let pace = match random.within(0..3) {
                    0 => Pace::Bytes(Duration::from_micros(random.within(50..500))),
                    1 => Pace::Batch(random.millis(10..200)),
                    _ => Pace::Late(random.millis(10..300)),
                };
                self.anew(Script::pace(pace));
                wait(random.millis(500..5000));
            }
            8 => {
                self.told.frozen += 1;
                self.broker.freeze();
                wait(random.millis(200..5000));
                self.broker.thaw();
            }
            _ => {
                self.told.killed += 1;
                self.leave();
                wait(random.millis(50..4000));
                self.come_back();
            }
        }
        wait(random.millis(50..1500));
        self.proxy.forget_passed();
    }

    /// Commands for devices of these names, from somebody whose connection nothing happens to.
    pub fn command(&mut self, random: &mut Random, devices: &[String]) {
        let mut client = Client::connect(self.broker.port(), "commander");
        for _ in 0..random.within(1..30) {
            self.told.commands += 1;
            let device = &devices[random.within(0..devices.len() as u64) as usize];
            let text = "x".repeat(random.within(1..4000) as usize);
            client.publish(&format!("becket/{device}/set"), &text);
        }
    }

    /// A new connection meets this; the present one is cut.
    fn anew(&self, script: Script) {
        self.proxy.script([script]);
        self.proxy.end_all(&Act::Cut);
    }

    /// The broker is killed, and connections to it are reset.
    pub fn leave(&mut self) {
        self.is_there = false;
        self.proxy.lead_to(0);
        self.broker.kill();
        self.proxy.end_all(&Act::Reset);
        self.account.finish();
    }

    /// It is there again; the account first, so that it misses nothing.
    fn come_back(&mut self) {
        self.broker.restart();
        self.account.subscribe(self.broker.port());
        self.proxy.lead_to(self.broker.port());
        self.is_there = true;
    }

    /// Everything is well, and stays so.
    pub fn mend(&mut self) {
        self.proxy.script_no_more();
        if self.is_there {
            self.proxy.end_all(&Act::Cut);
        } else {
            self.come_back();
        }
    }
}

fn place(random: &mut Random) -> Place {
    let (way, kind) = match random.within(0..6) {
        0 => (Way::Up, CONNECT),
        1 => (Way::Down, CONNACK),
        2 | 3 => (Way::Down, PUBACK),
        _ => (Way::Up, PUBLISH),
    };
    let nth = if kind > CONNACK { random.within(0..60) as usize } else { 0 };
    // Acknowledgements have four bytes; the others more than ten.
    Place { way, kind, nth, bytes: random.within(0..if way == Way::Down { 5 } else { 12 }) as usize }
}
