//! From one broker to another.

use super::{CLIENT_STORE, Link, Mqtt, Stage, options};
use crate::log::log;
use crate::settings::BrokerSettings;
use becket_fiber::{is_cancelled, timeout};
use becket_mosquitto::{Address, Dropped, Options, Outcome, QoS, Store};
use std::io;
use std::time::Duration;

/// How long a broker that is to be left has to acknowledge what it has.
const FAREWELL: Duration = Duration::from_secs(1);

impl Mqtt {
    /// Speaks to another broker, or to the same one in another way, from now on. What waits, and what the present one
    /// does not acknowledge at once, goes to the other one: at QoS 1 both may get it.
    pub fn set_broker(&self, settings: BrokerSettings, address: Address) -> io::Result<()> {
        let next = options(&settings, address.clone(), None, true)?;
        let before = self.settings.replace(settings.clone());
        let alike = BrokerSettings { qos: before.qos, prefix: before.prefix.clone(), ..settings } == before;
        if alike || self.stage.get() != Stage::Open {
            return Ok(());
        }
        self.stage.set(Stage::Moving);
        self.next.replace(Some(next));
        let client = self.client();
        if client.is_connected() {
            match timeout(FAREWELL, || self.answered()) {
                Err(e) if is_cancelled(&e) => {
                    self.next.take();
                    self.stage.set(Stage::Open);
                    self.news.notify_all();
                    return Err(e);
                }
                _ => {}
            }
        }
        self.report.records.broker.address.replace(address.to_string());
        self.report.records.broker.link.lost("left for another");
        client.handle().close();
        self.news.wait_while(|| self.stage.get() == Stage::Moving)
    }

    /// Begins with the next client where the last one has ended.
    pub(super) fn begin(&self, mut options: Options) -> io::Result<()> {
        if let Some(store) = &self.store {
            options = options.store(Store::open(store.path()).map_err(io::Error::other)?);
            options = options.queue(CLIENT_STORE.0, CLIENT_STORE.1);
        }
        let link = Link::new(options)?;
        let handle = link.client.handle().clone();
        self.link.replace(link);
        self.clients.set(self.clients.get() + 1);
        self.kept.set(self.unanswered.borrow().len() as u64);
        self.connections.set(0);
        for topic in self.commands.topics() {
            handle.subscribe(&topic, QoS::AtLeastOnce).map_err(io::Error::other)?;
        }
        // In their order, and before all that waits to be published.
        for sent in self.left.take() {
            let Some(publish) = &sent.publish else { continue };
            match handle.publish(publish.clone()) {
                Ok(delivery) => drop(self.unanswered.borrow_mut().insert(delivery.id(), sent)),
                Err(e) => {
                    log!(Error, topic = publish.topic(), error = e; "{}: a message is lost: {e}", publish.topic());
                    sent.end(Outcome::Dropped(Dropped::Closed));
                }
            }
        }
        self.stage.set(Stage::Open);
        self.news.notify_all();
        Ok(())
    }
}
