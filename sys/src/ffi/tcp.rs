//! The marks, queues and figures of TCP: tcp(7).

use super::sockopt::Plain;
use rustix::io;
use rustix::ioctl::{Getter, Opcode, ioctl, opcode};
use std::ffi::c_int;
use std::os::fd::AsFd;

/// Not in libc. Some architectures build the number as later calls have it, with a direction and a size.
const SIOCATMARK: Opcode = if cfg!(any(
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "mips64",
    target_arch = "mips64r6",
    target_arch = "xtensa"
)) {
    opcode::read::<c_int>(b's', 7)
} else {
    0x8905
};

/// Whether the next byte to read is the one after the urgent mark. Unix streams know it too.
pub(crate) fn is_at_mark(fd: impl AsFd) -> io::Result<bool> {
    // SAFETY: SIOCATMARK writes one `int` by pointer, which is what this getter offers; descriptors that are no
    // sockets do not know a call of the sockets' type byte.
    let at = unsafe { ioctl(fd, Getter::<{ SIOCATMARK }, c_int>::new())? };
    Ok(at != 0)
}

/// How many bytes of the send queue the peer has not acknowledged. The terminals' TIOCOUTQ has the same number.
pub(crate) fn unacknowledged(fd: impl AsFd) -> io::Result<usize> {
    // SAFETY: SIOCOUTQ writes one `int` by pointer, which is what this getter offers, on sockets and terminals alike.
    let count = unsafe { ioctl(fd, Getter::<{ libc::TIOCOUTQ as Opcode }, c_int>::new())? };
    Ok(usize::try_from(count).unwrap_or(0))
}

/// `struct tcp_info`, as of Linux 6.18. Older kernels write less of it, newer ones know more.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TcpInfo {
    pub(crate) state: u8,
    pub(crate) ca_state: u8,
    pub(crate) retransmits: u8,
    pub(crate) probes: u8,
    pub(crate) backoff: u8,
    pub(crate) options: u8,
    /// Two fields of four bits each.
    pub(crate) window_scales: u8,
    /// Bits: delivery_rate_app_limited, and two of fastopen_client_fail.
    pub(crate) limited_and_fast_open: u8,
    pub(crate) rto: u32,
    pub(crate) ato: u32,
    pub(crate) snd_mss: u32,
    pub(crate) rcv_mss: u32,
    pub(crate) unacked: u32,
    pub(crate) sacked: u32,
    pub(crate) lost: u32,
    pub(crate) retrans: u32,
    pub(crate) fackets: u32,
    pub(crate) last_data_sent: u32,
    pub(crate) last_ack_sent: u32,
    pub(crate) last_data_recv: u32,
    pub(crate) last_ack_recv: u32,
    pub(crate) pmtu: u32,
    pub(crate) rcv_ssthresh: u32,
    pub(crate) rtt: u32,
    pub(crate) rttvar: u32,
    pub(crate) snd_ssthresh: u32,
    pub(crate) snd_cwnd: u32,
    pub(crate) advmss: u32,
    pub(crate) reordering: u32,
    pub(crate) rcv_rtt: u32,
    pub(crate) rcv_space: u32,
    pub(crate) total_retrans: u32,
    pub(crate) pacing_rate: u64,
    pub(crate) max_pacing_rate: u64,
    pub(crate) bytes_acked: u64,
    pub(crate) bytes_received: u64,
    pub(crate) segs_out: u32,
    pub(crate) segs_in: u32,
    pub(crate) notsent_bytes: u32,
    pub(crate) min_rtt: u32,
    pub(crate) data_segs_in: u32,
    pub(crate) data_segs_out: u32,
    pub(crate) delivery_rate: u64,
    pub(crate) busy_time: u64,
    pub(crate) rwnd_limited: u64,
    pub(crate) sndbuf_limited: u64,
    pub(crate) delivered: u32,
    pub(crate) delivered_ce: u32,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_retrans: u64,
    pub(crate) dsack_dups: u32,
    pub(crate) reord_seen: u32,
    pub(crate) rcv_ooopack: u32,
    pub(crate) snd_wnd: u32,
    pub(crate) rcv_wnd: u32,
    pub(crate) rehash: u32,
    pub(crate) total_rto: u16,
    pub(crate) total_rto_recoveries: u16,
    pub(crate) total_rto_time: u32,
}

const _: () = assert!(size_of::<TcpInfo>() == 248);
const _: () = assert!(std::mem::offset_of!(TcpInfo, rto) == 8);
const _: () = assert!(std::mem::offset_of!(TcpInfo, total_retrans) == 100);
const _: () = assert!(std::mem::offset_of!(TcpInfo, pacing_rate) == 104);
const _: () = assert!(std::mem::offset_of!(TcpInfo, delivery_rate) == 160);
const _: () = assert!(std::mem::offset_of!(TcpInfo, snd_wnd) == 228);
const _: () = assert!(std::mem::offset_of!(TcpInfo, total_rto_time) == 244);

// SAFETY: integers alone, each at a multiple of its size and the whole a multiple of eight bytes (asserted above), so
// that there is no padding.
unsafe impl Plain for TcpInfo {}
