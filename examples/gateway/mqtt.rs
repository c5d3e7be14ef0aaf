//! The way to the broker and back.

use crate::line::MAX_LINE;
use crate::log::{Limited, log};
use crate::report::{Report, count};
use becket_fiber::sync::{Receiver, Sender, TrySendError, channel};
use becket_mosquitto::fiber::{Client, Delivery, Events};
use becket_mosquitto::{Address, Backlog, DeliveryId, Event, Message, Options, Outcome, Publish, QoS, Store};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// How many commands wait for a device.
const COMMANDS: usize = 16;

/// How many messages the client holds beside those under way: enough to keep it busy. The readings wait in the
/// gateway's own queue, which knows what belongs together.
const CLIENT_QUEUE: (usize, usize) = (64, 1 << 20);

/// The same where they are kept in a file.
const CLIENT_STORE: (usize, usize) = (100_000, 64 << 20);

/// How long to wait before the next attempt to connect: a random time up to a limit that grows from the first to the
/// second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));

/// How long closing may take.
const LINGER: Duration = Duration::from_millis(500);

/// The way to a device.
struct Commands {
    device: Rc<str>,
    sender: Sender<String>,
}

/// The connection to the broker.
pub struct Mqtt {
    client: Client,
    events: Events,
    /// The way to each device's fiber, by the topic of its commands.
    commands: RefCell<HashMap<String, Commands>>,
    /// What becomes of commands, by whoever sends them.
    refusals: Limited,
    report: Rc<Report>,
    connections: Cell<u64>,
    /// What the client has accepted and not answered yet.
    unanswered: RefCell<HashSet<DeliveryId>>,
    /// How many messages of earlier runs have not met their end.
    owed: Cell<u64>,
    /// Whoever waits until there is none: dropping it ends the wait.
    waiter: RefCell<Option<Sender<()>>>,
}

impl Mqtt {
    /// Begins to connect. That the broker cannot be reached is no error: it is tried again.
    pub fn connect(broker: Address, keepalive: Duration, store: Option<Store>, report: Rc<Report>) -> io::Result<Mqtt> {
        report.records.broker.address.replace(broker.to_string());
        let mut options = Options::new(broker)
            .keep_alive(keepalive)
            .queue(CLIENT_QUEUE.0, CLIENT_QUEUE.1)
            .backoff(BACKOFF.0, BACKOFF.1)
            .linger(LINGER);
        if let Some(store) = store {
            options = options.queue(CLIENT_STORE.0, CLIENT_STORE.1).store(store);
        }
        let (client, events) = Client::start(options)?;
        Ok(Mqtt {
            client,
            events,
            commands: RefCell::default(),
            refusals: Limited::new("commands"),
            report,
            connections: Cell::new(0),
            unanswered: RefCell::default(),
            owed: Cell::new(0),
            waiter: RefCell::default(),
        })
    }

    /// Subscribes to the commands for a device, which come by what is returned.
    pub fn commands_for(&self, device: &Rc<str>, topic: &str) -> io::Result<Receiver<String>> {
        let (sender, receiver) = channel(COMMANDS);
        self.client.handle().subscribe(&filter(topic), QoS::AtLeastOnce).map_err(io::Error::other)?;
        self.commands.borrow_mut().insert(filter(topic), Commands { device: device.clone(), sender });
        Ok(receiver)
    }

    /// Listens no more to the commands for the device of this topic.
    pub fn end_commands(&self, topic: &str) {
        if self.commands.borrow_mut().remove(&filter(topic)).is_some() {
            // Fails where the client is closed, and hears nothing any more.
            let _ = self.client.handle().unsubscribe(&filter(topic));
        }
    }

    /// Handles what the client tells, until it is closed or gives up: then that is the error.
    pub fn run(&self) -> io::Result<()> {
        let ended = self.listen();
        // Nobody tells of what is left.
        self.unanswered.take();
        self.waiter.take();
        ended
    }

    fn listen(&self) -> io::Result<()> {
        loop {
            let Some(event) = self.events.next()? else { return Ok(()) };
            if is_packet(&event) {
                count(&self.report.packets);
            }
            match event {
                Event::Connected { .. } => self.connected(),
                Event::Disconnected { reason, retry_in } => {
                    log!(Warning, error = reason; "connection lost: {reason}; trying again in {retry_in:?}");
                    self.report.records.broker.link.lost(reason);
                }
                Event::Message(message) => self.command(&message),
                Event::Delivered { id, outcome, .. } => self.delivered(id, outcome)?,
                Event::Subscribed { filter, granted: Ok(_), .. } => {
                    log!(Info, topic = filter; "subscribed to {filter}")
                }
                Event::Subscribed { filter, granted: Err(code), .. } => {
                    log!(Error, topic = filter, error = code; "{filter}: subscription refused: {code}");
                }
                Event::Log { line, .. } => log!(Warning; "libmosquitto: {line}"),
                Event::Owed { messages, .. } => {
                    log!("{messages} messages of earlier runs go out first");
                    self.owed.set(messages);
                }
                Event::StoreFailed(e) => log!(Error, error = e; "{e}"),
                Event::Failed(reason) => return Err(io::Error::other(reason.to_string())),
                Event::Closed => return Ok(()),
                _ => {}
            }
        }
    }

