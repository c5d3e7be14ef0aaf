use super::config::encode;
use super::{Chip, EdgeEvent, EdgeEvents, LineConfig};
use crate::fd::{owned_fd, unless_blocked};
use crate::ffi::gpio::{self as ffi, LineEvent};
use crate::{EventBuf, SetupError};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, read};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// A request in the making; [`Chip::request`] begins one.
///
/// ```no_run
/// use becket_sys::gpio::{Chip, Edge, LineConfig};
///
/// let chip = Chip::open("/dev/gpiochip0")?;
/// let keypad = chip
///     .request()
///     .consumer("keypad")
///     .lines([4, 5, 6], LineConfig::input().edge(Edge::Both))
///     .line(12, LineConfig::output(false))
///     .event_buffer(256)
///     .open()?;
/// assert_eq!(keypad.offsets(), [4, 5, 6, 12]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "gpio_v2_line_request")]
#[derive(Debug, Clone)]
#[must_use = "nothing is requested before it is opened"]
pub struct RequestBuilder<'c> {
    chip: &'c Chip,
    lines: Vec<(u32, LineConfig)>,
    consumer: [u8; ffi::NAME],
    event_buffer: u32,
}

impl<'c> RequestBuilder<'c> {
    pub(super) fn new(chip: &'c Chip) -> RequestBuilder<'c> {
        RequestBuilder { chip, lines: Vec::new(), consumer: [0; ffi::NAME], event_buffer: 0 }
    }

    /// Takes the line at `offset`, to be as `config` says. Named again, it is as it was named last, in its first place.
    pub fn line(mut self, offset: u32, config: LineConfig) -> RequestBuilder<'c> {
        match self.lines.iter_mut().find(|(known, _)| *known == offset) {
            Some((_, old)) => *old = config,
            None => self.lines.push((offset, config)),
        }
        self
    }

    /// Takes several lines, each to be as `config` says.
    pub fn lines(self, offsets: impl IntoIterator<Item = u32>, config: LineConfig) -> RequestBuilder<'c> {
        offsets.into_iter().fold(self, |this, offset| this.line(offset, config))
    }

    /// What others see as the user of the lines: [`LineInfo::consumer`](super::LineInfo::consumer). At most 31 bytes
    /// are kept. By default the kernel says `?`.
    pub fn consumer(mut self, name: &str) -> RequestBuilder<'c> {
        // A character that would be cut through goes as a whole; the last byte stays NUL.
        let end = name.floor_char_boundary(ffi::NAME - 1);
        self.consumer = [0; ffi::NAME];
        self.consumer[..end].copy_from_slice(&name.as_bytes()[..end]);
        self
    }

    /// How many edges the kernel is to keep until they are read: a wish, of which it takes at most 1024, and may make
    /// more. By default 16 for each line.
    #[doc(alias = "event_buffer_size")]
    pub fn event_buffer(mut self, events: u32) -> RequestBuilder<'c> {
        self.event_buffer = events;
        self
    }

    /// Requests the lines, all of them or none.
    ///
    /// # Errors
    /// A [`SetupError`] with the lines and the step that failed. `configure`: `EINVAL` for no line, or more than 64;
    /// `InvalidInput` where the lines differ in more than 10 ways, or a debounce period is too long. `request`: `EBUSY`
    /// where somebody uses one of them; `EINVAL` where the chip has no such line, or for a configuration that makes no
    /// sense; `ENXIO` or the like for edges where the line has no interrupt; `EOPNOTSUPP` for a hardware clock without
    /// one; `EMFILE`, `ENFILE`, `ENOMEM`; `ENODEV` where the chip is gone; `EINVAL` from kernels before 5.10.
    pub fn open(self) -> Result<Request, SetupError> {
        let (offsets, configs): (Vec<u32>, Vec<LineConfig>) = self.lines.into_iter().unzip();
        let subject = || format!("lines {offsets:?} of {}", self.chip.info().name.display());
        let failed = |step| move |e: io::Error| SetupError::new(step, subject(), e);
        let config = encode(&configs).map_err(failed("configure"))?;
        let mut request = ffi::Request {
            offsets: [0; ffi::LINES],
            consumer: self.consumer,
            config,
            lines: offsets.len() as u32,
            event_buffer: self.event_buffer,
            padding: [0; 5],
            fd: -1,
        };
        request.offsets[..offsets.len()].copy_from_slice(&offsets);
        let fd = self.chip.fd().request(&mut request).map_err(|e| failed("request")(e.into()))?;
        // It is close-on-exec already, and blocks. Nobody shares it yet.
        let nonblocking = fcntl_getfl(&fd).and_then(|flags| fcntl_setfl(&fd, flags | OFlags::NONBLOCK));
        nonblocking.map_err(|e| failed("set non-blocking")(e.into()))?;
        Ok(Request { fd, offsets: offsets.into() })
    }
}

