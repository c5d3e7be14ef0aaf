//! When the broker is told that a message has arrived.

use crate::client::Client;
use std::fmt;

/// When a message of QoS 1 that arrives is acknowledged to the broker, which then forgets it.
///
/// Libmosquitto makes the acknowledgement (PUBACK) as it reads the message, and appends it to what it is about to send.
/// It cannot be kept from doing so, and acknowledgements cannot be taken out, changed into refusals, or put into
/// another order. What can be done is to send nothing at all for a while.
///
/// At QoS 2 only the last of the broker's questions can be left open in that way: the library hands a message out when
/// it was acknowledged (PUBREC) and released (PUBREL), and holds it in memory until then. A process that ends does not
/// get such a message again, whatever is said here.
///
/// ```
/// use becket_mosquitto::Acknowledge;
///
/// assert_eq!(Acknowledge::default(), Acknowledge::OnArrival);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Acknowledge {
    /// When it is read, before the program has seen it. A process that ends while it handles a message does not get it
    /// again. The default, and the fastest.
    #[default]
    OnArrival,
    /// When the callbacks that it is for have returned, and every [`Hold`] is dropped. A process that ends before gets
    /// it again, if it asks for the session [that it left](crate::Session::Kept): at least once. What is sent waits for
    /// one turn of the loop in which messages have come.
    WhenHandled,
}

/// Nothing is sent to the broker, acknowledgements included, and nothing more is read, while there is one: see
/// [`Client::hold`].
#[must_use = "dropping it ends the hold"]
pub struct Hold {
    pub(crate) client: Client,
}

impl Client {
    /// Has the messages that are being handed out stay unacknowledged until what this returns is dropped: for a handler
    /// that goes on after it has returned, such as one that has a message written to a disk. `None` where the client
    /// [acknowledges on arrival](Acknowledge::OnArrival), and there is nothing to hold.
    ///
    /// Since acknowledgements leave in order with everything else, nothing is sent meanwhile: what is published waits,
    /// and so does the keep-alive, so that a hold has to be shorter than
    /// [`Options::keep_alive`](crate::Options::keep_alive): after one and a half times as long the broker ends the
    /// connection, and hands the messages out again. Nothing more is read, either. Whoever waits for an answer of the
    /// same broker by the same client waits for itself. A [`close`](Self::close) waits for the end of the hold as long
    /// as [`Options::linger`](crate::Options::linger) says, and then ends the connection without a word: the messages
    /// stay unacknowledged.
    ///
    /// ```
    /// use becket_loop::{Loop, Next};
    /// use becket_mosquitto::{Acknowledge, Client, Options, QoS};
    /// use std::time::Duration;
    ///
    /// let mut event_loop: Loop<Vec<Vec<u8>>> = Loop::new()?;
    /// let options = Options::new("unix:/nobody".parse()?).acknowledge(Acknowledge::WhenHandled);
    /// let client = Client::join(&mut event_loop, options, |_, _, _, _| Ok(()))?;
    /// client.on("jobs/+", QoS::AtLeastOnce, |_: &mut Vec<Vec<u8>>, ctx, client, message| {
    ///     let hold = client.hold();
    ///     ctx.after(Duration::from_millis(100), move |done, _ctx| {
    ///         done.push(message.payload);
    ///         drop(hold); // acknowledged
    ///         Ok(())
    ///     });
    ///     Ok(Next::Keep)
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hold(&self) -> Option<Hold> {
        self.machine.borrow_mut().hold().then(|| Hold { client: self.clone() })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.client.machine.borrow_mut().release();
        self.client.nudge();
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").finish_non_exhaustive()
    }
}
