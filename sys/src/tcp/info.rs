use crate::ffi;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// Where a connection stands: RFC 9293.
///
/// ```
/// use becket_sys::tcp::{Listener, State, Stream};
///
/// let listener = Listener::bind(([127, 0, 0, 1], 0))?;
/// let stream = Stream::connect(listener.local_addr()?)?.finish(None)?;
/// assert_eq!(stream.info()?.state, State::Established);
/// stream.shutdown(std::net::Shutdown::Write)?;
/// assert!(matches!(stream.info()?.state, State::FinWait1 | State::FinWait2));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Both ends may send.
    #[doc(alias = "TCP_ESTABLISHED")]
    Established,
    /// This end asked to connect and waits for the answer.
    #[doc(alias = "TCP_SYN_SENT")]
    SynSent,
    /// The peer asked to connect, and this end waits for its confirmation.
    #[doc(alias = "TCP_SYN_RECV")]
    SynReceived,
    /// This end has closed, and the peer has not acknowledged it.
    #[doc(alias = "TCP_FIN_WAIT1")]
    FinWait1,
    /// This end has closed, and waits for the peer to do so.
    #[doc(alias = "TCP_FIN_WAIT2")]
    FinWait2,
    /// Both have closed, and late packets are waited for.
    #[doc(alias = "TCP_TIME_WAIT")]
    TimeWait,
    /// There is no connection.
    #[doc(alias = "TCP_CLOSE")]
    Closed,
    /// The peer has closed, and this end has not.
    #[doc(alias = "TCP_CLOSE_WAIT")]
    CloseWait,
    /// Both have closed, and the peer has not acknowledged it.
    #[doc(alias = "TCP_LAST_ACK")]
    LastAck,
    /// The socket listens.
    #[doc(alias = "TCP_LISTEN")]
    Listen,
    /// Both closed at the same time.
    #[doc(alias = "TCP_CLOSING")]
    Closing,
    /// A number that is not known here.
    Other(u8),
}

impl State {
    fn from_raw(number: u8) -> State {
        use State::*;
        const KNOWN: [State; 11] = [
            Established,
            SynSent,
            SynReceived,
            FinWait1,
            FinWait2,
            TimeWait,
            Closed,
            CloseWait,
            LastAck,
            Listen,
            Closing,
        ];
        let index = usize::from(number).checked_sub(1);
        index.and_then(|i| KNOWN.get(i)).copied().unwrap_or(Other(number))
    }
}

