/// What a port with error marks received: made by [`Unmark`].
///
/// ```
/// use becket_sys::serial::Received;
///
/// assert_ne!(Received::Wrong(0x41), Received::Byte(0x41));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Received {
    /// A byte that arrived well.
    Byte(u8),
    /// A byte whose parity or framing was wrong, as far as it was understood.
    Wrong(u8),
    /// A break, or a zero whose framing was wrong, which looks the same.
    Break,
}

/// Takes apart what a port reads after [`Port::set_error_marks`](super::Port::set_error_marks), termios(3) under
/// `PARMRK`: an error is the bytes `ff 00` and the wrong one, a break `ff 00 00`, and a byte `ff` that is well `ff ff`.
///
/// It works on bytes alone, however they were read, and remembers a mark that is not yet complete. Bytes that the
/// kernel does not write, `ff` and then neither of the two, count as two that are well.
///
/// ```
/// use becket_sys::serial::{Received, Unmark};
///
/// let mut unmark = Unmark::new();
/// let first: Vec<_> = unmark.decode(&[b'a', 0xff]).collect();
/// assert_eq!(first, [Received::Byte(b'a')]);
/// let rest: Vec<_> = unmark.decode(&[0, 0, 0xff, 0xff, 0xff, 0, b'x']).collect();
/// assert_eq!(rest, [Received::Break, Received::Byte(0xff), Received::Wrong(b'x')]);
/// ```
#[doc(alias = "PARMRK")]
#[derive(Debug, Clone, Default)]
pub struct Unmark {
    state: State,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    #[default]
    Plain,
    /// After `ff`.
    Mark,
    /// After `ff 00`.
    Error,
}

impl Unmark {
    /// A decoder at the beginning.
    pub fn new() -> Unmark {
        Unmark::default()
    }

    /// What is in `bytes`, together with what was left of those before. Where the iterator is dropped before its end,
    /// the rest of `bytes` is lost.
    pub fn decode<'a>(&'a mut self, bytes: &'a [u8]) -> impl Iterator<Item = Received> + 'a {
        let mut bytes = bytes.iter().copied();
        let mut second = None;
        std::iter::from_fn(move || {
            if let Some(byte) = second.take() {
                return Some(Received::Byte(byte));
            }
            loop {
                let byte = bytes.next()?;
                match (self.state, byte) {
                    (State::Plain, 0xff) => self.state = State::Mark,
                    (State::Plain, byte) => return Some(Received::Byte(byte)),
                    (State::Mark, 0) => self.state = State::Error,
                    (State::Mark, byte) => {
                        self.state = State::Plain;
                        second = (byte != 0xff).then_some(byte);
                        return Some(Received::Byte(0xff));
                    }
                    (State::Error, byte) => {
                        self.state = State::Plain;
                        return Some(if byte == 0 { Received::Break } else { Received::Wrong(byte) });
                    }
                }
            }
        })
    }
}
