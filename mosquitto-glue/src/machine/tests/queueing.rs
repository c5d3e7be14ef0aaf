//! What waits: for how long, in whose place, and who is told.

use super::*;
use crate::message::Publish;
use crate::queue::{WhenFull, size};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

#[test]
fn what_is_left_of_the_time_goes_to_the_broker() {
    let mut bench = Bench::new(|o| o.protocol(Protocol::V5));
    let mut peer = bench.accept();
    bench.packet(&mut peer, 1);
    peer.send(&[0x20, 3, 0, 0, 0]);
    bench.until("connected", |b| b.machine.is_up().then_some(()));
    let hour = Duration::from_secs(3600);
    let long = Properties { message_expiry: Some(5000), ..Properties::default() };
    let short = Properties { message_expiry: Some(7), ..Properties::default() };
    let publish = || Publish::new("t", "x").expire_after(hour);
    let all = [
        publish(),
        publish().expiry_to_broker(true),
        publish().expiry_to_broker(true).properties(long),
        publish().expiry_to_broker(true).properties(short),
        Publish::new("t", "x").expiry_to_broker(true),
    ];
    let mut told = Vec::new();
    for publish in all {
        bench.machine.publish(publish).unwrap();
        let body = bench.packet(&mut peer, 3);
        let seconds = body.windows(6).find(|w| w[..2] == [5, 2]).map(|w| u32::from_be_bytes([w[2], w[3], w[4], w[5]]));
        told.push(seconds);
    }
    let close = |seconds: Option<u32>| seconds.is_some_and(|s| (3500..=3600).contains(&s));
    assert!(close(told[1]) && close(told[2]), "{told:?}");
    assert_eq!((told[0], told[3], told[4]), (None, Some(7), None));

    let mut old = Bench::new(|o| o);
    let refused = old.machine.publish(publish().expiry_to_broker(true)).unwrap_err();
    assert_eq!(refused.refusal(), PublishRefusal::PropertiesNeedV5);
}

#[test]
fn nothing_that_was_under_way_makes_room_for_others() {
    let mut bench = Bench::new(|o| o.window(2).queue(3, 1000).when_full(WhenFull::DropOldest));
    let peer = bench.connected();
    let first = [(); 2].map(|()| bench.machine.publish(Publish::new("t", "first")).unwrap());
    let second = bench.machine.publish(Publish::new("t", "second")).unwrap();
    drop(peer);
    let mut peer = bench.accept();
    bench.packet(&mut peer, 1);
    peer.send(ACCEPTED); // no session
    bench.packet(&mut peer, 14);
    assert_eq!(bench.machine.backlog(), (3, 5 + 5 + 6 + 3, 0));
    let third = bench.machine.publish(Publish::new("t", "third")).unwrap();
    assert_eq!(second.outcome(), Some(Outcome::Dropped(Dropped::QueueFull)));
    assert_eq!(third.outcome(), None);
    assert!(first.iter().all(|delivery| delivery.outcome().is_none()));
    let mut peer = bench.connected();
    for (text, delivery) in [("first", &first[0]), ("first", &first[1]), ("third", &third)] {
        let body = bench.packet(&mut peer, 3);
        assert_eq!(body[5..], *text.as_bytes());
        let [a, b] = id_of(&body);
        peer.send(&[0x40, 2, a, b]);
        bench.until("an answer", |_| delivery.outcome());
    }
}

#[test]
fn room_is_told_once_and_only_to_who_was_refused() {
    let rooms = |bench: &Bench| bench.seen.iter().filter(|e| **e == Event::Room).count();
    let mut bench = Bench::new(|o| o.queue(10, 20));
    let deadline = Duration::from_millis(50);
    for _ in 0..2 {
        bench.machine.publish(Publish::new("t", "123456789").expire_after(deadline)).unwrap();
    }
    let refused = bench.machine.publish(Publish::new("t", "1234567890")).unwrap_err().into_publish();
    bench.event("room", |e| (*e == Event::Room).then_some(()));
    bench.machine.publish(refused).unwrap();
    for _ in 0..20 {
        bench.turn();
    }
    assert_eq!(rooms(&bench), 1);
}

/// What is kept.
#[derive(Default)]
struct Book {
    owed: BTreeMap<Key, Publish>,
    /// What is not stored yet.
    unwritten: BTreeMap<Key, Publish>,
    asked: Option<Key>,
    fails: bool,
    closed: bool,
}

/// Writes in `settle`, and reads one message at a time.
struct Clerk(Rc<RefCell<Book>>);

impl Keeper for Clerk {
    fn held(&self) -> Held {
        let owed = &self.0.borrow().owed;
        let bytes = owed.values().map(|publish| size(publish) as u64).sum();
        Held { messages: owed.len() as u64, bytes, last: owed.last_key_value().map_or(0, |(key, _)| *key) }
    }

    fn refusal(&self, _: usize) -> Option<PublishRefusal> {
        self.0.borrow().fails.then_some(PublishRefusal::Store(io::ErrorKind::StorageFull))
    }