/// What the kernel knows of a connection: tcp(7), TCP_INFO.
///
/// A snapshot. Figures that a kernel does not have yet are zero.
///
/// ```
/// use becket_sys::tcp::{Listener, Stream};
///
/// let listener = Listener::bind(([127, 0, 0, 1], 0))?;
/// let stream = Stream::connect(listener.local_addr()?)?.finish(None)?;
/// stream.try_write(b"hello")?;
/// let info = stream.info()?;
/// assert_eq!((info.bytes_sent, info.bytes_retransmitted), (5, 0));
/// assert!(!info.round_trip.is_zero());
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "tcp_info")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Where the connection stands.
    #[doc(alias = "tcpi_state")]
    pub state: State,
    /// How often in a row what waits for acknowledgement was sent again.
    #[doc(alias = "tcpi_retransmits")]
    pub retransmits: u8,
    /// How many probes, of keepalive or of a shut window, are unanswered.
    #[doc(alias = "tcpi_probes")]
    pub probes: u8,
    /// How often in a row the time to the next retry was doubled.
    #[doc(alias = "tcpi_backoff")]
    pub backoff: u8,
    /// The time to a retry.
    #[doc(alias = "rto")]
    #[doc(alias = "tcpi_rto")]
    pub retransmit_timeout: Duration,
    /// How long an acknowledgement may be put off.
    #[doc(alias = "tcpi_ato")]
    pub ack_timeout: Duration,
    /// The size of segments that are sent.
    #[doc(alias = "tcpi_snd_mss")]
    pub send_segment: u32,
    /// The size of segments that arrive, as far as it can be told.
    #[doc(alias = "tcpi_rcv_mss")]
    pub recv_segment: u32,
    /// The size of segments that the peer was told.
    #[doc(alias = "tcpi_advmss")]
    pub announced_segment: u32,
    /// The largest packet that the path takes.
    #[doc(alias = "tcpi_pmtu")]
    pub path_mtu: u32,
    /// Packets that wait for acknowledgement.
    #[doc(alias = "tcpi_unacked")]
    pub unacknowledged: u32,
    /// Packets of these that the peer has, behind a gap.
    #[doc(alias = "tcpi_sacked")]
    pub selectively_acknowledged: u32,
    /// Packets of these that are taken for lost.
    #[doc(alias = "tcpi_lost")]
    pub lost: u32,
    /// Packets of these that were sent again.
    #[doc(alias = "tcpi_retrans")]
    pub retransmitted: u32,
    /// Packets sent again since the connection was made.
    #[doc(alias = "tcpi_total_retrans")]
    pub total_retransmits: u32,
    /// Time since data was last sent.
    #[doc(alias = "tcpi_last_data_sent")]
    pub last_data_sent: Duration,
    /// Time since data last arrived.
    #[doc(alias = "tcpi_last_data_recv")]
    pub last_data_received: Duration,
    /// Time since an acknowledgement last arrived.
    #[doc(alias = "tcpi_last_ack_recv")]
    pub last_ack_received: Duration,
    /// The time of a round trip, smoothed.
    #[doc(alias = "rtt")]
    #[doc(alias = "tcpi_rtt")]
    pub round_trip: Duration,
    /// How much it varies.
    #[doc(alias = "rttvar")]
    #[doc(alias = "tcpi_rttvar")]
    pub round_trip_variance: Duration,
    /// The shortest that was seen; zero where none was measured.
    #[doc(alias = "tcpi_min_rtt")]
    pub min_round_trip: Duration,
    /// The time of a round trip as the receiving end sees it; zero where it cannot tell.
    #[doc(alias = "tcpi_rcv_rtt")]
    pub recv_round_trip: Duration,
    /// How many packets may be under way.
    #[doc(alias = "tcpi_snd_cwnd")]
    pub congestion_window: u32,
    /// Where that number begins to grow more slowly; `i32::MAX` where it was never lowered.
    #[doc(alias = "tcpi_snd_ssthresh")]
    pub slow_start_threshold: u32,
    /// How many packets may arrive out of order before one is taken for lost.
    #[doc(alias = "tcpi_reordering")]
    pub reordering: u32,
    /// The peer's window, in bytes.
    #[doc(alias = "tcpi_snd_wnd")]
    pub send_window: u32,
    /// The window that the peer was told, in bytes.
    #[doc(alias = "tcpi_rcv_wnd")]
    pub recv_window: u32,
    /// The buffer space that receiving is tuned for, in bytes.
    #[doc(alias = "tcpi_rcv_space")]
    pub recv_space: u32,
    /// Bytes per second that are sent at most; `u64::MAX` is no limit.
    #[doc(alias = "tcpi_pacing_rate")]
    pub pacing_rate: u64,
    /// The limit of that number; `u64::MAX` is none.
    #[doc(alias = "tcpi_max_pacing_rate")]
    pub max_pacing_rate: u64,
    /// Bytes per second that lately arrived.
    #[doc(alias = "tcpi_delivery_rate")]
    pub delivery_rate: u64,
    /// Whether that number is low for want of data.
    #[doc(alias = "tcpi_delivery_rate_app_limited")]
    pub is_delivery_app_limited: bool,
    /// Bytes of data that went out, those sent again included.
    #[doc(alias = "tcpi_bytes_sent")]
    pub bytes_sent: u64,
    /// Bytes of data that were sent again.
    #[doc(alias = "tcpi_bytes_retrans")]
    pub bytes_retransmitted: u64,
    /// Bytes that the peer acknowledged; those that make and end the connection count as one each.
    #[doc(alias = "tcpi_bytes_acked")]
    pub bytes_acknowledged: u64,
    /// Bytes of data that arrived in order.
    #[doc(alias = "tcpi_bytes_received")]
    pub bytes_received: u64,
    /// Bytes that were written and not sent yet.
    #[doc(alias = "tcpi_notsent_bytes")]
    pub bytes_unsent: u32,
    /// Packets sent.
    #[doc(alias = "tcpi_segs_out")]
    pub segments_out: u32,
    /// Packets received.
    #[doc(alias = "tcpi_segs_in")]
    pub segments_in: u32,
    /// Packets sent that had data.
    #[doc(alias = "tcpi_data_segs_out")]
    pub data_segments_out: u32,
    /// Packets received that had data.
    #[doc(alias = "tcpi_data_segs_in")]
    pub data_segments_in: u32,
    /// Packets that arrived at the peer.
    #[doc(alias = "tcpi_delivered")]
    pub delivered: u32,
    /// Packets of these that a router marked for congestion.
    #[doc(alias = "tcpi_delivered_ce")]
    pub delivered_ce: u32,
    /// Packets received out of order.
    #[doc(alias = "tcpi_rcv_ooopack")]
    pub out_of_order: u32,
    /// Packets that the peer got twice.
    #[doc(alias = "tcpi_dsack_dups")]
    pub duplicates: u32,
    /// How often packets were found to have overtaken each other.
    #[doc(alias = "tcpi_reord_seen")]
    pub reorderings_seen: u32,
    /// Time that was spent sending.
    #[doc(alias = "tcpi_busy_time")]
    pub busy: Duration,
    /// Time of this that the peer's window held it up.
    #[doc(alias = "tcpi_rwnd_limited")]
    pub window_limited: Duration,
    /// Time of this that the send buffer was too small.
    #[doc(alias = "tcpi_sndbuf_limited")]
    pub send_buffer_limited: Duration,
}

