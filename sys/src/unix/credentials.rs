/// Who is at the other end, or who sent a message; see [`Stream::peer_credentials`](super::Stream::peer_credentials).
///
/// ```
/// use becket_sys::unix::{Credentials, Stream};
///
/// let (a, _b) = Stream::pair()?;
/// let me = a.peer_credentials()?;
/// assert_eq!(me.pid, Some(std::process::id()));
/// assert_eq!(me, Credentials::new(std::process::id(), me.uid, me.gid));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "ucred")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Credentials {
    /// The process; `None` where it is in a pid namespace that is not seen from here. The number may be another
    /// process's by now.
    pub pid: Option<u32>,
    /// Its effective user, or the one it chose to send; 65534 (`/proc/sys/kernel/overflowuid`) where it has no number
    /// in this user namespace.
    pub uid: u32,
    /// Its effective group, or the one it chose to send.
    pub gid: u32,
}

impl Credentials {
    /// These, to [send](crate::cmsg::Outgoing::push_credentials). A process 0 is none.
    pub const fn new(pid: u32, uid: u32, gid: u32) -> Credentials {
        Credentials { pid: if pid == 0 { None } else { Some(pid) }, uid, gid }
    }
}
