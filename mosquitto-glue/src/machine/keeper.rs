//! What may keep the messages of QoS 1 and 2 for longer than the process lives.

use crate::error::PublishRefusal;
use crate::event::Event;
use crate::message::Publish;

/// What a [`Keeper`] calls a message: the number of its delivery.
pub(crate) type Key = u64;

/// What a keeper has from earlier clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Held {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// The highest key, 0 where there is none.
    pub(crate) last: Key,
}

/// What a keeper has to tell.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// All up to this one are stored, or were answered before.
    pub(crate) stored: Key,
    /// For the program.
    pub(crate) events: Vec<Event>,
    /// What was asked for by [`load`](Keeper::load), `None` for a message that is not what was written. None at
    /// all where there are no more.
    pub(crate) loaded: Option<Vec<(Key, Option<Publish>)>>,
    /// The answer to [`close`](Keeper::close).
    pub(crate) closed: bool,
}

/// Keeps the messages of QoS 1 and 2 that are accepted and not answered.
///
/// No call waits. The machine calls it with nothing borrowed that it could meet again, and never from within
/// libmosquitto.
pub(crate) trait Keeper {
    /// What earlier clients owed. Asked for first.
    fn held(&self) -> Held;

    /// Why a message of this size cannot be accepted now.
    fn refusal(&self, size: usize) -> Option<PublishRefusal>;

    /// A message is accepted; keys go up.
    fn accepted(&mut self, key: Key, publish: Publish);

    /// A message has its outcome, and is owed no more. Not called for what is open when the client ends.
    fn done(&mut self, key: Key);

    /// Has the messages after this one read, some of them at a time.
    fn load(&mut self, after: Key);

    /// A step of the machine ends: the time to begin with what was asked for since, in one go.
    fn settle(&mut self);

    /// What there is to tell.
    fn news(&mut self) -> News;

    /// Ends, after everything asked for; with `wait`, returns when it has.
    fn close(&mut self, wait: bool);
}
