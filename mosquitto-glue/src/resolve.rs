//! Host names, looked up on a helper thread: getaddrinfo(3) blocks for as long as the name server is silent.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

/// A lookup under way. Dropping it leaves the thread to end by itself; its result goes nowhere.
#[derive(Debug)]
pub(crate) struct Lookup {
    result: Receiver<io::Result<Vec<SocketAddr>>>,
}

impl Lookup {
    /// Starts a thread that calls `done` once the result is there.
    pub(crate) fn start(host: &str, port: u16, done: impl FnOnce() + Send + 'static) -> io::Result<Lookup> {
        let (sender, result) = channel();
        let host = host.to_owned();
        thread::Builder::new().name("mqtt lookup".to_owned()).spawn(move || {
            let found = (host.as_str(), port).to_socket_addrs().map(|all| {
                let mut unique = Vec::new();
                for address in all {
                    if !unique.contains(&address) {
                        unique.push(address);
                    }
                }
                unique
            });
            // Whoever asked may be gone; then nobody is told.
            if sender.send(found).is_ok() {
                done();
            }
        })?;
        Ok(Lookup { result })
    }

    /// The result, once. An empty list is an error.
    pub(crate) fn take(&self) -> Option<io::Result<Vec<SocketAddr>>> {
        match self.result.try_recv() {
            Ok(Ok(list)) if list.is_empty() => Some(Err(io::Error::other("the name has no address"))),
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(io::Error::other("the lookup's thread died"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn lookup(host: &str) -> io::Result<Vec<SocketAddr>> {
        let (sender, done) = channel();
        let lookup = Lookup::start(host, 7, move || sender.send(()).unwrap()).unwrap();
        done.recv_timeout(Duration::from_secs(60)).unwrap();
        lookup.take().expect("the thread said so")
    }

    #[test]
    fn a_known_name_is_found_and_nonsense_is_not() {
        let found = lookup("localhost").unwrap();
        assert!(found.iter().all(|a| a.ip().is_loopback() && a.port() == 7));
        assert!(lookup("no such host").is_err());
    }
}
