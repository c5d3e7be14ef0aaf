//! `rustls` over fibers: `StreamOwned` over a [`TcpStream`], with nothing in between.
//!
//! ```
//! use becket_fiber::net::{TcpListener, TcpStream};
//! use becket_fiber::{Runtime, spawn};
//! use becket_libraries::tls;
//! use std::io::{Read, Write};
//!
//! let configs = tls::self_signed()?;
//! let mut runtime = Runtime::new()?;
//! runtime.run(|| {
//!     let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
//!     let address = listener.local_addr()?;
//!     let server = spawn(move || tls::echo(tls::accept(listener.accept()?.0, configs.server)?))?;
//!     let mut stream = tls::connect(TcpStream::connect_addr(address)?, configs.client)?;
//!     stream.write_all(b"nobody listens")?;
//!     let mut text = [0; 14];
//!     stream.read_exact(&mut text)?;
//!     assert_eq!(&text, b"nobody listens");
//!     stream.conn.send_close_notify();
//!     stream.flush()?;
//!     assert_eq!(server.join()??, 14);
//!     Ok::<_, std::io::Error>(())
//! })??;
//! # Ok::<(), std::io::Error>(())
//! ```

use becket_fiber::net::TcpStream;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned, crypto::ring,
};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// How a server with a certificate of its own for `localhost` and its clients are set up.
#[derive(Debug, Clone)]
pub struct Configs {
    /// For [`accept`].
    pub server: Arc<ServerConfig>,
    /// For [`connect`]: it trusts that certificate alone.
    pub client: Arc<ClientConfig>,
}

/// Makes a certificate, and what both sides need to use it.
///
/// # Errors
/// Where the system has no random numbers.
pub fn self_signed() -> io::Result<Configs> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(io::Error::other)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).map_err(io::Error::other)?;
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .and_then(|b| b.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key))
        .map_err(io::Error::other)?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Configs { server: Arc::new(server), client: Arc::new(client) })
}

/// The server's end of a connection; the handshake comes with its first read or write.
///
/// # Errors
/// Where the configuration is wrong.
pub fn accept(stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<StreamOwned<ServerConnection, TcpStream>> {
    Ok(StreamOwned::new(ServerConnection::new(config).map_err(io::Error::other)?, stream))
}

/// The client's end of a connection to `localhost`, after the handshake.
///
/// # Errors
/// `InvalidData` for a peer that does not speak TLS, or whose certificate is not trusted; those of the stream.
pub fn connect(stream: TcpStream, config: Arc<ClientConfig>) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(ClientConnection::new(config, name).map_err(io::Error::other)?, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Sends back what comes, to the end, and says how many bytes it was.
///
/// # Errors
/// Those of the stream; `UnexpectedEof` where the peer is gone without saying goodbye.
pub fn echo(mut stream: impl Read + Write) -> io::Result<u64> {
    // On the heap: a fiber's stack is not large, and TLS needs some of it.
    let mut buf = vec![0; 4096];
    let mut total = 0;
    loop {
        let n = stream.read(&mut buf)?;
        if n == 0 {
            return Ok(total);
        }
        stream.write_all(&buf[..n])?;
        stream.flush()?;
        total += n as u64;
    }
}