impl Info {
    pub(super) fn of(fd: impl AsFd) -> io::Result<Info> {
        let mut raw = ffi::tcp::TcpInfo::default();
        ffi::sockopt::read(fd, libc::IPPROTO_TCP, libc::TCP_INFO, &mut raw)?;
        let ms = |n: u32| Duration::from_millis(n.into());
        let us = |n: u32| Duration::from_micros(n.into());
        Ok(Info {
            state: State::from_raw(raw.state),
            retransmits: raw.retransmits,
            probes: raw.probes,
            backoff: raw.backoff,
            retransmit_timeout: us(raw.rto),
            ack_timeout: us(raw.ato),
            send_segment: raw.snd_mss,
            recv_segment: raw.rcv_mss,
            announced_segment: raw.advmss,
            path_mtu: raw.pmtu,
            unacknowledged: raw.unacked,
            selectively_acknowledged: raw.sacked,
            lost: raw.lost,
            retransmitted: raw.retrans,
            total_retransmits: raw.total_retrans,
            last_data_sent: ms(raw.last_data_sent),
            last_data_received: ms(raw.last_data_recv),
            last_ack_received: ms(raw.last_ack_recv),
            round_trip: us(raw.rtt),
            round_trip_variance: us(raw.rttvar),
            // The kernel starts from the largest number.
            min_round_trip: us(if raw.min_rtt == u32::MAX { 0 } else { raw.min_rtt }),
            recv_round_trip: us(raw.rcv_rtt),
            congestion_window: raw.snd_cwnd,
            slow_start_threshold: raw.snd_ssthresh,
            reordering: raw.reordering,
            send_window: raw.snd_wnd,
            recv_window: raw.rcv_wnd,
            recv_space: raw.rcv_space,
            pacing_rate: raw.pacing_rate,
            max_pacing_rate: raw.max_pacing_rate,
            delivery_rate: raw.delivery_rate,
            is_delivery_app_limited: app_limited(raw.limited_and_fast_open),
            bytes_sent: raw.bytes_sent,
            bytes_retransmitted: raw.bytes_retrans,
            bytes_acknowledged: raw.bytes_acked,
            bytes_received: raw.bytes_received,
            bytes_unsent: raw.notsent_bytes,
            segments_out: raw.segs_out,
            segments_in: raw.segs_in,
            data_segments_out: raw.data_segs_out,
            data_segments_in: raw.data_segs_in,
            delivered: raw.delivered,
            delivered_ce: raw.delivered_ce,
            out_of_order: raw.rcv_ooopack,
            duplicates: raw.dsack_dups,
            reorderings_seen: raw.reord_seen,
            busy: Duration::from_micros(raw.busy_time),
            window_limited: Duration::from_micros(raw.rwnd_limited),
            send_buffer_limited: Duration::from_micros(raw.sndbuf_limited),
        })
    }
}

/// The first bit of a C bit field, which lies at the other end of the byte on big-endian machines.
fn app_limited(byte: u8) -> bool {
    byte & if cfg!(target_endian = "big") { 0x80 } else { 1 } != 0
}
