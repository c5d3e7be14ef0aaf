use super::{DataBits, FlowControl, Held, Parity, Port, Settings, StopBits, settings};
use crate::SetupError;
use rustix::fs::{Mode, OFlags};
use rustix::io::retry_on_intr;
use rustix::termios::tcgetattr;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Says how to open a [`Port`]; made by [`Port::builder`].
///
/// ```
/// use becket_sys::{pty, serial::{FlowControl, Port, StopBits}};
///
/// let controller = pty::Controller::open()?;
/// let port = Port::builder(controller.terminal_path()?, 250_000)
///     .stop_bits(StopBits::Two)
///     .flow_control(FlowControl::Hardware)
///     .open()?;
/// assert_eq!(port.settings()?.to_string(), "250000 8N2 rts/cts");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is opened before `open`"]
pub struct Builder {
    path: PathBuf,
    settings: Settings,
    exclusive: bool,
}

impl Builder {
    pub(super) fn new(path: &Path, baud: u32) -> Builder {
        Builder { path: path.to_owned(), settings: Settings::new(baud), exclusive: true }
    }

    /// All settings at once, the baud included.
    pub fn settings(mut self, settings: Settings) -> Builder {
        self.settings = settings;
        self
    }

    /// Bits in a character; 8 by default.
    pub fn data_bits(mut self, data_bits: DataBits) -> Builder {
        self.settings.data_bits = data_bits;
        self
    }

    /// The check bit; none by default.
    pub fn parity(mut self, parity: Parity) -> Builder {
        self.settings.parity = parity;
        self
    }

    /// How long the line rests between characters; 1 bit by default.
    pub fn stop_bits(mut self, stop_bits: StopBits) -> Builder {
        self.settings.stop_bits = stop_bits;
        self
    }

    /// How a receiver stops a sender; not at all by default.
    pub fn flow_control(mut self, flow_control: FlowControl) -> Builder {
        self.settings.flow_control = flow_control;
        self
    }

    /// Whether nobody else may use the port as long as ours is open; `true` by default.
    ///
    /// That takes two locks: `TIOCEXCL`, by which the kernel keeps everybody but root from opening the device, and
    /// flock(2), which root's programs heed as well if they ask. Without exclusive use neither is set nor asked for.
    #[doc(alias = "TIOCEXCL")]
    #[doc(alias = "flock")]
    pub fn exclusive(mut self, exclusive: bool) -> Builder {
        self.exclusive = exclusive;
        self
    }

    /// Opens the port; see the [module](super) for what that does to the line. Never waits for the device.
    ///
    /// # Errors
    /// A [`SetupError`] with the path, and the step that failed:
    ///
    /// - `open`: `ENOENT`, `EACCES`, `ENXIO` or `ENODEV` where the device is gone, `EBUSY` where it is in
    ///   exclusive use.
    /// - `isatty`: `ENOTTY` where it is no terminal. `EIO` where the driver has no hardware behind it.
    /// - `lock`: `EBUSY` where another program, root's too, has it in exclusive use.
    /// - `tcsetattr`: as [`Port::set_settings`].
    pub fn open(&self) -> Result<Port, SetupError> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd =
            retry_on_intr(|| rustix::fs::open(&self.path, flags, Mode::empty())).map_err(|e| self.fail("open", e))?;
        tcgetattr(&fd).map_err(|e| self.fail("isatty", e))?;
        let held = Held::new(fd);
        if self.exclusive {
            // Before the settings are touched: they belong to whoever has the device.
            held.lock().map_err(|e| self.fail("lock", e))?;
        }
        settings::set(held.as_fd(), &self.settings).map_err(|e| self.fail("tcsetattr", e))?;
        Ok(Port { fd: held })
    }

    fn fail(&self, step: &'static str, e: impl Into<io::Error>) -> SetupError {
        SetupError::new(step, self.path.display().to_string(), e)
    }
}
