//! What waits in a store, and what a store tells.

use super::{Keeper, Key, Machine, problem_of};
use crate::delivery::{Delivery, DeliveryId, Dropped, Outcome};
use crate::error::{OptionsError, PublishRefusal};
use crate::event::Event;
use crate::message::Publish;
use crate::options::Protocol;
use crate::queue::{Item, size};
use crate::reason::ReasonCode;
use std::collections::HashMap;

/// Of how few messages in memory on the next ones are read.
const LOW: usize = 128;

/// What a store has and memory has not.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// The last message that is, or was, in memory: all later ones are in the store alone.
    cursor: Key,
    /// Whether the next ones are being read.
    is_loading: bool,
    /// All up to this one are stored.
    stored: Key,
    /// The deliveries of those which this client accepted.
    deliveries: HashMap<Key, Delivery>,
}

impl Machine {
    /// With the store that the options name.
    #[cfg(feature = "store")]
    pub(super) fn with_store(mut self) -> Result<Machine, OptionsError> {
        if let Some(store) = self.options.store.take() {
            let keeper = crate::store::StoreKeeper::new(&store, self.wake.clone());
            self.keep(Box::new(keeper.map_err(|e| OptionsError::new(e.to_string()))?));
        }
        Ok(self)
    }

    #[cfg(not(feature = "store"))]
    pub(super) fn with_store(self) -> Result<Machine, OptionsError> {
        Ok(self)
    }

    /// Has messages kept beyond the life of this client, and sends what an earlier one owed. Before the first step.
    #[cfg_attr(not(feature = "store"), allow(dead_code, reason = "there is no other keeper"))]
    pub(super) fn keep(&mut self, keeper: Box<dyn Keeper>) {
        let held = keeper.held();
        self.next_id = held.last + 1;
        self.shelf.stored = held.last;
        if held.messages > 0 {
            self.queue.park(held.messages as usize, held.bytes as usize);
            self.events.push_back(Event::Owed { messages: held.messages, bytes: held.bytes });
        }
        self.keeper = Some(keeper);
    }

    /// Has the store take a message of QoS 1 or 2, where there is one. Returns it, unless it waits there alone.
    pub(super) fn shelve(&mut self, mut item: Item) -> Option<Item> {
        let Some(keeper) = &mut self.keeper else { return Some(item) };
        let key = item.delivery.id().0;
        item.key = Some(key);
        if self.queue.is_parked() || self.queue.is_long() {
            self.queue.park(1, size(&item.publish));
            keeper.accepted(key, item.publish);
            self.shelf.deliveries.insert(key, item.delivery);
            None
        } else {
            keeper.accepted(key, item.publish.clone());
            self.shelf.cursor = key;
            Some(item)
        }
    }

    /// Takes in what the store has to tell.
    pub(super) fn hear_keeper(&mut self) {
        let Some(keeper) = &mut self.keeper else { return };
        let news = keeper.news();
        self.shelf.stored = news.stored;
        self.events.extend(news.events);
        if let Some(loaded) = news.loaded {
            self.shelf.is_loading = false;
            if loaded.is_empty() {
                self.miss_parked();
            }
            for (key, publish) in loaded {
                self.unshelve(key, publish);
            }
        }
        if news.closed {
            self.keeper = None;
            if let Some(last) = self.last.take() {
                self.end(last);
            }
        }
    }

    /// Waits for the store to end.
    pub(super) fn await_keeper(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.close(true);
        }
        self.hear_keeper();
    }

    /// Why the store cannot take a message of this size now.
    pub(super) fn store_refusal(&self, size: usize) -> Option<PublishRefusal> {
        self.keeper.as_ref()?.refusal(size)
    }

    pub(super) fn is_stored(&self, key: Key) -> bool {
        key <= self.shelf.stored
    }

    /// The messages that wait in the store alone, without what is in them.
    pub(super) fn empty_shelf(&mut self) -> Vec<Item> {
        self.queue.unpark_all();
        let item = |(key, delivery)| Item { publish: Publish::new("", ""), delivery, before: false, key: Some(key) };
        self.shelf.deliveries.drain().map(item).collect()
    }

    /// Somebody else took messages out of the store.
    fn miss_parked(&mut self) {
        for item in self.empty_shelf() {
            self.answer(&item, Outcome::Dropped(Dropped::Damaged));
        }
    }

    /// A message was read; `None` where it is not what was written.
    fn unshelve(&mut self, key: Key, publish: Option<Publish>) {
        self.shelf.cursor = key;
        let own = self.shelf.deliveries.remove(&key);
        // An earlier client may have sent it, in a session that is gone.
        let before = own.is_none();
        let delivery = own.unwrap_or_else(|| Delivery::new(DeliveryId(key), None));
        let is_damaged = publish.is_none();
        let publish = publish.unwrap_or_else(|| Publish::new("", ""));
        self.queue.unpark(size(&publish));
        let item = Item { publish, delivery, before, key: Some(key) };
        if is_damaged {
            self.answer(&item, Outcome::Dropped(Dropped::Damaged));
        } else if problem_of(&item.publish, self.options.protocol == Protocol::V5).is_some() {
            // It was accepted under another version of the protocol.
            self.answer(&item, Outcome::Refused(ReasonCode::UNSPECIFIED));
        } else {
            self.queue.push(item);
        }
    }

    /// Has the next messages read where few are left.
    pub(super) fn refill(&mut self) {
        if let Some(keeper) = &mut self.keeper
            && self.queue.is_parked()
            && self.queue.in_memory() < LOW
            && !self.shelf.is_loading
        {
            self.shelf.is_loading = true;
            keeper.load(self.shelf.cursor);
        }
    }
}
