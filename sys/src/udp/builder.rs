use super::Socket;
use crate::SetupError;
use crate::socket::inet;
use crate::socket::options::inet_builder_options;
use rustix::net::SocketType;
use std::net::SocketAddr;

/// What to set up before a [`Socket`] is bound; see [`Socket::builder`].
///
/// ```
/// use becket_sys::udp::Socket;
///
/// let socket = Socket::builder().v6only(true).bind(([127, 0, 0, 1], 0))?; // does nothing for IPv4
/// assert!(socket.local_addr()?.ip().is_loopback());
/// assert!(!socket.broadcast()?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct SocketBuilder {
    options: inet::Options,
}

inet_builder_options!(SocketBuilder);

impl SocketBuilder {
    /// Whether to share the port with other sockets that ask for it too. The default is no. Of datagrams to one
    /// machine, the socket that was bound last gets all; of multicast and broadcast, each gets a copy, and that is
    /// what it is for.
    #[doc(alias = "SO_REUSEADDR")]
    pub fn reuse_address(mut self, reuse: bool) -> Self {
        self.options.reuse_address = reuse;
        self
    }

    /// Whether to share the port with other sockets of the same user that ask for it too; the kernel spreads the
    /// senders over them. The default is no.
    #[doc(alias = "SO_REUSEPORT")]
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.options.reuse_port = reuse;
        self
    }

    /// Whether an IPv6 socket refuses IPv4, which it would otherwise serve under addresses such as
    /// `::ffff:127.0.0.1`. The default is that of the system, `/proc/sys/net/ipv6/bindv6only`. It does nothing for
    /// an IPv4 address.
    #[doc(alias = "IPV6_V6ONLY")]
    pub fn v6only(mut self, v6only: bool) -> Self {
        self.options.v6only = Some(v6only);
        self
    }

    /// Creates the socket and binds it to `addr`. Port 0 lets the system choose a free one.
    ///
    /// # Errors
    /// Each names the step and the address. `bind`: `EADDRINUSE` where another socket has the port, `EADDRNOTAVAIL`
    /// where the address is not of this machine, `EACCES` for a port below 1024 without privilege. `socket`:
    /// `EMFILE`, `EAFNOSUPPORT` where the system has no IPv6.
    pub fn bind(&self, addr: impl Into<SocketAddr>) -> Result<Socket, SetupError> {
        let fd = self.options.bind(SocketType::DGRAM, addr.into())?;
        Ok(Socket { fd })
    }
}