/// Lines of a chip that belong to this descriptor until it is closed.
///
/// Readable when an edge is there. Close-on-exec and non-blocking. Dropping it closes the descriptor and releases the
/// lines: an output then keeps or loses its level as the chip pleases.
///
/// Values are by meaning, not by voltage: `true` is active, which is low where a line is active low.
///
/// Lines are named by their offsets in the chip. Where many are read or set at once, [`bits`](Self::bits) and
/// [`set_bits`](Self::set_bits) go by their places in the request.
///
/// ```
/// use becket_sys::gpio::Request;
///
/// let (other_kind, _) = std::io::pipe()?;
/// let request = Request::from_fd(other_kind.into(), [17, 4]);
/// assert_eq!(request.mask([4])?, 0b10);
/// let e = request.value(17).unwrap_err();
/// assert_eq!(e.raw_os_error(), Some(25)); // ENOTTY: it is no request
/// let e = request.value(5).unwrap_err();
/// assert_eq!(e.to_string(), "line 5 is not among the lines [17, 4] of the request");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Request {
    fd: OwnedFd,
    offsets: Box<[u32]>,
}

owned_fd!(Request, Readable);

impl Request {
    /// Takes over a descriptor of which the caller knows the lines, in the order of the request.
    ///
    /// A wrong descriptor can merely make calls fail, wrong offsets confuse lines. The blocking mode stays as it is:
    /// such descriptors are blocking unless somebody changed that, and reads of a blocking one wait.
    pub fn from_fd(fd: OwnedFd, offsets: impl IntoIterator<Item = u32>) -> Request {
        Request { fd, offsets: offsets.into_iter().take(ffi::LINES).collect() }
    }

    /// The lines, in the order of the request.
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// Whether a line is active: what the wire says, for an output too where the chip can tell.
    ///
    /// # Errors
    /// `InvalidInput` where it is no line of this request; `ENODEV` where the chip is gone; `EIO` where it does not
    /// answer.
    pub fn value(&self, offset: u32) -> io::Result<bool> {
        Ok(self.bits(self.bit(offset)?)? != 0)
    }

    /// Makes an output active or inactive.
    ///
    /// # Errors
    /// `EPERM` where it is an input; otherwise as [`value`](Self::value).
    pub fn set_value(&self, offset: u32, active: bool) -> io::Result<()> {
        self.set_values([(offset, active)])
    }

