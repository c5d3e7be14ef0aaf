//! The loop's side of a store.

use super::clerk::{self, Desk, Wish};
use super::{Store, StoreError, StoreProblem};
use crate::delivery::DeliveryId;
use crate::error::PublishRefusal;
use crate::event::Event;
use crate::machine::{Held, Keeper, Key, News, Wake};
use crate::message::Publish;
use crate::queue::size;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// Has what a client tells it written by a thread.
pub(crate) struct StoreKeeper {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
    held: Held,
    wishes: Vec<Wish>,
    /// The messages that may be in memory only, with their sizes, and the sum of these.
    unwritten: VecDeque<(Key, usize)>,
    unwritten_bytes: usize,
    stored: Key,
    fails: Option<StoreError>,
    is_closing: bool,
    is_closed: bool,
    path: PathBuf,
}

/// The most bytes that wait for a slow disk; one message alone may have more.
const UNWRITTEN: usize = 16 << 20;

impl StoreKeeper {
    /// Takes the file of `store`. `wake` is called from the thread when there is news.
    pub(crate) fn new(store: &Store, wake: Wake) -> Result<StoreKeeper, StoreError> {
        let database = store.take()?;
        let desk = Arc::new(Desk::default());
        let (durability, theirs) = (store.durability, Arc::clone(&desk));
        let work = move || clerk::work(database, durability, &theirs, wake);
        let thread = thread::Builder::new().name("mqtt store".to_owned()).spawn(work);
        let os = |e: std::io::Error| StoreProblem::Os(e.raw_os_error().unwrap_or(libc::EAGAIN));
        let thread = thread.map_err(|e| StoreError::new(&store.path, os(e)))?;
        Ok(StoreKeeper {
            desk,
            thread: Some(thread),
            held: store.held,
            wishes: Vec::new(),
            unwritten: VecDeque::new(),
            unwritten_bytes: 0,
            stored: store.held.last,
            fails: None,
            is_closing: false,
            is_closed: false,
            path: store.path.clone(),
        })
    }
}

impl Keeper for StoreKeeper {
    fn held(&self) -> Held {
        self.held
    }

    fn refusal(&self, size: usize) -> Option<PublishRefusal> {
        if let Some(e) = &self.fails {
            return Some(PublishRefusal::Store(e.kind()));
        }
        let is_full = !self.unwritten.is_empty() && self.unwritten_bytes + size > UNWRITTEN;
        is_full.then_some(PublishRefusal::QueueFull)
    }

    fn accepted(&mut self, key: Key, publish: Publish) {
        let size = size(&publish);
        self.unwritten.push_back((key, size));
        self.unwritten_bytes += size;
        self.wishes.push(Wish::Add(key, publish));
    }

    fn done(&mut self, key: Key) {
        self.wishes.push(Wish::Remove(key));
    }

    fn load(&mut self, after: Key) {
        self.wishes.push(Wish::Load(after));
    }

    fn settle(&mut self) {
        self.desk.hand_over(&mut self.wishes);
    }

    fn news(&mut self) -> News {
        let Some(answers) = self.desk.take_answers() else {
            return News { stored: self.stored, closed: self.is_closed && self.is_closing, ..News::default() };
        };
        let mut events = Vec::new();
        while let Some(&(key, size)) = self.unwritten.front()
            && key <= answers.written
        {
            self.unwritten.pop_front();
            self.unwritten_bytes -= size;
        }
        let works_again = self.fails.is_some() && answers.fails.is_none();
        if answers.stored > self.stored || works_again {
            self.stored = self.stored.max(answers.stored);
            events.push(Event::Stored { through: DeliveryId(self.stored) });
        }
        if let Some(e) = &answers.fails
            && self.fails.is_none()
        {
            events.push(Event::StoreFailed(e.clone()));
        }
        self.fails = answers.fails;
        if answers.closed && !self.is_closing {
            // A panic of the thread's: nothing is stored any more.
            let e = StoreError::new(&self.path, StoreProblem::Database("its thread died".to_owned()));
            events.push(Event::StoreFailed(e.clone()));
            self.fails = Some(e);
        }
        self.is_closed = answers.closed;
        News { stored: self.stored, events, loaded: answers.loaded, closed: self.is_closed && self.is_closing }
    }

    fn close(&mut self, wait: bool) {
        if !self.is_closing {
            self.is_closing = true;
            self.wishes.push(Wish::Close);
            self.settle();
        }
        if wait && let Some(thread) = self.thread.take() {
            // A panic of the thread has been told by its hook.
            let _ = thread.join();
        }
    }
}

/// Waits until everything is written and the file is closed, or cannot be written.
impl Drop for StoreKeeper {
    fn drop(&mut self) {
        self.close(true);
    }
}
