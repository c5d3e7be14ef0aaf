//! A client with a store, whose process is killed, whose disk is full, whose broker is gone.
//!
//! `BECKET_KILLS=50 BECKET_KILL_MESSAGES=20000` is the long form of the kills.

mod support;

use becket_loop::{Every, Loop, Next};
use becket_mosquitto::{
    Client, DeliveryId, Dropped, Durability, Event, Outcome, Publish, PublishRefusal, QoS, Store, StoreProblem,
    Uncertain,
};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs, io, process, thread};
use support::broker::Broker;
use support::{Harness, LONG, World, options};

/// Says to the re-executed test program what it is.
const CHILD: &str = "BECKET_STORE_CHILD";

/// A file of a test's own, in a folder of its own.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("becket-owed-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Scratch(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("owed")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn stored_through(world: &World) -> Option<DeliveryId> {
    let stored = |e: &Event| if let Event::Stored { through } = e { Some(*through) } else { None };
    world.events.iter().filter_map(stored).max()
}

/// Publishes numbers while no broker is there, and ends when they are stored.
fn owe(file: &Path, numbers: std::ops::Range<u32>, qos: QoS) {
    let mut harness = Harness::new();
    let store = Store::open(file).unwrap();
    let before = store.messages() as usize;
    let options = options("unix:/nobody/listens").queue(1 << 20, 1 << 30).store(store);
    let client = harness.join(options);
    let publish = |n: u32| client.publish(Publish::new("owed", n.to_string()).qos(qos)).unwrap();
    let deliveries: Vec<_> = numbers.map(publish).collect();
    let last = deliveries.last().unwrap().id();
    harness.until("stored", |world| stored_through(world) >= Some(last));
    assert_eq!(client.backlog().waiting, before + deliveries.len());
    harness.close(&client);
    assert!(deliveries.iter().all(|d| d.outcome() == Some(Outcome::Kept)));
}

/// A client that has subscribed to what the others publish.
fn subscriber(harness: &mut Harness, broker: &Broker) -> Client {
    let client = harness.join(options(&broker.url()));
    client.subscribe("owed", QoS::ExactlyOnce).unwrap();
    harness.until("subscribed", |world| world.has(|e| matches!(e, Event::Subscribed { granted: Ok(_), .. })));
    client
}

fn numbers(world: &World) -> Vec<u32> {
    world.messages().iter().map(|m| str::from_utf8(&m.payload).unwrap().parse().unwrap()).collect()
}

#[test]
fn what_was_owed_goes_out_first_and_in_order() {
    let Some(broker) = Broker::start() else { return };
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let scratch = Scratch::new();
        owe(&scratch.file(), 0..3, qos);
        let store = Store::open(scratch.file()).unwrap();
        assert_eq!((store.messages(), store.bytes()), (3, 3 * 5));

        let mut harness = Harness::new();
        subscriber(&mut harness, &broker);
        let client = harness.join(options(&broker.url()).store(store));
        let new = client.publish(Publish::new("owed", "3").qos(qos)).unwrap();
        harness.until("all messages and answers", |world| world.messages().len() == 4 && world.outcomes().len() == 4);
        assert_eq!(numbers(&harness.world), [0, 1, 2, 3]);
        assert!(harness.world.has(|e| *e == Event::Owed { messages: 3, bytes: 15 }));
        let outcomes = harness.world.outcomes();
        assert!(outcomes.is_sorted_by_key(|(id, _)| *id) && outcomes[3].0 == new.id());
        // What an earlier process had is acknowledged, and at QoS 2 nobody knows how often it came.
        let uncertain = qos == QoS::ExactlyOnce;
        let is_as_promised = |outcome: Outcome| match outcome {
            Outcome::Uncertain(Uncertain::SessionLost) => uncertain,
            other => other.is_acknowledged() && !uncertain,
        };
        assert!(outcomes[..3].iter().all(|(_, outcome)| is_as_promised(*outcome)), "{outcomes:?}");
        assert!(outcomes[3].1.is_acknowledged());
        harness.close(&client);
        assert_eq!(Store::open(scratch.file()).unwrap().messages(), 0);
    }
}