    fn accepted(&mut self, key: Key, publish: Publish) {
        let mut book = self.0.borrow_mut();
        assert!(book.unwritten.keys().chain(book.owed.keys()).all(|other| *other < key));
        book.unwritten.insert(key, publish);
    }

    fn done(&mut self, key: Key) {
        let mut book = self.0.borrow_mut();
        let found = book.unwritten.remove(&key).or_else(|| book.owed.remove(&key));
        found.expect("it was owed");
    }

    fn load(&mut self, after: Key) {
        assert_eq!(self.0.borrow_mut().asked.replace(after), None);
    }

    fn settle(&mut self) {
        let mut book = self.0.borrow_mut();
        if !book.fails {
            let mut unwritten = std::mem::take(&mut book.unwritten);
            book.owed.append(&mut unwritten);
        }
    }

    fn news(&mut self) -> News {
        let mut book = self.0.borrow_mut();
        let stored = book.owed.last_key_value().map_or(0, |(key, _)| *key);
        let next = |after: Key| book.owed.range(after + 1..).next().map(|(key, publish)| (*key, Some(publish.clone())));
        let loaded = book.asked.map(|after| Vec::from_iter(next(after)));
        book.asked = None;
        News { stored, loaded, closed: book.closed, ..News::default() }
    }

    fn close(&mut self, _: bool) {
        self.settle();
        self.0.borrow_mut().closed = true;
    }
}

#[test]
fn what_is_owed_outlives_the_client() {
    let book = Rc::new(RefCell::new(Book::default()));
    let payloads = |book: &RefCell<Book>| -> Vec<String> {
        book.borrow().owed.values().map(|p| String::from_utf8(p.payload().to_vec()).unwrap()).collect()
    };
    let mut bench = Bench::new(|o| o.window(2).queue(2, 1000));
    bench.machine.keep(Box::new(Clerk(Rc::clone(&book))));
    let mut peer = bench.connected();
    let acked = bench.machine.publish(Publish::new("t", "acked")).unwrap();
    let [a, b] = id_of(&bench.packet(&mut peer, 3));
    peer.send(&[0x40, 2, a, b]);
    bench.until("an answer", |_| acked.outcome());
    bench.machine.publish(Publish::new("t", "plain").qos(QoS::AtMostOnce)).unwrap();
    let kept: Vec<_> = ["1", "2", "3", "4"].map(|n| bench.machine.publish(Publish::new("t", n)).unwrap()).into();
    assert_eq!(bench.machine.publish(Publish::new("t", "5")).unwrap_err().refusal(), PublishRefusal::QueueFull);
    bench.machine.abandon();
    assert!(kept.iter().all(|delivery| delivery.outcome() == Some(Outcome::Kept)));
    assert_eq!(payloads(&book), ["1", "2", "3", "4"]);

    book.borrow_mut().closed = false;
    let mut bench = Bench::new(|o| o.window(1).queue(4, 1000));
    bench.machine.keep(Box::new(Clerk(Rc::clone(&book))));
    assert_eq!(bench.machine.backlog(), (4, 8, 0));
    assert_eq!(bench.machine.publish(Publish::new("t", "5")).unwrap_err().refusal(), PublishRefusal::QueueFull);
    let mut peer = bench.connected();
    let mut new = None;
    for n in 1..=5 {
        let body = bench.packet(&mut peer, 3);
        assert_eq!(body[5..], *n.to_string().as_bytes());
        let [a, b] = id_of(&body);
        peer.send(&[0x40, 2, a, b]);
        // Behind those which are in the book alone, and in it alone like them.
        new = new.or_else(|| bench.machine.publish(Publish::new("t", "5")).ok());
    }
    let new = new.expect("there was room");
    bench.until("an answer", |_| new.outcome());
    assert!(new.outcome().unwrap().is_acknowledged());
    assert!(payloads(&book).is_empty());
    book.borrow_mut().fails = true;
    let no = bench.machine.publish(Publish::new("t", "no")).unwrap_err();
    assert_eq!(no.refusal(), PublishRefusal::Store(io::ErrorKind::StorageFull));
    bench.machine.publish(Publish::new("t", "plain").qos(QoS::AtMostOnce)).unwrap();
}

#[test]
fn what_could_not_be_stored_is_not_said_to_be_kept() {
    let book = Rc::new(RefCell::new(Book::default()));
    let mut bench = Bench::new(|o| o);
    bench.machine.keep(Box::new(Clerk(Rc::clone(&book))));
    let stored = bench.machine.publish(Publish::new("t", "1")).unwrap();
    bench.turn();
    let unstored = bench.machine.publish(Publish::new("t", "2")).unwrap();
    book.borrow_mut().fails = true;
    bench.machine.close();
    bench.until("the end", |b| b.machine.is_closed().then_some(()));
    assert_eq!(stored.outcome(), Some(Outcome::Kept));
    assert_eq!(unstored.outcome(), Some(Outcome::Dropped(Dropped::Closed)));
}
