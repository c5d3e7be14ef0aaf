//! The gateway while everything around it fails at random: at the end its books must agree with what an independent
//! subscriber saw, and with what the devices said; memory, descriptors and processor time are watched meanwhile.
//!
//! It goes on for 20 s, or for as many seconds as the environment variable `BECKET_LONG` says. The seed is printed
//! first;
//! `BECKET_SEED` repeats one, as far as threads and kernel let it.

#![allow(unreachable_pub, reason = "a program has no outside")]

mod account;
mod broker;
mod config;
mod device;
mod disk;
mod page;
#[path = "../../../mosquitto-glue/tests/support/proxy.rs"]
#[allow(dead_code, reason = "the tests of MQTT use more of it")]
mod proxy;
mod watch;

use crate::account::{Account, Arrived};
use crate::broker::Faulty;
use crate::config::Config;
use crate::device::{Chatter, Told};
use crate::disk::Disk;
use crate::page::Page;
use crate::watch::Watch;
use becket_tests::program::Program;
use becket_tests::{examples, random::Random};
use rustix::process::Signal;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long what must come may take, on a busy machine: all that waits in the store comes before it.
const PATIENCE: Duration = Duration::from_secs(180);

/// How many devices there are; the first is never pulled out.
const DEVICES: usize = 4;

/// How many readings of a device may wait: few, so that some are dropped.
const QUEUE: u32 = 300;

fn time_to_run() -> Duration {
    let given = std::env::var("BECKET_LONG").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(given.unwrap_or(20).max(20))
}

