//! The way to the broker and back. The broker may be changed for another: what is not acknowledged goes to the new one.

mod moving;

use crate::commands::Commands;
use crate::log::log;
use crate::report::{Report, count};
use crate::settings::BrokerSettings;
use becket_fiber::is_cancelled;
use becket_fiber::sync::{Condvar, OwnedPermit, Receiver, Semaphore};
use becket_mosquitto::fiber::{Client, Events};
use becket_mosquitto::{Address, Backlog, DeliveryId, Event, Options, Outcome, Publish, QoS, Store};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// How many messages may be with the client, unanswered, and their bytes: enough to keep it busy. The readings wait in
/// the gateway's own queue, which knows what belongs together.
const CLIENT_QUEUE: (usize, usize) = (64, 1 << 20);

/// The same where they are kept in a file.
const CLIENT_STORE: (usize, usize) = (100_000, 64 << 20);

/// How long to wait before the next attempt to connect: a random time up to a limit that grows from the first to the
/// second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));

/// How long closing may take.
const LINGER: Duration = Duration::from_millis(500);

/// The connection to the broker.
pub struct Mqtt {
    link: RefCell<Link>,
    settings: RefCell<BrokerSettings>,
    store: Option<Store>,
    commands: Commands,
    report: Rc<Report>,
    connections: Cell<u64>,
    /// What the client has accepted and not answered yet.
    unanswered: RefCell<BTreeMap<DeliveryId, Rc<Sent>>>,
    /// How many more may be.
    room: Rc<Semaphore>,
    /// How many messages of earlier runs have not met their end.
    owed: Cell<u64>,
    stage: Cell<Stage>,
    /// Whom to connect to once the present client is closed.
    next: RefCell<Option<Options>>,
    /// How many clients there were before this one, and how many messages of this run the last one left in the file.
    clients: Cell<u64>,
    kept: Cell<u64>,
    /// What the client that is being closed has not got rid of.
    left: RefCell<Vec<Rc<Sent>>>,
    /// Told whenever a message was answered or the stage is another.
    news: Condvar,
}

#[derive(Clone)]
struct Link {
    client: Client,
    events: Rc<Events>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// From one broker to another: whoever wants to publish waits.
    Moving,
    Over,
}

/// A message that the client has accepted.
pub struct Sent {
    /// To send it again; `None` where nobody would, or where it is in a file.
    publish: Option<Publish>,
    outcome: Cell<Option<Outcome>>,
    permit: RefCell<Option<OwnedPermit>>,
}

impl Mqtt {
    /// Begins to connect. That the broker cannot be reached is no error: it is tried again. One that `persists` tries
    /// again, too, where the broker refuses it for good: the settings may be mended.
    pub fn connect(
        settings: BrokerSettings,
        address: Address,
        store: Option<Store>,
        persists: bool,
        report: Rc<Report>,
    ) -> io::Result<Mqtt> {
        let unanswered = if store.is_some() { CLIENT_STORE.0 } else { CLIENT_QUEUE.0 };
        let options = options(&settings, address.clone(), store.clone(), persists)?;
        report.records.broker.address.replace(address.to_string());
        Ok(Mqtt {
            link: RefCell::new(Link::new(options)?),
            settings: RefCell::new(settings),
            store,
            commands: Commands::default(),
            report,
            connections: Cell::new(0),
            unanswered: RefCell::default(),
            room: Rc::new(Semaphore::new(unanswered)),
            owed: Cell::new(0),
            stage: Cell::new(Stage::Open),
            next: RefCell::default(),
            clients: Cell::new(0),
            kept: Cell::new(0),
            left: RefCell::default(),
            news: Condvar::new(),
        })
    }

    /// Subscribes to the commands for a device, which come by what is returned.
    pub fn commands_for(&self, device: &Rc<str>, topic: &str) -> io::Result<Receiver<String>> {
        let receiver = self.commands.add(filter(topic), device);
        self.subscribe(&filter(topic))?;
        Ok(receiver)
    }

    /// Listens no more to the commands for a device, whose topic this is.
    pub fn end_commands(&self, device: &str, topic: &str) {
        self.commands.remove(device);
        self.unsubscribe(&filter(topic));
    }

    /// The commands for a device come on another topic from now on.
    pub fn move_commands(&self, device: &str, from: &str, to: &str) -> io::Result<()> {
        self.commands.rename(device, &filter(to));
        self.unsubscribe(&filter(from));
        self.subscribe(&filter(to))
    }

