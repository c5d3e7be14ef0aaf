use crate::ffi::socket::address_bytes;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, getpeername, getsockname};
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net;
use std::path::Path;
use std::{fmt, io};

/// The address of a unix socket, one of three kinds, told apart by its length; see unix(7).
///
/// - A *pathname*: a file, whose permissions say who may connect. At most 108 bytes.
/// - An *abstract* name: any bytes, NUL included, at most 107, unknown to the file system. It ends with the last
///   handle to the socket. Anybody in the same network namespace may connect.
/// - *Unnamed*: what a socket has that was not bound.
///
/// ```
/// use becket_sys::unix::Address;
/// use std::path::Path;
///
/// let path = Address::pathname("/run/becket.sock")?;
/// assert_eq!(path.as_pathname(), Some(Path::new("/run/becket.sock")));
/// assert_eq!(path.to_string(), "/run/becket.sock");
///
/// let name = Address::abstract_name("becket\0")?;
/// assert_eq!(name.as_abstract_name(), Some(&b"becket\0"[..]));
/// assert_eq!(name.to_string(), r"@becket\x00");
///
/// assert!(Address::unnamed().is_unnamed());
/// assert!(Address::pathname("p".repeat(109)).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "sockaddr_un")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Unnamed,
    /// Neither empty nor with a NUL.
    Pathname(Box<[u8]>),
    Abstract(Box<[u8]>),
}

/// sun_path.
const MAX_LEN: usize = 108;

impl Address {
    /// The address of the file `path`.
    ///
    /// # Errors
    /// `ENAMETOOLONG` above 108 bytes; `EINVAL` where it is empty or has a NUL in it.
    pub fn pathname(path: impl AsRef<Path>) -> io::Result<Address> {
        let bytes = path.as_ref().as_os_str().as_bytes();
        if bytes.is_empty() || bytes.contains(&0) {
            return Err(Errno::INVAL.into());
        }
        if bytes.len() > MAX_LEN {
            return Err(Errno::NAMETOOLONG.into());
        }
        Ok(Address(Kind::Pathname(bytes.into())))
    }

    /// The abstract address `name`, which may be empty.
    ///
    /// # Errors
    /// `ENAMETOOLONG` above 107 bytes.
    pub fn abstract_name(name: impl AsRef<[u8]>) -> io::Result<Address> {
        let name = name.as_ref();
        if name.len() >= MAX_LEN {
            return Err(Errno::NAMETOOLONG.into());
        }
        Ok(Address(Kind::Abstract(name.into())))
    }

    /// The address of a socket that was not bound. To bind to it is to have the kernel choose an abstract name.
    #[doc(alias = "autobind")]
    pub fn unnamed() -> Address {
        Address(Kind::Unnamed)
    }

    /// The path, if it is a pathname.
    pub fn as_pathname(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Pathname(path) => Some(Path::new(OsStr::from_bytes(path))),
            _ => None,
        }
    }

    /// The name, if it is abstract.
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Abstract(name) => Some(name),
            _ => None,
        }
    }

    /// Whether it is unnamed.
    pub fn is_unnamed(&self) -> bool {
        self.0 == Kind::Unnamed
    }

    pub(crate) fn encode(&self) -> rustix::io::Result<SocketAddrUnix> {
        match &self.0 {
            Kind::Unnamed => Ok(SocketAddrUnix::new_unnamed()),
            Kind::Pathname(path) => SocketAddrUnix::new(&path[..]),
            Kind::Abstract(name) => SocketAddrUnix::new_abstract_name(name),
        }
    }

    /// What the kernel gave: none at all for the unnamed senders of datagrams.
    pub(crate) fn decode(addr: Option<SocketAddrAny>) -> io::Result<Address> {
        let Some(addr) = addr else { return Ok(Address::unnamed()) };
        if addr.address_family() != AddressFamily::UNIX {
            return Err(Errno::AFNOSUPPORT.into());
        }
        let path = address_bytes(&addr).get(size_of::<libc::sa_family_t>()..).unwrap_or_default();
        Ok(Address(match path {
            [] => Kind::Unnamed,
            [0, name @ ..] => Kind::Abstract(name.into()),
            // With its NUL, in general.
            path => Kind::Pathname(path.split(|b| *b == 0).next().unwrap_or_default().into()),
        }))
    }

    pub(super) fn local(fd: impl AsFd) -> io::Result<Address> {
        Self::decode(Some(getsockname(fd)?))
    }

    pub(super) fn peer(fd: impl AsFd) -> io::Result<Address> {
        Self::decode(getpeername(fd)?)
    }
}

/// The path, or `@` and the abstract name with what is not printable escaped, or `(unnamed)`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Unnamed => f.write_str("(unnamed)"),
            Kind::Pathname(path) => Path::new(OsStr::from_bytes(path)).display().fmt(f),
            Kind::Abstract(name) => write!(f, "@{}", name.escape_ascii()),
        }
    }
}

impl From<&net::SocketAddr> for Address {
    fn from(addr: &net::SocketAddr) -> Self {
        Address(if let Some(path) = addr.as_pathname() {
            Kind::Pathname(path.as_os_str().as_bytes().into())
        } else if let Some(name) = addr.as_abstract_name() {
            Kind::Abstract(name.into())
        } else {
            Kind::Unnamed
        })
    }
}

/// Fails for an unnamed address and for a path of 108 bytes, which the standard library cannot make.
impl TryFrom<&Address> for net::SocketAddr {
    type Error = io::Error;

    fn try_from(addr: &Address) -> io::Result<Self> {
        match &addr.0 {
            Kind::Unnamed => Err(Errno::INVAL.into()),
            Kind::Pathname(path) => net::SocketAddr::from_pathname(OsStr::from_bytes(path)),
            Kind::Abstract(name) => net::SocketAddr::from_abstract_name(name),
        }
    }
}
