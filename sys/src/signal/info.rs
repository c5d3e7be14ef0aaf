use super::Signal;
use crate::Ready;
use std::fmt;
use std::mem::offset_of;
use std::os::fd::RawFd;
use std::time::Duration;

const SIZE: usize = size_of::<libc::signalfd_siginfo>();

/// One signal that arrived, with what the kernel says of it.
///
/// What a field means depends on where the signal comes from; the methods return `None` where it means nothing.
///
/// ```
/// use becket_sys::signal::{Signal, Signals, raise};
///
/// let signals = Signals::new(Signal::USR1)?;
/// raise(Signal::USR1)?;
/// let info = signals.try_read()?.unwrap();
/// assert_eq!(info.signal(), Signal::USR1);
/// assert_eq!(info.pid(), Some(std::process::id()));
/// assert_eq!(info.value(), None); // nothing came with it
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "signalfd_siginfo")]
// Aligned as the kernel's struct is, which makes copies cheap.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct SigInfo {
    bytes: [u8; SIZE],
}

macro_rules! field {
    ($self:ident, $field:ident, $type:ty) => {{
        const AT: usize = offset_of!(libc::signalfd_siginfo, $field);
        let mut bytes = [0; size_of::<$type>()];
        bytes.copy_from_slice(&$self.bytes[AT..AT + size_of::<$type>()]);
        <$type>::from_ne_bytes(bytes)
    }};
}

impl SigInfo {
    /// The record that `bytes` begin with, if they are long enough.
    #[inline]
    pub(super) fn first(bytes: &[u8]) -> Option<SigInfo> {
        Some(SigInfo { bytes: *bytes.first_chunk()? })
    }

    /// Which signal.
    #[doc(alias = "si_signo")]
    #[inline]
    pub fn signal(&self) -> Signal {
        Signal::from_kernel(field!(self, ssi_signo, u32))
    }

    /// Where it comes from, a code of sigaction(2): `SI_USER` (0) for kill(2), `SI_QUEUE` (-1) for sigqueue(3),
    /// `SI_TKILL` (-6) for one thread's raise(3), above 0 the kernel's own, such as `CLD_EXITED` (1) with SIGCHLD.
    #[doc(alias = "si_code")]
    #[inline]
    pub fn code(&self) -> i32 {
        field!(self, ssi_code, i32)
    }

    /// The process that sent it, or the child that a SIGCHLD is about. `None` for the kernel, for timers, and for a
    /// process outside of the reader's pid namespace.
    #[doc(alias = "si_pid")]
    pub fn pid(&self) -> Option<u32> {
        self.is_of_process().then(|| field!(self, ssi_pid, u32)).filter(|pid| *pid != 0)
    }

    /// The real user id of that process; `None` for the kernel and timers.
    #[doc(alias = "si_uid")]
    pub fn uid(&self) -> Option<u32> {
        self.is_of_process().then(|| field!(self, ssi_uid, u32))
    }

    /// The integer sent with it by [`queue`](super::queue), a timer of timer_create(2) or mq_notify(3).
    #[doc(alias = "si_int")]
    #[doc(alias = "sival_int")]
    pub fn value(&self) -> Option<i32> {
        self.has_value().then(|| field!(self, ssi_int, i32))
    }

    /// What [`value`](Self::value) tells, where the sender filled in the pointer instead of the integer.
    #[doc(alias = "sival_ptr")]
    pub fn pointer(&self) -> Option<u64> {
        self.has_value().then(|| field!(self, ssi_ptr, u64))
    }

    /// With SIGCHLD, the exit code where [`code`](Self::code) is `CLD_EXITED`, or else the number of the signal that
    /// ended, stopped or continued the child. Standard signals coalesce, so this tells of one child where perhaps
    /// several ended: use a [`PidFd`](crate::process::PidFd) for each.
    #[doc(alias = "si_status")]
    pub fn status(&self) -> Option<i32> {
        self.is_of_child().then(|| field!(self, ssi_status, i32))
    }

    /// With SIGCHLD, the processor time that the child has used, its own and the kernel's for it: in steps of 10 ms.
    #[doc(alias = "si_utime")]
    #[doc(alias = "si_stime")]
    pub fn times(&self) -> Option<(Duration, Duration)> {
        // In ticks, of which user space always sees 100 a second.
        let ticks = |n: u64| Duration::from_millis(n.saturating_mul(10));
        self.is_of_child().then(|| (ticks(field!(self, ssi_utime, u64)), ticks(field!(self, ssi_stime, u64))))
    }