    fn subscribe(&self, filter: &str) -> io::Result<()> {
        // Between two brokers the next one is told everything.
        if self.stage.get() == Stage::Open {
            self.client().handle().subscribe(filter, QoS::AtLeastOnce).map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn unsubscribe(&self, filter: &str) {
        if !self.commands.topics().iter().any(|topic| topic == filter) {
            // Fails where the client is closed, and hears nothing any more.
            let _ = self.client().handle().unsubscribe(filter);
        }
    }

    /// Handles what the client tells, and that of those that come after it, until one is closed or gives up: then that
    /// is the error.
    pub fn run(&self) -> io::Result<()> {
        let ended = loop {
            let events = self.link.borrow().events.clone();
            let ended = self.listen(&events);
            let next = self.next.take().filter(|_| !ended.as_ref().is_err_and(is_cancelled));
            let Some(options) = next else { break ended };
            if let Err(e) = self.begin(options) {
                break Err(e);
            }
        };
        // Nobody tells of what is left.
        self.stage.set(Stage::Over);
        self.unanswered.take();
        self.left.take();
        self.news.notify_all();
        ended
    }

    fn listen(&self, events: &Events) -> io::Result<()> {
        loop {
            let Some(event) = events.next()? else { return Ok(()) };
            if is_packet(&event) {
                count(&self.report.packets);
            }
            match event {
                Event::Connected { .. } => self.connected(),
                Event::Disconnected { reason, retry_in } => {
                    log!(Warning, error = reason; "connection lost: {reason}; trying again in {retry_in:?}");
                    self.report.records.broker.link.lost(reason);
                }
                Event::Message(message) => self.commands.take_in(&message),
                Event::Delivered { id, outcome, .. } => self.delivered(id, outcome)?,
                Event::Subscribed { filter, granted: Ok(_), .. } => {
                    log!(Info, topic = filter; "subscribed to {filter}")
                }
                Event::Subscribed { filter, granted: Err(code), .. } => {
                    log!(Error, topic = filter, error = code; "{filter}: subscription refused: {code}");
                }
                Event::Log { line, .. } => log!(Warning; "libmosquitto: {line}"),
                Event::Owed { messages, .. } => self.owe(messages),
                Event::StoreFailed(e) => log!(Error, error = e; "{e}"),
                Event::Failed(reason) => return Err(io::Error::other(reason.to_string())),
                Event::Closed => return Ok(()),
                _ => {}
            }
        }
    }

    /// The store has messages; some may be of this run, accepted when another broker was spoken to.
    fn owe(&self, messages: u64) {
        let earlier = messages.saturating_sub(self.kept.get());
        if earlier > 0 {
            log!("{earlier} messages of earlier runs go out first");
        }
        self.owed.set(earlier);
    }

    /// Counts what went out. An answer to what was not asked, or was answered before, would make the sums wrong.
    fn delivered(&self, id: DeliveryId, outcome: Outcome) -> io::Result<()> {
        let sent = self.unanswered.borrow_mut().remove(&id);
        match &sent {
            Some(sent) if self.stage.get() == Stage::Moving && !is_final(outcome) => {
                if sent.publish.is_some() {
                    self.left.borrow_mut().push(sent.clone());
                    return Ok(());
                } else if outcome == Outcome::Kept {
                    // The next client has it from the file, by the same number.
                    self.unanswered.borrow_mut().insert(id, sent.clone());
                    return Ok(());
                }
            }
            Some(_) => {}
            None => {
                let Some(owed) = self.owed.get().checked_sub(1) else {
                    return Err(io::Error::other(format!("{id:?} was reported twice")));
                };
                self.owed.set(owed);
                if owed == 0 {
                    log!("nothing of earlier runs is left");
                }
            }
        }
        if matches!(outcome, Outcome::Acknowledged(_) | Outcome::Sent) {
            count(&self.report.published);
        }
        if let Some(sent) = sent {
            sent.end(outcome);
        }
        self.news.notify_all();
        Ok(())
    }

    /// Waits until all that was published has met its end.
    pub fn answered(&self) -> io::Result<()> {
        self.news.wait_while(|| !self.unanswered.borrow().is_empty())
    }

    fn connected(&self) {
        count(&self.connections);
        if self.connections.get() > 1 {
            count(&self.report.reconnects);
        }
        self.report.records.broker.link.opened();
        log!("connected");
    }

    /// Publishes as the settings say; waits for room where the client has none, and while the broker is changed.
    pub fn publish(&self, topic: String, payload: &str, retain: bool) -> io::Result<Rc<Sent>> {
        let permit = self.room.acquire_owned(1)?;
        let level = self.settings.borrow().qos;
        let publish = Publish::new(topic, payload).qos(level).retain(retain);
        loop {
            self.news.wait_while(|| self.stage.get() == Stage::Moving)?;
            let clients = self.clients.get();
            match self.client().publish(publish.clone()) {
                Ok(delivery) => {
                    let again = (self.store.is_none() && level != QoS::AtMostOnce).then_some(publish);
                    let sent = Sent::new(again, Some(permit));
                    // In time: the fiber that takes the answers has not run since.
                    self.unanswered.borrow_mut().insert(delivery.id(), sent.clone());
                    return Ok(sent);
                }
                // It was left for another while this one waited for room.
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe && self.has_more(clients) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Whether there are more clients than so many, or will be.
    fn has_more(&self, clients: u64) -> bool {
        self.stage.get() == Stage::Moving || self.clients.get() > clients
    }

    /// Waits for the end of a message; whether the broker has it. At QoS 0 it has what was sent.
    pub fn has_arrived(&self, sent: &Sent) -> io::Result<bool> {
        self.news.wait_while(|| sent.outcome.get().is_none() && self.stage.get() != Stage::Over)?;
        Ok(matches!(sent.outcome.get(), Some(Outcome::Acknowledged(_) | Outcome::Sent)))
    }

    /// Publishes at QoS 0: now or never.
    pub fn publish_now(&self, topic: &str, payload: String) {
        let topic = format!("{}/{topic}", self.settings.borrow().prefix);
        let published = self.client().handle().publish(Publish::new(topic, payload).qos(QoS::AtMostOnce));
        // Without a connection nobody misses it.
        if let Ok(delivery) = published {
            self.unanswered.borrow_mut().insert(delivery.id(), Sent::new(None, None));
        }
    }

    /// What the client has not got rid of yet.
    pub fn backlog(&self) -> Backlog {
        self.client().backlog()
    }

    /// Ends the connection; [`run`](Self::run) returns soon after.
    pub fn close(&self) {
        self.next.take();
        self.client().handle().close();
    }

    fn client(&self) -> Client {
        self.link.borrow().client.clone()
    }
}

impl Link {
    fn new(options: Options) -> io::Result<Link> {
        let (client, events) = Client::start(options)?;
        Ok(Link { client, events: Rc::new(events) })
    }
}

impl Sent {
    fn new(publish: Option<Publish>, permit: Option<OwnedPermit>) -> Rc<Sent> {
        Rc::new(Sent { publish, outcome: Cell::new(None), permit: RefCell::new(permit) })
    }

    fn end(&self, outcome: Outcome) {
        self.outcome.set(Some(outcome));
        // Makes room for another.
        self.permit.take();
    }
}

/// How the gateway connects.
fn options(settings: &BrokerSettings, address: Address, store: Option<Store>, persists: bool) -> io::Result<Options> {
    let mut options = settings.options(address)?;
    options = options.queue(CLIENT_QUEUE.0, CLIENT_QUEUE.1).backoff(BACKOFF.0, BACKOFF.1).linger(LINGER);
    if let Some(store) = store {
        options = options.queue(CLIENT_STORE.0, CLIENT_STORE.1).store(store);
    }
    Ok(if persists { options.give_up_when(|_| false) } else { options })
}

/// The topic of the commands to what publishes below `topic`.
fn filter(topic: &str) -> String {
    format!("{topic}/set")
}

/// Whether nothing more becomes of a message, whatever comes after its client.
fn is_final(outcome: Outcome) -> bool {
    !matches!(outcome, Outcome::Dropped(_) | Outcome::Uncertain(_) | Outcome::Kept)
}

/// Whether the event is a packet from the broker.
fn is_packet(event: &Event) -> bool {
    match event {
        Event::Connected { .. } | Event::Message(_) | Event::Subscribed { .. } => true,
        Event::Delivered { outcome, .. } => outcome.is_acknowledged(),
        _ => false,
    }
}