    /// Whether each line is active, in the order of the request; read in one go where the chip can.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn values(&self) -> io::Result<Vec<bool>> {
        let bits = self.bits(self.all())?;
        Ok((0..self.offsets.len()).map(|i| bits >> i & 1 == 1).collect())
    }

    /// Sets outputs, in one go where the chip can; the other lines stay as they are. For a line named twice the last
    /// counts.
    ///
    /// # Errors
    /// `EPERM` where one is an input, and then none is set; `EINVAL` for no line at all; otherwise as
    /// [`value`](Self::value).
    pub fn set_values(&self, values: impl IntoIterator<Item = (u32, bool)>) -> io::Result<()> {
        let (mut mask, mut bits) = (0, 0);
        for (offset, active) in values {
            let bit = self.bit(offset)?;
            mask |= bit;
            bits = if active { bits | bit } else { bits & !bit };
        }
        self.set_bits(mask, bits)
    }

    /// As [`values`](Self::values), of the lines in `mask`. Bit 0 is the first line of the request; what is not in the
    /// mask reads 0.
    ///
    /// # Errors
    /// `EINVAL` where `mask` is 0 or has bits of no line; `ENODEV`, `EIO`.
    #[doc(alias = "GPIO_V2_LINE_GET_VALUES_IOCTL")]
    pub fn bits(&self, mask: u64) -> io::Result<u64> {
        self.check(mask)?;
        Ok(ffi::values(self.fd.as_fd(), mask)?)
    }

    /// As [`set_values`](Self::set_values), of the lines in `mask`. Bit 0 is the first line of the request.
    ///
    /// # Errors
    /// `EINVAL` where `mask` is 0 or has bits of no line; `EPERM` where one is an input; `ENODEV`, `EIO`.
    #[doc(alias = "GPIO_V2_LINE_SET_VALUES_IOCTL")]
    pub fn set_bits(&self, mask: u64, bits: u64) -> io::Result<()> {
        self.check(mask)?;
        Ok(ffi::set_values(self.fd.as_fd(), mask, bits)?)
    }

    /// The bits of lines in [`bits`](Self::bits) and [`set_bits`](Self::set_bits).
    ///
    /// # Errors
    /// `InvalidInput` where one is no line of this request.
    pub fn mask(&self, offsets: impl IntoIterator<Item = u32>) -> io::Result<u64> {
        offsets.into_iter().try_fold(0, |mask, offset| Ok(mask | self.bit(offset)?))
    }

    /// Configures the lines anew, all of them, without releasing them. What is queued stays; the clock of its times is
    /// that of the configuration before.
    ///
    /// The kernel replaces the whole configuration, so every line must be named; for one named twice the last counts.
    ///
    /// # Errors
    /// `InvalidInput` where a line is left out, or is none of this request; otherwise as
    /// [`RequestBuilder::open`]. After an error of the kernel's, some of the lines may be configured anew.
    ///
    /// ```no_run
    /// use becket_sys::gpio::{Chip, Edge, LineConfig};
    ///
    /// let chip = Chip::open("/dev/gpiochip0")?;
    /// let wires = chip.request().lines([4, 5], LineConfig::output(false)).open()?;
    /// wires.reconfigure([(4, LineConfig::input().edge(Edge::Both)), (5, LineConfig::output(true))])?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "GPIO_V2_LINE_SET_CONFIG_IOCTL")]
    pub fn reconfigure(&self, lines: impl IntoIterator<Item = (u32, LineConfig)>) -> io::Result<()> {
        let mut configs = vec![None; self.offsets.len()];
        for (offset, config) in lines {
            configs[self.index(offset)?] = Some(config);
        }
        let complete = configs.iter().zip(&self.offsets).map(|(config, offset)| {
            config.ok_or_else(|| invalid(format!("line {offset} is to be configured as well: the kernel wants all")))
        });
        let mut config = encode(&complete.collect::<io::Result<Vec<_>>>()?)?;
        Ok(ffi::set_config(self.fd.as_fd(), &mut config)?)
    }

    /// Takes as many edges as `buf` has room for, 48 bytes each; `None` where there are none.
    ///
    /// # Errors
    /// `EINVAL` for a buffer of less than 48 bytes; `ENODEV` where the chip is gone.
    pub fn read_events<'b>(&self, buf: &'b mut EventBuf) -> io::Result<Option<EdgeEvents<'b>>> {
        let n = unless_blocked(buf.read_from(&self.fd))?;
        Ok(n.map(|_| EdgeEvents::parse(buf.as_bytes())))
    }

    /// Takes one edge; `None` where there is none.
    ///
    /// # Errors
    /// `ENODEV` where the chip is gone.
    pub fn try_read(&self) -> io::Result<Option<EdgeEvent>> {
        let mut record = [0; size_of::<LineEvent>()];
        let n = unless_blocked(read(&self.fd, &mut record))?;
        Ok(n.and_then(|n| EdgeEvents::parse(&record[..n]).next()))
    }

    /// A second handle to the same request: the lines are released when both are closed, and each edge is read once.
    ///
    /// # Errors
    /// `EMFILE` where no descriptor is left.
    pub fn try_clone(&self) -> io::Result<Request> {
        Ok(Request { fd: self.fd.try_clone()?, offsets: self.offsets.clone() })
    }

    fn index(&self, offset: u32) -> io::Result<usize> {
        let unknown = || format!("line {offset} is not among the lines {:?} of the request", self.offsets);
        self.offsets.iter().position(|known| *known == offset).ok_or_else(|| invalid(unknown()))
    }

    fn bit(&self, offset: u32) -> io::Result<u64> {
        Ok(1 << self.index(offset)?)
    }

    fn all(&self) -> u64 {
        u64::MAX.checked_shr(64 - self.offsets.len() as u32).unwrap_or(0)
    }

    /// The kernel passes over bits of no line, as long as there is one of a line.
    fn check(&self, mask: u64) -> io::Result<()> {
        if mask == 0 || mask & !self.all() != 0 { Err(Errno::INVAL.into()) } else { Ok(()) }
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
