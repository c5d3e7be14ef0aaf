use super::{Flags, Message, Refusal};

/// A request that was sent, and what has been answered so far: tells which messages belong to it, and when it has
/// ended.
///
/// It knows messages alone, for programs that send and receive by a loop. [`Socket::request`](super::Socket::request)
/// does all of it at once.
///
/// ```
/// use becket_sys::netlink::{Answer, Exchange, Flags, Messages, Request};
///
/// let mut exchange = Exchange::new(7);
/// let stranger = Request::new(16, Flags::empty()).to_bytes(6)?;
/// let message = Messages::parse(&stranger).next().unwrap();
/// assert!(matches!(exchange.take(message), Answer::Other(_)));
///
/// let answer = Request::new(16, Flags::DUMP_INTR).to_bytes(7)?; // what an answer looks like
/// let message = Messages::parse(&answer).next().unwrap();
/// assert!(matches!(exchange.take(message), Answer::Part(_)));
///
/// let end = Request::new(3, Flags::MULTI).to_bytes(7)?;
/// let message = Messages::parse(&end).next().unwrap();
/// assert_eq!(exchange.take(message), Answer::Done { interrupted: true }); // list again
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    sequence: u32,
    interrupted: bool,
}

/// What a message is to an [`Exchange`].
///
/// ```
/// use becket_sys::netlink::{Answer, Exchange, Flags, Messages, Request};
///
/// let bytes = Request::new(2, Flags::empty()).to_bytes(1)?; // a confirmation, too short to say of what
/// let message = Messages::parse(&bytes).next().unwrap();
/// let Answer::Refused(refusal) = Exchange::new(1).take(message) else { panic!() };
/// assert_eq!(refusal.code, 74); // EBADMSG
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<'b> {
    /// Not an answer to this request: another one's, or what a group is told.
    Other(Message<'b>),
    /// A part of the answer; more follows.
    Part(Message<'b>),
    /// The end.
    Done {
        /// What was listed has changed meanwhile: there may be gaps and doubles. List again.
        #[doc(alias = "NLM_F_DUMP_INTR")]
        interrupted: bool,
    },
    /// The end: the kernel has not done it, or not all of it.
    Refused(Refusal),
}

impl Exchange {
    /// One whose request was sent with this number.
    pub fn new(sequence: u32) -> Exchange {
        Exchange { sequence, interrupted: false }
    }

    /// The number of the request.
    pub fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Says what `message` is. After an end, forget the exchange.
    pub fn take<'b>(&mut self, message: Message<'b>) -> Answer<'b> {
        if message.sequence != self.sequence || message.kind == Message::NOOP {
            return Answer::Other(message);
        }
        // The confirmations have another meaning for this bit's neighbours, but not for this one.
        self.interrupted |= message.flags.contains(Flags::DUMP_INTR);
        match message.outcome() {
            None => Answer::Part(message),
            Some(Ok(())) => Answer::Done { interrupted: self.interrupted },
            Some(Err(refusal)) => Answer::Refused(refusal),
        }
    }

    /// Says that something may have been lost: the end will be an interrupted one.
    pub fn lost(&mut self) {
        self.interrupted = true;
    }
}
