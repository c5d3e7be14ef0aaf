//! What may keep the messages of QoS 1 and 2 for longer than the process lives.

use crate::message::Publish;
use std::io;

/// What a [`Keeper`] calls a message. In the order of publishing.
pub(crate) type Key = u64;

/// Keeps the messages of QoS 1 and 2 that are accepted and not answered.
///
/// The machine calls it with nothing borrowed that it could meet again, and never from within libmosquitto.
pub(crate) trait Keeper {
    /// The messages that an earlier client owed, oldest first. Asked for once, before anything is accepted.
    fn owed(&mut self) -> io::Result<Vec<(Key, Publish)>>;

    /// A message is about to be accepted; with an error it is not.
    fn accepted(&mut self, publish: &Publish) -> io::Result<Key>;

    /// A message has its outcome, and is owed no more. Not called for what is open when the client ends.
    fn done(&mut self, key: Key);

    /// A step of the machine ends: the time to write what was done since, in one go.
    fn settle(&mut self) {}
}