    /// Counts what went out. An answer to what was not asked, or was answered before, would make the sums wrong.
    fn delivered(&self, id: DeliveryId, outcome: Outcome) -> io::Result<()> {
        if !self.unanswered.borrow_mut().remove(&id) {
            let Some(owed) = self.owed.get().checked_sub(1) else {
                return Err(io::Error::other(format!("{id:?} was reported twice")));
            };
            self.owed.set(owed);
            if owed == 0 {
                log!("nothing of earlier runs is left");
            }
        }
        if matches!(outcome, Outcome::Acknowledged(_) | Outcome::Sent) {
            count(&self.report.published);
        }
        if self.unanswered.borrow().is_empty() {
            self.waiter.take(); // and with it ends the wait
        }
        Ok(())
    }

    /// Waits until all that was published has met its end.
    pub fn answered(&self) -> io::Result<()> {
        if self.unanswered.borrow().is_empty() {
            return Ok(());
        }
        let (waiter, answered) = channel::<()>(1);
        self.waiter.replace(Some(waiter));
        answered.recv().map(drop)
    }

    fn connected(&self) {
        count(&self.connections);
        if self.connections.get() > 1 {
            count(&self.report.reconnects);
        }
        self.report.records.broker.link.opened();
        log!("connected");
    }

    /// Hands a message to the fiber of the device that it is for.
    fn command(&self, message: &Message) {
        let commands = self.commands.borrow();
        let Some(Commands { device, sender }) = commands.get(&message.topic) else {
            return self.refusals.log(format_args!("a message on {:?} is for no device", message.topic));
        };
        let Some(line) = line(&message.payload) else {
            let refused = format_args!("{device}: one that is not one line of text, or too long, is refused");
            return self.refusals.log(refused);
        };
        let why = match sender.try_send(line.to_owned()) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => "too many wait",
            Err(TrySendError::Closed(_)) => "the device is closed",
        };
        self.refusals.log(format_args!("{device}: {line:?} is lost: {why}"));
    }

    /// Publishes at QoS 1; waits for room where the client has none.
    pub fn publish(&self, topic: String, payload: &str) -> io::Result<Delivery> {
        let delivery = self.client.publish(Publish::new(topic, payload).qos(QoS::AtLeastOnce))?;
        // In time: the fiber that takes the answers has not run since.
        self.unanswered.borrow_mut().insert(delivery.id());
        Ok(delivery)
    }

    /// Waits for the end of a delivery; whether the broker has the message.
    pub fn is_acknowledged(&self, delivery: &Delivery) -> io::Result<bool> {
        Ok(delivery.wait()?.is_acknowledged())
    }

    /// What the client has not got rid of.
    pub fn backlog(&self) -> Backlog {
        self.client.backlog()
    }

    /// Publishes at QoS 0: now or never.
    pub fn publish_now(&self, topic: &str, payload: String) {
        let published = self.client.handle().publish(Publish::new(topic, payload).qos(QoS::AtMostOnce));
        // Without a connection nobody misses it.
        if let Ok(delivery) = published {
            self.unanswered.borrow_mut().insert(delivery.id());
        }
    }

    /// Ends the connection; [`run`](Self::run) returns soon after.
    pub fn close(&self) {
        self.client.handle().close();
    }
}

/// The topic of the commands to what publishes below `topic`.
fn filter(topic: &str) -> String {
    format!("{topic}/set")
}

/// Whether the event is a packet from the broker.
fn is_packet(event: &Event) -> bool {
    match event {
        Event::Connected { .. } | Event::Message(_) | Event::Subscribed { .. } => true,
        Event::Delivered { outcome, .. } => outcome.is_acknowledged(),
        _ => false,
    }
}

/// The one line of text that a command is, without its line end.
fn line(payload: &[u8]) -> Option<&str> {
    let line = str::from_utf8(payload).ok()?.trim_end_matches(['\r', '\n']);
    (line.len() <= MAX_LINE && !line.contains(char::is_control)).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::{MAX_LINE, line};

    #[test]
    fn a_command_is_one_line() {
        assert_eq!(line(b"blink 3"), Some("blink 3"));
        assert_eq!(line(b"blink 3\r\n"), Some("blink 3"));
        assert_eq!(line(b"blink\nblink"), None);
        assert_eq!(line(b"\0"), None);
        assert_eq!(line(b"\xff"), None);
        assert!(line(&[b'x'; MAX_LINE]).is_some());
        assert_eq!(line(&[b'x'; MAX_LINE + 1]), None);
    }
}