    /// With SIGIO, or the signal chosen by `F_SETSIG` in its place, the number of the descriptor that is ready, and for
    /// what, as poll(2) says it.
    #[doc(alias = "si_fd")]
    #[doc(alias = "si_band")]
    pub fn ready(&self) -> Option<(RawFd, Ready)> {
        let io = self.signal() == Signal::IO || self.signal() >= Signal::real_time(0)?;
        let is_poll = io && (1..=6).contains(&self.code());
        is_poll.then(|| (field!(self, ssi_fd, i32), Ready::from_bits_retain(field!(self, ssi_band, u32))))
    }

    /// The timer of timer_create(2) that expired: the kernel's number of it, and how often it expired since without a
    /// signal.
    #[doc(alias = "si_timerid")]
    #[doc(alias = "si_overrun")]
    pub fn timer(&self) -> Option<(u32, u32)> {
        (self.code() == libc::SI_TIMER).then(|| (field!(self, ssi_tid, u32), field!(self, ssi_overrun, u32)))
    }

    /// With SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGTRAP from the kernel, where it happened.
    #[doc(alias = "si_addr")]
    pub fn address(&self) -> Option<u64> {
        let faults = [Signal::SEGV, Signal::BUS, Signal::ILL, Signal::FPE, Signal::TRAP];
        (faults.contains(&self.signal()) && self.code() > 0).then(|| field!(self, ssi_addr, u64))
    }

    /// With SIGSYS from a filter of seccomp(2), the number of the call that was refused, the kernel's number of its
    /// architecture, and where it was made.
    #[doc(alias = "si_syscall")]
    #[doc(alias = "si_arch")]
    #[doc(alias = "si_call_addr")]
    pub fn system_call(&self) -> Option<(i32, u32, u64)> {
        let is_seccomp = self.signal() == Signal::SYS && self.code() == 1;
        is_seccomp
            .then(|| (field!(self, ssi_syscall, i32), field!(self, ssi_arch, u32), field!(self, ssi_call_addr, u64)))
    }

    /// An error number that the sender has set; almost always 0.
    #[doc(alias = "si_errno")]
    pub fn errno(&self) -> i32 {
        field!(self, ssi_errno, i32)
    }

    /// The record as the kernel wrote it, a `struct signalfd_siginfo`, for what has no method here.
    pub fn as_bytes(&self) -> &[u8; 128] {
        &self.bytes
    }

    fn is_of_child(&self) -> bool {
        self.signal() == Signal::CHLD && self.code() > 0
    }

    fn is_of_process(&self) -> bool {
        matches!(self.code(), libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL | libc::SI_MESGQ) || self.is_of_child()
    }

    fn has_value(&self) -> bool {
        matches!(self.code(), libc::SI_QUEUE | libc::SI_TIMER | libc::SI_MESGQ)
    }
}

/// The record of one signal as the kernel wrote it.
impl From<[u8; 128]> for SigInfo {
    fn from(bytes: [u8; 128]) -> Self {
        SigInfo { bytes }
    }
}

impl fmt::Debug for SigInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("SigInfo");
        out.field("signal", &self.signal()).field("code", &self.code());
        let optional = [("value", self.value()), ("status", self.status())];
        if let Some(pid) = self.pid() {
            out.field("pid", &pid);
        }
        for (name, number) in optional {
            if let Some(number) = number {
                out.field(name, &number);
            }
        }
        out.finish_non_exhaustive()
    }
}

/// The signals in `bytes`, which a read of a signalfd brought, by whatever way. An incomplete record at the end,
/// which the kernel does not write, is passed over.
///
/// ```
/// use becket_sys::signal::{Signal, parse};
///
/// let mut record = [0; 128];
/// record[..4].copy_from_slice(&15u32.to_ne_bytes());
/// assert_eq!(parse(&record).next().unwrap().signal(), Signal::TERM);
/// assert_eq!(parse(&record[..100]).count(), 0);
/// ```
pub fn parse(bytes: &[u8]) -> impl ExactSizeIterator<Item = SigInfo> {
    let (records, _) = bytes.as_chunks::<SIZE>();
    records.iter().map(|record| SigInfo { bytes: *record })
}