#[test]
fn the_books_balance_whatever_fails() {
    let mut random = Random::seeded();
    let time = time_to_run();
    let mut chatters: Vec<_> =
        (0..DEVICES).map(|n| Chatter::plug(n, &format!("faults-{n}"), random.branch(), n > 0)).collect();
    let names: Vec<_> = chatters.iter().map(|chatter| chatter.device.name().to_owned()).collect();
    let mut broker = Faulty::start(Account::new(names.iter().map(String::as_str)));

    let mut disk = Disk::new(std::env::temp_dir().join(format!("becket-{}-disk", std::process::id())));
    let folder = std::env::temp_dir().join(format!("becket-{}-config", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let head = format!(
        "queue = {QUEUE}\nstore = {:?}\nhttp = 0\n\n[broker]\nurl = {:?}\nkeepalive = 5\n",
        disk.folder().join("owed"),
        broker.url(),
    );
    let paths = chatters.iter().map(|chatter| (chatter.device.name().to_owned(), chatter.device.path().to_owned()));
    let mut config = Config::new(&folder, head, paths);

    let mut command = disk.command(examples::path("gateway"));
    command.arg("--config").arg(&config.path);
    let gateway = Program::spawn(command);
    let mut page = Page::at(&gateway.expect_stderr("page at ", PATIENCE));
    gateway.expect_stderr("connected", PATIENCE);
    gateway.expect_stderr("subscribed", PATIENCE);
    disk.is_mounted_in(gateway.pid());
    let mut watch = Watch::new(gateway.pid());
    say_once_more(&mut chatters, &broker);
    let open_before = watch.open();

    let (stop, told) = (AtomicBool::new(false), Told::default());
    thread::scope(|s| {
        for chatter in &mut chatters {
            let (stop, told) = (&stop, &told);
            s.spawn(move || chatter.run(stop, told));
        }
        // Also where this thread panics.
        let _stop = StopAtEnd(&stop);
        let mut minutes = 0;
        let end = Instant::now() + time;
        while let left = end.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            for _ in 0..random.within(1..4) {
                match random.within(0..9) {
                    0..=3 => config.spoil(&mut random),
                    4 | 5 => page.spoil(&mut random),
                    6 => gateway.signal(Signal::HUP),
                    7 => broker.command(&mut random, &names),
                    _ => disk.fill(),
                }
                thread::sleep(random.millis(10..400));
            }
            broker.spoil(&mut random, left);
            disk.free();
            let sample = watch.sample();
            if sample.at.as_secs() / 60 > minutes {
                minutes = sample.at.as_secs() / 60;
                println!("after {minutes} min: {sample:?}");
            }
        }
        config.mend();
        page.mend();
        broker.mend();
    });

    // Everything is well again: readings of every device get through.
    say_once_more(&mut chatters, &broker);
    let settled = settles(|| watch.open().len() <= open_before.len());
    assert!(settled, "descriptors before: {open_before:#?}\nand after: {:#?}", watch.open());
    assert_eq!(watch.children(), [""; 0], "children are left");
    let idle = watch.cpu_within(Duration::from_secs(2));
    broker.leave();
    gateway.expect_stderr("connection lost", PATIENCE);
    let alone = watch.cpu_within(Duration::from_secs(2));
    broker.mend();
    say_once_more(&mut chatters, &broker);
    let last = watch.sample();
    let figures = page.figures().expect("figures");
    let _ = std::fs::remove_dir_all(folder);

    gateway.signal(Signal::TERM);
    let finished = gateway.finish(PATIENCE);
    assert_eq!(finished.status.code(), Some(0), "{}\n{}", finished.stdout, tail(&finished.stderr));
    let sums: Value = serde_json::from_str(finished.last_line()).expect("a JSON object");
    let sum = |name: &str| sums[name].as_u64().unwrap_or_else(|| panic!("no {name} in {sums}"));

    println!("| device | said | arrived | in part | messages | out of order |");
    println!("|---|---|---|---|---|---|");
    let mut all = Arrived::default();
    let mut said = 0;
    for (name, chatter) in names.iter().zip(&chatters) {
        let of = broker.account().of(name);
        let in_part = of.begun - of.readings;
        println!("| {name} | {} | {} | {in_part} | {} | {} |", chatter.said(), of.readings, of.messages, of.late);
        all.readings += of.readings;
        all.begun += of.begun;
        all.messages += of.messages;
        all.late += of.late;
        said += chatter.said();
    }
    let in_part = all.begun - all.readings;
    println!("| all | {said} | {} | {in_part} | {} | {} |", all.readings, all.messages, all.late);
    println!("the gateway: {sums}");
    println!("devices: {told:?}");
    println!("configuration: {:?}", config.told);
    println!("disk: filled {} times; page: {} clients that hang", disk.filled, page.clients);
    println!("broker: {:?}; {} heartbeats", broker.told, broker.account().heartbeats());
    let (first, second) = (watch.most_memory(0.1, 0.5), watch.most_memory(0.5, 1.0));
    println!("memory: {first} KiB at most in the first half, {second} KiB in the second, {} at the end", last.pss);
    let most = watch.samples.iter().map(|s| s.descriptors).max().unwrap_or(0);
    println!("descriptors: {} at first, {most} at most, {} at the end", open_before.len(), last.descriptors);
    println!("processor: {:?} in {:?}; idle {idle:?} in 2 s, without a broker {alone:?}", last.cpu, last.at);

    let (readings, acknowledged, dropped) = (sum("readings"), sum("acknowledged"), sum("dropped"));
    assert_eq!(broker.account().strange(), [], "messages that no device has caused");
    assert_eq!(readings, acknowledged + dropped, "the gateway's own books");
    // A device that is taken in again while it talks begins in the middle of a line, whose rest may have one field.
    assert!(acknowledged <= all.begun, "acknowledged, but not arrived: {}", acknowledged - all.begun);
    assert!(all.begun <= acknowledged + dropped, "arrived, but neither acknowledged nor dropped");
    assert!(readings <= said, "more readings than were said");
    // Of a device that was always there nothing is missing that it has said, unless it is told.
    let steady = &figures["devices"][0];
    assert_eq!((&steady["name"], &steady["readings"]), (&names[0].as_str().into(), &chatters[0].said().into()));
    let of_steady = broker.account().of(&names[0]);
    assert_eq!(of_steady.begun, of_steady.readings, "a reading of it arrived in part");
    assert!(of_steady.readings >= steady["acknowledged"].as_u64().unwrap(), "{steady}");
    assert!(of_steady.begun <= chatters[0].said() - steady["dropped"].as_u64().unwrap() + in_part, "{steady}");
    // In a short run what happens once, such as the first client of the page, may well happen in the second half.
    let room = if time < Duration::from_secs(600) { 16 << 10 } else { 4 << 10 };
    assert!(second <= first + first / 4 + room, "memory grows: {:?}", watch.samples);
    let little = Duration::from_millis(400);
    assert!(idle < little && alone < little, "it spins");
}

/// Has each device say a reading until one arrives.
fn say_once_more(chatters: &mut [Chatter], broker: &Faulty) {
    for chatter in chatters {
        let first = chatter.said();
        let arrived = settles(|| {
            chatter.say_reading();
            chatter.listen(Duration::from_millis(100));
            broker.account().of(chatter.device.name()).last >= Some(first)
        });
        assert!(arrived, "nothing of {} arrives any more", chatter.device.name());
        let last = chatter.said() - 1;
        assert!(settles(|| broker.account().of(chatter.device.name()).last >= Some(last)), "the last one is missing");
    }
}

/// Whether something becomes true in time.
fn settles(mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if is_so() {
            return true;
        }
        thread::sleep(Duration::from_millis(50));
    }
    false
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
