//! Clients of the gateway's page that hang, and one that does not.

use becket_tests::random::Random;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::time::Duration;

/// How many clients there are at most: more than the gateway serves at once.
const MOST: usize = 80;

pub struct Page {
    port: u16,
    hanging: Vec<TcpStream>,
    pub clients: u64,
}

impl Page {
    /// At the address that the gateway has told in this line.
    pub fn at(line: &str) -> Page {
        let port = line.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
        Page { port: port.unwrap_or_else(|| panic!("no port in {line}")), hanging: Vec::new(), clients: 0 }
    }

    fn connect(&self) -> Option<TcpStream> {
        // Fails where the queue of those who wait is full of ours.
        TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, self.port).into(), Duration::from_millis(100)).ok()
    }

    /// Some clients more that ask for nothing, for half of something, or for more than they read; and some fewer.
    pub fn spoil(&mut self, random: &mut Random) {
        for _ in 0..random.within(1..20) {
            if let Some(mut client) = self.connect() {
                self.clients += 1;
                let said = match random.within(0..5) {
                    0 => Vec::new(),
                    1 => b"GET /metrics.json HT".to_vec(),
                    2 => b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200),
                    3 => random.bytes(500),
                    _ => b"GET / HTTP/1.0\r\n\r\n".to_vec(),
                };
                let _ = client.set_nonblocking(true);
                let _ = client.write(&said);
                self.hanging.push(client);
            }
        }
        while self.hanging.len() > MOST || (random.within(0..3) == 0 && !self.hanging.is_empty()) {
            let at = random.within(0..self.hanging.len() as u64) as usize;
            self.hanging.swap_remove(at);
        }
    }

    /// All of them are gone.
    pub fn mend(&mut self) {
        self.hanging.clear();
    }

    /// What the page shows of the gateway.
    pub fn figures(&self) -> Option<Value> {
        let mut client = self.connect()?;
        client.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        client.write_all(b"GET /metrics.json HTTP/1.0\r\n\r\n").ok()?;
        let _ = client.shutdown(Shutdown::Write);
        let mut answer = String::new();
        client.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }
}
