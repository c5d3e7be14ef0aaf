//! GPIO lines by sysfs: /sys/class/gpio.

pub use becket_sys::gpio::sysfs::{Class, Direction, Edge, Level};

use crate::over::over_io;
use crate::{Io, Ready};
use becket_sys::gpio::sysfs;
use std::io;

/// One GPIO line, whose edges are waited for.
///
/// Export it by [`Class`], and set it up by [`sysfs::Line::set_input`] and [`sysfs::Line::watch`].
///
/// ```
/// use becket_fiber::gpio::sysfs::{Class, Edge, Line};
/// use becket_fiber::Runtime;
///
/// # let root = std::env::temp_dir().join(format!("becket-fiber-line-{}", std::process::id()));
/// # std::fs::create_dir_all(root.join("gpio7"))?;
/// # for (file, text) in [("export", ""), ("unexport", ""), ("gpio7/value", "1\n"), ("gpio7/edge", "none\n")] {
/// #     std::fs::write(root.join(file), text)?;
/// # }
/// let line = Line::try_from(Class::at(&root).export(7, None)?)?; // a folder that stands in for /sys/class/gpio
/// assert!(line.watch(Edge::Rising)?); // high at present
/// let mut runtime = Runtime::new()?;
/// let waited = runtime.run(|| line.next_edge())?;
/// assert_eq!(waited.unwrap_err().raw_os_error(), Some(1)); // EPERM: a regular file has no edges
/// # std::fs::remove_dir_all(root)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Line {
    io: Io<sysfs::Line>,
}

over_io!(Line, sysfs::Line, convert);

impl Line {
    /// Waits for an edge and reads the value: whether the line is active now. Edges that follow each other faster than
    /// this is called become one. After [`sysfs::Line::watch`] the first is one that came after that.
    ///
    /// # Errors
    /// `ENODEV` once somebody has unexported the line, which does not end a wait; [`Cancelled`](crate::Cancelled);
    /// `TimedOut`.
    #[doc(alias = "POLLPRI")]
    pub fn next_edge(&self) -> io::Result<bool> {
        // An edge comes as PRI with ERR beside it, and lasts until the value is read.
        self.io.wait(Ready::PRI, None)?;
        self.io.get_ref().value()
    }
}
