use std::fmt;
use std::str::FromStr;

/// The number of a signal: a standard one or a real-time one.
///
/// Prints as its name.
///
/// ```
/// use becket_sys::signal::Signal;
///
/// assert_eq!(Signal::TERM.to_string(), "SIGTERM");
/// assert_eq!(Signal::real_time(3).unwrap().to_string(), "SIGRTMIN+3");
/// assert_eq!(Signal::from_raw(15), Some(Signal::TERM));
/// assert_eq!(Signal::from_raw(0), None);
/// assert_eq!(Signal::from_raw(65), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

macro_rules! signals {
    ($($(#[doc = $doc:literal])+ $name:ident = $raw:ident, $text:literal;)+) => {
        impl Signal {
            $(
                $(#[doc = $doc])+
                #[doc(alias = $text)]
                pub const $name: Signal = Signal(libc::$raw);
            )+
        }

        const NAMES: &[(Signal, &str)] = &[$((Signal::$name, $text)),+];
    };
}

signals! {
    /// The terminal hung up; daemons take it as "read your configuration again". Ends the process.
    HUP = SIGHUP, "SIGHUP";
    /// Interrupt from the keyboard, Ctrl-C. Ends the process.
    INT = SIGINT, "SIGINT";
    /// Quit from the keyboard, Ctrl-\\. Ends the process with a core dump.
    QUIT = SIGQUIT, "SIGQUIT";
    /// Illegal instruction. Ends the process with a core dump, blocked or not.
    ILL = SIGILL, "SIGILL";
    /// A breakpoint. Ends the process with a core dump.
    TRAP = SIGTRAP, "SIGTRAP";
    /// abort(3). Ends the process with a core dump.
    ABRT = SIGABRT, "SIGABRT";
    /// Access to memory that is not there. Ends the process with a core dump, blocked or not.
    BUS = SIGBUS, "SIGBUS";
    /// Arithmetic error. Ends the process with a core dump, blocked or not.
    FPE = SIGFPE, "SIGFPE";
    /// Ends the process; cannot be blocked.
    KILL = SIGKILL, "SIGKILL";
    /// For the program to give a meaning to. Ends the process.
    USR1 = SIGUSR1, "SIGUSR1";
    /// Invalid access to memory. Ends the process with a core dump, blocked or not.
    SEGV = SIGSEGV, "SIGSEGV";
    /// For the program to give a meaning to. Ends the process.
    USR2 = SIGUSR2, "SIGUSR2";
    /// A write to a pipe or socket that nobody reads. Rust programs start with it ignored.
    PIPE = SIGPIPE, "SIGPIPE";
    /// alarm(2). Ends the process.
    ALRM = SIGALRM, "SIGALRM";
    /// The request to end. Ends the process.
    TERM = SIGTERM, "SIGTERM";
    /// A child ended, stopped or went on. Ignored.
    CHLD = SIGCHLD, "SIGCHLD";
    /// Go on if stopped.
    CONT = SIGCONT, "SIGCONT";
    /// Stops the process; cannot be blocked.
    STOP = SIGSTOP, "SIGSTOP";
    /// Stop from the keyboard, Ctrl-Z. Stops the process.
    TSTP = SIGTSTP, "SIGTSTP";
    /// Read from the terminal by a background process. Stops the process.
    TTIN = SIGTTIN, "SIGTTIN";
    /// Write to the terminal by a background process. Stops the process.
    TTOU = SIGTTOU, "SIGTTOU";
    /// Out-of-band data on a socket. Ignored.
    URG = SIGURG, "SIGURG";
    /// The limit of processor time. Ends the process with a core dump.
    XCPU = SIGXCPU, "SIGXCPU";
    /// The limit of file size. Ends the process with a core dump.
    XFSZ = SIGXFSZ, "SIGXFSZ";
    /// setitimer(2) on the process's own time. Ends the process.
    VTALRM = SIGVTALRM, "SIGVTALRM";
    /// setitimer(2) on the process's and the kernel's time for it. Ends the process.
    PROF = SIGPROF, "SIGPROF";
    /// The terminal's size changed. Ignored.
    WINCH = SIGWINCH, "SIGWINCH";
    /// A descriptor with O_ASYNC is ready. Ends the process.
    IO = SIGIO, "SIGIO";
    /// Power is failing. Ends the process.
    PWR = SIGPWR, "SIGPWR";
    /// A bad system call. Ends the process with a core dump.
    SYS = SIGSYS, "SIGSYS";
}

impl Signal {
    /// The real-time signal SIGRTMIN + `n`, or `None` beyond SIGRTMAX. There are at least 30. Unlike the standard
    /// ones, they queue; see [`queue`](super::queue).
    #[doc(alias = "SIGRTMIN")]
    pub fn real_time(n: u32) -> Option<Signal> {
        let raw = i32::try_from(n).ok().and_then(|n| libc::SIGRTMIN().checked_add(n))?;
        (raw <= libc::SIGRTMAX()).then_some(Signal(raw))
    }

    /// The signal of this number; `None` where there is none, and for the few that the C library keeps for itself.
    pub fn from_raw(raw: i32) -> Option<Signal> {
        let usable = (1..32).contains(&raw) || (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&raw);
        usable.then_some(Signal(raw))
    }

    /// What the kernel reported, whatever it is.
    pub(crate) fn from_kernel(raw: u32) -> Signal {
        Signal(raw as i32)
    }

    /// The number.
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// Its bit in a set of the kernel, which has bits for the signals 1 to 64.
    pub(super) const fn bit(self) -> u64 {
        if self.0 >= 1 && self.0 <= 64 { 1 << (self.0 - 1) } else { 0 }
    }
}

/// Reads a name with or without `SIG`, in capitals or not, `RTMIN+n`, `RTMAX-n`, or a number.
///
/// ```
/// use becket_sys::signal::Signal;
///
/// for word in ["SIGTERM", "term", "15"] {
///     assert_eq!(word.parse(), Ok(Signal::TERM));
/// }
/// assert_eq!("RTMIN+3".parse().ok(), Signal::real_time(3));
/// assert_eq!("nothing".parse::<Signal>().unwrap_err().to_string(), "there is no such signal");
/// ```
impl FromStr for Signal {
    type Err = UnknownSignal;

    fn from_str(word: &str) -> Result<Signal, UnknownSignal> {
        let upper = word.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let offset = |rest: &str, sign| match rest {
            "" => Some(0),
            _ => rest.strip_prefix(sign).filter(|n| n.bytes().all(|b| b.is_ascii_digit()))?.parse::<i32>().ok(),
        };
        let known = || NAMES.iter().find(|(_, known)| known.strip_prefix("SIG") == Some(name)).map(|(s, _)| *s);
        let real_time = |raw: Option<i32>| raw.and_then(Signal::from_raw).filter(|s| s.0 >= libc::SIGRTMIN());
        let signal = if let Some(rest) = name.strip_prefix("RTMIN") {
            real_time(offset(rest, '+').and_then(|n| libc::SIGRTMIN().checked_add(n)))
        } else if let Some(rest) = name.strip_prefix("RTMAX") {
            real_time(offset(rest, '-').and_then(|n| libc::SIGRTMAX().checked_sub(n)))
        } else {
            known().or_else(|| word.parse().ok().and_then(Signal::from_raw))
        };
        signal.ok_or(UnknownSignal(()))
    }
}

/// A word that names no signal.
///
/// ```
/// use becket_sys::signal::{Signal, UnknownSignal};
///
/// let result: Result<Signal, UnknownSignal> = "SIGRTMIN+99".parse();
/// assert!(result.is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownSignal(());

impl fmt::Display for UnknownSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no such signal")
    }
}

impl std::error::Error for UnknownSignal {}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(signal, _)| signal == self) {
            Some((_, name)) => f.write_str(name),
            None if self.0 >= libc::SIGRTMIN() => write!(f, "SIGRTMIN+{}", self.0 - libc::SIGRTMIN()),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
