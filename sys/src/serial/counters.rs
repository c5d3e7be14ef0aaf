use crate::ffi::serial as ffi;

/// What the driver has counted since it was started: ioctl_tty(2), `TIOCGICOUNT`. Each number runs over from
/// `u32::MAX` to 0.
///
/// ```
/// use becket_sys::serial::Counters;
///
/// let before = Counters { framing_errors: u32::MAX, ..Counters::default() };
/// let now = Counters { framing_errors: 1, received: 40, ..Counters::default() };
/// let since = now.since(&before);
/// assert_eq!((since.framing_errors, since.received), (2, 40));
/// ```
#[doc(alias = "TIOCGICOUNT")]
#[doc(alias = "serial_icounter_struct")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Counters {
    /// Changes of CTS. Those of modem lines are counted only while the driver watches them: with hardware flow
    /// control, or since somebody waited for them ([`Port::wait_lines`](super::Port::wait_lines)).
    pub cts: u32,
    /// Changes of DSR.
    pub dsr: u32,
    /// Ends of a ring, RI going low.
    #[doc(alias = "rng")]
    pub ring: u32,
    /// Changes of DCD.
    #[doc(alias = "dcd")]
    pub carrier: u32,
    /// Characters received.
    #[doc(alias = "rx")]
    pub received: u32,
    /// Characters sent.
    #[doc(alias = "tx")]
    pub sent: u32,
    /// Characters without a stop bit: a wrong baud, or noise.
    #[doc(alias = "frame")]
    pub framing_errors: u32,
    /// Characters that the chip lost because nobody fetched them in time.
    pub overruns: u32,
    /// Characters with a wrong check bit.
    pub parity_errors: u32,
    /// Breaks received.
    #[doc(alias = "brk")]
    pub breaks: u32,
    /// Characters that the kernel lost because nobody read them in time.
    pub buffer_overruns: u32,
}

impl Counters {
    pub(super) fn from_raw(raw: ffi::Counts) -> Counters {
        Counters {
            cts: raw.cts.cast_unsigned(),
            dsr: raw.dsr.cast_unsigned(),
            ring: raw.rng.cast_unsigned(),
            carrier: raw.dcd.cast_unsigned(),
            received: raw.rx.cast_unsigned(),
            sent: raw.tx.cast_unsigned(),
            framing_errors: raw.frame.cast_unsigned(),
            overruns: raw.overrun.cast_unsigned(),
            parity_errors: raw.parity.cast_unsigned(),
            breaks: raw.brk.cast_unsigned(),
            buffer_overruns: raw.buf_overrun.cast_unsigned(),
        }
    }

    /// What was counted between `earlier` and this.
    pub fn since(&self, earlier: &Counters) -> Counters {
        Counters {
            cts: self.cts.wrapping_sub(earlier.cts),
            dsr: self.dsr.wrapping_sub(earlier.dsr),
            ring: self.ring.wrapping_sub(earlier.ring),
            carrier: self.carrier.wrapping_sub(earlier.carrier),
            received: self.received.wrapping_sub(earlier.received),
            sent: self.sent.wrapping_sub(earlier.sent),
            framing_errors: self.framing_errors.wrapping_sub(earlier.framing_errors),
            overruns: self.overruns.wrapping_sub(earlier.overruns),
            parity_errors: self.parity_errors.wrapping_sub(earlier.parity_errors),
            breaks: self.breaks.wrapping_sub(earlier.breaks),
            buffer_overruns: self.buffer_overruns.wrapping_sub(earlier.buffer_overruns),
        }
    }
}