#[test]
fn more_than_memory_shall_hold_waits_in_the_file() {
    const MANY: u32 = 5000;
    let Some(broker) = Broker::start() else { return };
    let scratch = Scratch::new();
    owe(&scratch.file(), 0..MANY, QoS::AtLeastOnce);
    owe(&scratch.file(), MANY..MANY + 3, QoS::AtLeastOnce);
    let mut harness = Harness::new();
    subscriber(&mut harness, &broker);
    let options = options(&broker.url()).queue(MANY as usize + 13, 1 << 30);
    let client = harness.join(options.store(Store::open(scratch.file()).unwrap()));
    assert_eq!(client.backlog().waiting, MANY as usize + 3);
    let publish = |n: u32| client.publish(Publish::new("owed", n.to_string()));
    let new: Vec<_> = (MANY + 3..MANY + 13).map(|n| publish(n).unwrap()).collect();
    assert_eq!(publish(0).unwrap_err().refusal(), PublishRefusal::QueueFull, "those in the file count");
    harness.until("all messages", |world| world.messages().len() >= MANY as usize + 13);
    harness.until("all answers", |world| world.outcomes().len() >= MANY as usize + 13);
    assert_eq!(numbers(&harness.world), (0..MANY + 13).collect::<Vec<_>>());
    assert!(new.iter().all(|delivery| delivery.outcome().is_some_and(|outcome| outcome.is_acknowledged())));
    assert_eq!(client.backlog(), Default::default());
    harness.close(&client);
    assert_eq!(Store::open(scratch.file()).unwrap().messages(), 0);
}

#[test]
fn a_message_is_answered_long_before_the_disk_is_waited_for() {
    let Some(broker) = Broker::start() else { return };
    let scratch = Scratch::new();
    let mut harness = Harness::new();
    let store = Store::open(scratch.file()).unwrap().durability(Durability::Periodic(Duration::from_secs(3600)));
    let client = harness.join(options(&broker.url()).store(store));
    let delivery = client.publish(Publish::new("owed", "0")).unwrap();
    harness.until("acknowledged", |_| delivery.outcome().is_some());
    assert!(delivery.outcome().unwrap().is_acknowledged());
    harness.close(&client);
}

#[test]
#[cfg(feature = "fiber")]
fn a_fiber_waits_until_its_message_is_stored() {
    use becket_fiber::Runtime;
    let scratch = Scratch::new();
    let file = scratch.file();
    let mut runtime = Runtime::new().unwrap();
    let outcome = runtime.run(move || -> io::Result<Option<Outcome>> {
        let store = Store::open(file)?.durability(Durability::EachCommit);
        let (client, _events) = becket_mosquitto::fiber::Client::start(options("unix:/nobody/listens").store(store))?;
        let delivery = client.publish(Publish::new("owed", "0"))?;
        delivery.wait_stored()?;
        assert_eq!(delivery.outcome(), None);
        client.close()?;
        delivery.wait_stored()?;
        Ok(delivery.outcome())
    });
    assert_eq!(outcome.unwrap().unwrap(), Some(Outcome::Kept));
    drop(runtime);
    assert_eq!(Store::open(scratch.file()).unwrap().messages(), 1);
}

#[test]
fn a_store_serves_one_client() {
    let scratch = Scratch::new();
    let mut harness = Harness::new();
    let store = Store::open(scratch.file()).unwrap();
    let client = harness.join(options("unix:/nobody/listens").store(store.clone()));
    let second = Client::join(&mut harness.ctx, options("unix:/nobody/listens").store(store), |_, _, _, _| Ok(()));
    assert!(second.unwrap_err().to_string().ends_with("another client uses it"));
    assert_eq!(*Store::open(scratch.file()).unwrap_err().problem(), StoreProblem::InUse);
    harness.close(&client);
    Store::open(scratch.file()).expect("closed with the client, whose handle is still here");
    // A loop that goes away closes it as well.
    let client = harness.join(options("unix:/nobody/listens").store(Store::open(scratch.file()).unwrap()));
    let delivery = client.publish(Publish::new("owed", "0")).unwrap();
    drop(harness);
    assert_eq!(delivery.outcome(), Some(Outcome::Kept));
    drop(client);
    assert_eq!(Store::open(scratch.file()).unwrap().messages(), 1);
}

