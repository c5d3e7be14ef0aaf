//! The options of a connection: tcp(7).

use super::Stream;
use crate::ffi::sockopt::{int, set};
use rustix::io::Errno;
use rustix::net::sockopt;
use std::io;
use std::time::Duration;

/// Options of tcp(7).
impl Stream {
    /// Whether small writes go out at once; see [`set_nodelay`](Self::set_nodelay).
    ///
    /// # Errors
    /// `EOPNOTSUPP` or `ENOTSOCK` where the descriptor is no TCP socket.
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(sockopt::tcp_nodelay(self)?)
    }

    /// Sends small writes at once instead of gathering them while an acknowledgement is outstanding (Nagle's
    /// algorithm). The default is to gather.
    ///
    /// # Errors
    /// As [`nodelay`](Self::nodelay).
    #[doc(alias = "TCP_NODELAY")]
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        Ok(sockopt::set_tcp_nodelay(self, nodelay)?)
    }

    /// The probes of an idle connection, or `None` where there are none; see [`set_keepalive`](Self::set_keepalive).
    ///
    /// # Errors
    /// As [`nodelay`](Self::nodelay).
    pub fn keepalive(&self) -> io::Result<Option<Keepalive>> {
        if !sockopt::socket_keepalive(self)? {
            return Ok(None);
        }
        let idle = sockopt::tcp_keepidle(self)?;
        let interval = sockopt::tcp_keepintvl(self)?;
        let probes = sockopt::tcp_keepcnt(self)?;
        Ok(Some(Keepalive { idle, interval, probes }))
    }

    /// Probes the connection while it is idle, so that a peer that vanished is noticed: reads then fail with
    /// `ETIMEDOUT`. `None`, the default, does not.
    ///
    /// # Errors
    /// `EINVAL` where a time is zero or above 32767 s, or the probes are none or above 127: probing is then on or
    /// off as before, but some of the numbers may have been set.
    #[doc(alias = "SO_KEEPALIVE")]
    #[doc(alias = "TCP_KEEPIDLE")]
    #[doc(alias = "TCP_KEEPINTVL")]
    #[doc(alias = "TCP_KEEPCNT")]
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) -> io::Result<()> {
        if let Some(Keepalive { idle, interval, probes }) = keepalive {
            sockopt::set_tcp_keepidle(self, idle)?;
            sockopt::set_tcp_keepintvl(self, interval)?;
            sockopt::set_tcp_keepcnt(self, probes)?;
        }
        Ok(sockopt::set_socket_keepalive(self, keepalive.is_some())?)
    }

    /// What closing does; see [`set_linger`](Self::set_linger).
    ///
    /// # Errors
    /// `ENOTSOCK` where the descriptor is no socket.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        Ok(sockopt::socket_linger(self)?)
    }

    /// Says what closing the last handle does. `None`, the default: what was written goes out in the background.
    /// Zero: it is thrown away and the connection is reset. Another duration (rounded up to seconds): closing
    /// **blocks the thread**, in non-blocking mode too, until it has gone out, at most so long.
    ///
    /// # Errors
    /// `EINVAL` above `i32::MAX` seconds; `ENOTSOCK` where the descriptor is no socket.
    #[doc(alias = "SO_LINGER")]
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        Ok(sockopt::set_socket_linger(self, linger)?)
    }

    /// How long written data may stay unacknowledged; see [`set_user_timeout`](Self::set_user_timeout).
    ///
    /// # Errors
    /// As [`nodelay`](Self::nodelay).
    pub fn user_timeout(&self) -> io::Result<Option<Duration>> {
        let ms = sockopt::tcp_user_timeout(self)?;
        Ok((ms != 0).then(|| Duration::from_millis(ms.into())))
    }

    /// Ends the connection with `ETIMEDOUT` when written data stays unacknowledged, or the peer's window shut, for
    /// so long: rounded up to milliseconds, zero counts as one. With keepalive it also takes the place of the number
    /// of probes. `None`, the default, leaves it to the kernel's retries, about 15 minutes.
    ///
    /// # Errors
    /// `EINVAL` above `i32::MAX` milliseconds (24 days); otherwise as [`nodelay`](Self::nodelay).
    #[doc(alias = "TCP_USER_TIMEOUT")]
    pub fn set_user_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let ms = match timeout {
            None => 0,
            // Zero would mean none to the kernel.
            Some(d) => d.as_nanos().div_ceil(1_000_000).max(1).try_into().map_err(|_| Errno::INVAL)?,
        };
        Ok(sockopt::set_tcp_user_timeout(self, ms)?)
    }

    /// Whether acknowledgements go out at once at present; see [`set_quickack`](Self::set_quickack).
    ///
    /// # Errors
    /// As [`nodelay`](Self::nodelay).
    pub fn quickack(&self) -> io::Result<bool> {
        Ok(sockopt::tcp_quickack(self)?)
    }

    /// Acknowledges what arrives at once, or (false) together with what is written, which may be up to 40 ms later.
    /// The kernel changes its mind as it goes: set it again after each read where it matters.
    ///
    /// # Errors
    /// As [`nodelay`](Self::nodelay).
    #[doc(alias = "TCP_QUICKACK")]
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        Ok(sockopt::set_tcp_quickack(self, quickack)?)
    }

    /// Whether only full packets go out; see [`set_cork`](Self::set_cork).
    ///
    /// # Errors
    /// As [`nodelay`](Self::nodelay).
    pub fn cork(&self) -> io::Result<bool> {
        Ok(sockopt::tcp_cork(self)?)
    }

    /// Holds back packets that are not full, for at most 200 ms, until it is set to false again: for a header and a
    /// file written after each other. The default is false.
    ///
    /// # Errors
    /// As [`nodelay`](Self::nodelay).
    #[doc(alias = "TCP_CORK")]
    pub fn set_cork(&self, cork: bool) -> io::Result<()> {
        Ok(sockopt::set_tcp_cork(self, cork)?)
    }

    /// The largest segment that is sent, in bytes, as it is now; before the connection is made, what was set.
    ///
    /// # Errors
    /// As [`nodelay`](Self::nodelay).
    pub fn max_segment(&self) -> io::Result<u32> {
        Ok(int(self, libc::IPPROTO_TCP, libc::TCP_MAXSEG)?.cast_unsigned())
    }

    /// How many unsent bytes make the socket unwritable; see [`set_unsent_low_water`](Self::set_unsent_low_water).
    ///
    /// # Errors
    /// As [`nodelay`](Self::nodelay).
    pub fn unsent_low_water(&self) -> io::Result<u32> {
        Ok(int(self, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT)?.cast_unsigned())
    }

    /// Reports the socket as writable only while fewer than this many bytes wait unsent in its buffer, so that what
    /// is written is still fresh when it goes out. It changes readiness alone, no write. 0, the default, is the
    /// system's number, `/proc/sys/net/ipv4/tcp_notsent_lowat`: mostly none.
    ///
    /// # Errors
    /// As [`nodelay`](Self::nodelay).
    #[doc(alias = "TCP_NOTSENT_LOWAT")]
    pub fn set_unsent_low_water(&self, bytes: u32) -> io::Result<()> {
        set(self, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, &bytes.cast_signed())
    }

    /// How many bytes make the socket readable; see [`set_read_low_water`](Self::set_read_low_water).
    ///
    /// # Errors
    /// `ENOTSOCK` where the descriptor is no socket.
    pub fn read_low_water(&self) -> io::Result<u32> {
        Ok(int(self, libc::SOL_SOCKET, libc::SO_RCVLOWAT)?.cast_unsigned())
    }

    /// Reports the socket as readable only when so many bytes are there, or the end, or an error. The default is 1,
    /// and 0 counts as it. Reads take what there is all the same.
    ///
    /// # Errors
    /// `EINVAL` above `i32::MAX`; `ENOTSOCK` where the descriptor is no socket.
    #[doc(alias = "SO_RCVLOWAT")]
    pub fn set_read_low_water(&self, bytes: u32) -> io::Result<()> {
        let bytes = i32::try_from(bytes).map_err(|_| Errno::INVAL)?;
        set(self, libc::SOL_SOCKET, libc::SO_RCVLOWAT, &bytes)
    }

    /// The name of the congestion control in use, such as `cubic`.
    ///
    /// # Errors
    /// As [`nodelay`](Self::nodelay).
    pub fn congestion(&self) -> io::Result<String> {
        Ok(sockopt::tcp_congestion(self)?)
    }

    /// Chooses the congestion control by name. `/proc/sys/net/ipv4/tcp_available_congestion_control` lists those
    /// that are loaded, and `tcp_congestion_control` there is the default.
    ///
    /// # Errors
    /// `ENOENT` where there is none of that name; `EPERM` for one that is not in
    /// `/proc/sys/net/ipv4/tcp_allowed_congestion_control`, without CAP_NET_ADMIN.
    #[doc(alias = "TCP_CONGESTION")]
    pub fn set_congestion(&self, name: &str) -> io::Result<()> {
        Ok(sockopt::set_tcp_congestion(self, name)?)
    }

    /// Whether retries of a thin stream do not slow down; see
    /// [`set_thin_linear_timeouts`](Self::set_thin_linear_timeouts).
    ///
    /// # Errors
    /// As [`nodelay`](Self::nodelay).
    pub fn thin_linear_timeouts(&self) -> io::Result<bool> {
        Ok(sockopt::tcp_thin_linear_timeouts(self)?)
    }

    /// Retries at even distances, up to six times, instead of doubling them, while fewer than four packets are under
    /// way. The default is false.
    ///
    /// # Errors
    /// As [`nodelay`](Self::nodelay).
    #[doc(alias = "TCP_THIN_LINEAR_TIMEOUTS")]
    pub fn set_thin_linear_timeouts(&self, linear: bool) -> io::Result<()> {
        Ok(sockopt::set_tcp_thin_linear_timeouts(self, linear)?)
    }
}

/// How an idle connection is probed: after `idle` without a packet, every `interval`; it has failed when `probes` in
/// a row stay unanswered. Times are rounded up to seconds, from 1 to 32767.
///
/// ```
/// use becket_sys::tcp::{Keepalive, Listener, Stream};
/// use std::time::Duration;
///
/// let listener = Listener::bind(([127, 0, 0, 1], 0))?;
/// let stream = Stream::connect(listener.local_addr()?)?.finish(None)?;
/// assert_eq!(stream.keepalive()?, None);
///
/// // A peer that vanishes is noticed after 30 + 3 * 5 seconds.
/// let (idle, interval) = (Duration::from_secs(30), Duration::from_secs(5));
/// let keepalive = Keepalive { idle, interval, probes: 3 };
/// stream.set_keepalive(Some(keepalive))?;
/// assert_eq!(stream.keepalive()?, Some(keepalive));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// How long the connection is idle before the first probe.
    pub idle: Duration,
    /// How long after one probe the next goes out.
    pub interval: Duration,
    /// How many probes may stay unanswered, from 1 to 127.
    pub probes: u32,
}
