use std::error::Error;
use std::fmt::{self, Display};
use std::io;

/// A device took a call and did not do what was asked: which setting it was, and what it is instead.
///
/// It is inside of the [`io::Error`]s of kind [`Unsupported`](io::ErrorKind::Unsupported) that come from
/// [`set_settings`](super::Port::set_settings) and its kin; [`of`](Self::of) finds it there.
///
/// ```
/// use becket_sys::{pty, serial::{Parity, Port, Refused}};
///
/// let controller = pty::Controller::open()?; // knows no parity
/// let e = Port::builder(controller.terminal_path()?, 9600).parity(Parity::Even).open().unwrap_err();
/// let refused = Refused::of(&e).unwrap();
/// assert_eq!((refused.setting(), refused.wanted(), refused.got()), ("parity", "E", "N"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    setting: &'static str,
    wanted: String,
    got: String,
}

impl Refused {
    /// Finds it in `e` or in what caused that.
    pub fn of<'e>(e: &'e (dyn Error + 'static)) -> Option<&'e Refused> {
        // An `io::Error` does not name its content as its source, but passes on that one's.
        let inner = e.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let here = e.downcast_ref().or_else(|| inner.and_then(|inner| inner.downcast_ref()));
        here.or_else(|| e.source().and_then(Refused::of))
    }

    /// The setting: `baud`, `input baud`, `data bits`, `parity`, `stop bits`, `flow control`, one of RS-485 as the
    /// bits of [`Rs485Flags`](super::Rs485Flags) are called, and so on.
    pub fn setting(&self) -> &'static str {
        self.setting
    }

    /// What was asked for, as it prints.
    pub fn wanted(&self) -> &str {
        &self.wanted
    }

    /// What the device has instead.
    pub fn got(&self) -> &str {
        &self.got
    }
}

impl Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the device does not take {} {}, it stays at {}", self.setting, self.wanted, self.got)
    }
}

impl Error for Refused {}

/// The error that says so.
pub(super) fn refused(setting: &'static str, wanted: impl Display, got: impl Display) -> io::Error {
    let refused = Refused { setting, wanted: wanted.to_string(), got: got.to_string() };
    io::Error::new(io::ErrorKind::Unsupported, refused)
}

/// Whether the device has what it was asked for.
pub(super) fn same<T: PartialEq + Display>(setting: &'static str, wanted: T, got: T) -> io::Result<()> {
    if wanted == got { Ok(()) } else { Err(refused(setting, wanted, got)) }
}