/// Runs the test `name` of this program as another process, by way of what stands before it.
fn child_of(before: &[&str], name: &str, what: &str) -> Command {
    let program = env::current_exe().unwrap();
    let mut words = before.iter().map(|word| (*word).into()).chain([program.into_os_string()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, what);
    command
}

fn is_child(what: &str) -> bool {
    env::var(CHILD).is_ok_and(|child| child == what)
}

#[test]
fn a_full_disk_is_told_and_refuses() {
    if is_child("full") {
        return full_disk(&PathBuf::from(env::var_os("BECKET_FOLDER").unwrap()), &env::var("BECKET_URL").unwrap());
    }
    let Some(broker) = Broker::start() else { return };
    let scratch = Scratch::new();
    let mount = r#"mount -t tmpfs -o size=16m none "$BECKET_FOLDER" && exec "$@""#;
    let with_namespace = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(args).args(["mount", "-t", "tmpfs", "none"]).arg(&scratch.0).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let Some(unshare) = ["-m", "-rm"].into_iter().find(|flag| with_namespace(&[flag])) else {
        println!("SKIP: no small file system can be mounted");
        return;
    };
    let before = ["unshare", unshare, "sh", "-c", mount, "sh"];
    let mut command = child_of(&before, "a_full_disk_is_told_and_refuses", "full");
    let output = command.env("BECKET_FOLDER", &scratch.0).env("BECKET_URL", broker.url()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn full_disk(folder: &Path, url: &str) {
    let mut harness = Harness::new();
    let (_silent, silent_url) = support::listen();
    let store = Store::open(folder.join("owed")).unwrap();
    let client = harness.join(options(&silent_url).queue(1 << 20, 1 << 30).store(store));
    let publish = |n: usize| client.publish(Publish::new("owed", vec![b'x'; 500_000 + n]));
    let mut accepted = 0;
    let refusal = loop {
        match publish(accepted) {
            Ok(_) => accepted += 1,
            Err(e) => break e,
        }
        harness.run_for(Duration::from_millis(20));
        assert!(accepted < 100);
    };
    assert_eq!(refusal.refusal(), PublishRefusal::Store(io::ErrorKind::StorageFull));
    let failed = |e: &Event| matches!(e, Event::StoreFailed(e) if *e.problem() == StoreProblem::DiskFull);
    assert!(harness.world.has(failed));
    assert_eq!(client.backlog().waiting, accepted, "what was accepted stays");
    let before = stored_through(&harness.world).unwrap();
    harness.close(&client);

    // What did not get there with a last attempt is not said to be kept.
    let (kept, dropped): (Vec<_>, Vec<_>) =
        harness.world.outcomes().into_iter().partition(|(_, o)| *o == Outcome::Kept);
    assert!(kept.last().unwrap().0 >= before && kept.len() + dropped.len() == accepted);
    assert!(dropped.iter().all(|(_, o)| *o == Outcome::Dropped(Dropped::Closed)), "{dropped:?}");

    // What is delivered makes room again.
    let store = Store::open(folder.join("owed")).unwrap();
    assert_eq!(store.messages() as usize, kept.len());
    harness.world.events.clear();
    let client = harness.join(options(url).store(store));
    harness.until("answers", |world| world.outcomes().len() == kept.len());
    let next = client.publish(Publish::new("owed", vec![0; 500_000])).unwrap();
    harness.until("stored", |world| stored_through(world) == Some(next.id()));
    assert!(!harness.world.has(failed));
    harness.until("the answer", |_| next.outcome().is_some());
    harness.close(&client);

    // Where others have filled the disk to the last byte, what is owed is delivered all the same.
    owe(&folder.join("owed"), 0..3, QoS::AtLeastOnce);
    let mut hog = fs::File::create(folder.join("hog")).unwrap();
    while hog.write(&[0; 512]).is_ok() {}
    harness.world.events.clear();
    let client = harness.join(options(&silent_url).store(Store::open(folder.join("owed")).unwrap()));
    let unstored = client.publish(Publish::new("owed", "too late to be refused")).unwrap();
    harness.until("a failure", |world| world.has(failed));
    harness.close(&client);
    assert_eq!(unstored.outcome(), Some(Outcome::Dropped(Dropped::Closed)));

    harness.world.events.clear();
    let client = harness.join(options(url).store(Store::open(folder.join("owed")).unwrap()));
    harness.until("answers", |world| world.outcomes().len() == 3);
    harness.until("a failure", |world| world.has(failed));
    let refused = client.publish(Publish::new("owed", "refused")).unwrap_err();
    assert_eq!(refused.refusal(), PublishRefusal::Store(io::ErrorKind::StorageFull));
    // With room again, it goes on.
    hog.set_len(0).unwrap();
    harness.until("it works again", |world| stored_through(world).is_some());
    let last = client.publish(Publish::new("owed", "small")).unwrap();
    harness.until("the last", |_| last.outcome().is_some());
    harness.close(&client);
    assert_eq!(Store::open(folder.join("owed")).unwrap().messages(), 0);
}

/// A program that publishes numbers from the one it is told on, and says which of them are stored.
struct Publisher {
    client: Client,
    /// What is accepted and not stored.
    unstored: VecDeque<(DeliveryId, u32)>,
    next: u32,
    last: u32,
}

/// For a parent that kills it.
#[test]
fn the_publisher() {
    if !is_child("publisher") {
        return;
    }
    let number = |name: &str| env::var(name).unwrap().parse::<u32>().unwrap();
    let (next, last, qos) = (number("BECKET_FIRST"), number("BECKET_LAST"), number("BECKET_QOS"));
    let qos = QoS::try_from(qos as u8).unwrap();
    let options = options(&env::var("BECKET_URL").unwrap()).client_id("publisher").queue(1 << 20, 1 << 30);
    let options = options.store(Store::open(env::var_os("BECKET_FILE").unwrap()).unwrap());
    let stays = env::var_os("BECKET_STAYS").is_some();
    let mut event_loop = Loop::new().unwrap();
    let on_event = |world: &mut Option<Publisher>, _: &mut _, _: &Client, event| {
        let world = world.as_mut().expect("made before the loop runs");
        if let Event::Stored { through } = event {
            let count = world.unstored.partition_point(|(id, _)| *id <= through);
            if let Some((_, stored)) = world.unstored.drain(..count).next_back() {
                println!("stored {stored}");
            }
        }
        Ok(())
    };
    let client = Client::join(&mut event_loop, options, on_event).unwrap();
    let mut world = Some(Publisher { client, unstored: VecDeque::new(), next, last });
    event_loop.every(Every::new(Duration::from_millis(1)), move |world: &mut Option<Publisher>, _, _| {
        let world = world.as_mut().expect("made before the loop runs");
        for _ in 0..20 {
            if world.next > world.last {
                break;
            }
            let publish = Publish::new("owed", world.next.to_string()).qos(qos);
            world.unstored.push_back((world.client.publish(publish).unwrap().id(), world.next));
            world.next += 1;
        }
        let all_done = !stays && world.next > world.last && world.client.backlog() == Default::default();
        if all_done && world.unstored.is_empty() {
            world.client.close();
            return Ok(Next::Remove);
        }
        Ok(Next::Keep)
    });
    event_loop.run(&mut world).unwrap();
    println!("done");
}

/// What an independent subscriber says that it got.
struct Listener {
    child: Child,
    seen: Arc<Mutex<Vec<u32>>>,
}

impl Listener {
    fn start(broker: &Broker) -> Option<Listener> {
        let port = broker.port().to_string();
        let to = ["-h", "127.0.0.1", "-p", &port, "-t", "owed"];
        let mut command = Command::new("mosquitto_sub");
        command.args(to).args(["-i", "listener", "-c", "-q", "2", "-F", "%p"]).stdout(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            println!("SKIP: no mosquitto_sub found");
            return None;
        };
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (lines, theirs) = (BufReader::new(child.stdout.take().unwrap()).lines(), Arc::clone(&seen));
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                theirs.lock().unwrap().push(line.parse().unwrap());
            }
        });
        let listener = Listener { child, seen };
        // Subscribed once it hears something.
        listener.until("a first message", |seen| {
            let said = Command::new("mosquitto_pub").args(to).args(["-m", "0"]).status().unwrap();
            assert!(said.success());
            !seen.is_empty()
        });
        Some(listener)
    }

    fn until(&self, what: &str, mut done: impl FnMut(&[u32]) -> bool) {
        let end = Instant::now() + LONG;
        loop {
            if done(&self.seen.lock().unwrap()) {
                return;
            }
            assert!(Instant::now() < end, "{what}: {} messages", self.seen.lock().unwrap().len());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Numbers that differ and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn setting(name: &str, default: u32) -> u32 {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Has a publisher killed again and again, and sees every number arrive that it said to be stored.
fn kill_and_count(qos: QoS, mut broker: Broker, restarts: bool) {
    let (kills, messages) = (setting("BECKET_KILLS", 8), setting("BECKET_KILL_MESSAGES", 3000));
    let Some(listener) = Listener::start(&broker) else { return };
    let scratch = Scratch::new();
    let mut random = Numbers(qos as u64 + 10 * u64::from(restarts));
    let mut stored = 0;
    for life in 0..=kills {
        let is_last = life == kills;
        // Some in each life, however long that is.
        let last = if is_last { messages } else { messages / (kills + 1) * (life + 1) };
        let mut command = child_of(&[], "the_publisher", "publisher");
        let first = stored + 1;
        for (name, value) in [("BECKET_FIRST", first), ("BECKET_LAST", last), ("BECKET_QOS", qos as u32)] {
            command.env(name, value.to_string());
        }
        if !is_last {
            command.env("BECKET_STAYS", "");
        }
        command.env("BECKET_URL", broker.url()).env("BECKET_FILE", scratch.file()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let reader = thread::spawn(move || {
            let (mut stored, mut is_done) = (0, false);
            for line in &mut lines {
                match line.split_once("stored ") {
                    Some((_, number)) => stored = number.parse().unwrap(),
                    None => is_done |= line.ends_with("done"),
                }
            }
            (stored, is_done)
        });
        if is_last {
            assert!(child.wait().unwrap().success());
        } else {
            thread::sleep(Duration::from_micros(5_000 + random.below(60_000)));
            if restarts && life % 2 == 1 {
                broker.terminate();
            }
            thread::sleep(Duration::from_micros(random.below(10_000)));
            child.kill().unwrap();
            child.wait().unwrap();
            if restarts && life % 2 == 1 {
                broker.restart();
            }
        }
        let (told, is_done) = reader.join().unwrap();
        stored = stored.max(told);
        assert_eq!(is_done, is_last, "life {life}");
    }
    assert_eq!(stored, messages);
    let missing = |seen: &[u32]| {
        let mut there = vec![false; messages as usize + 1];
        seen.iter().for_each(|&number| there[number as usize] = true);
        there.iter().filter(|seen| !**seen).count()
    };
    listener.until("all messages", |seen| missing(seen) == 0);
    let seen = listener.seen.lock().unwrap();
    println!("QoS {}: {kills} kills, {messages} messages, {} arrivals", qos as u8, seen.len());
    let mut highest = 0;
    for &number in seen.iter().filter(|_| !restarts) {
        assert!(number <= highest + 1, "{number} came before {}", highest + 1);
        highest = highest.max(number);
    }
    assert_eq!(Store::open(scratch.file()).unwrap().messages(), 0);
}

#[test]
fn a_killed_process_loses_nothing_at_qos_1() {
    let Some(broker) = Broker::persistent() else { return };
    kill_and_count(QoS::AtLeastOnce, broker, false);
}

#[test]
fn a_killed_process_loses_nothing_at_qos_2() {
    let Some(broker) = Broker::persistent() else { return };
    kill_and_count(QoS::ExactlyOnce, broker, false);
}

#[test]
fn a_killed_process_loses_nothing_when_the_broker_goes_too() {
    let Some(broker) = Broker::persistent() else { return };
    kill_and_count(QoS::AtLeastOnce, broker, true);
}
