//! The broker that the command line asks for.

use crate::log::log;
use crate::notify;
use crate::settings::Broker;
use becket_fiber::Io;
use becket_mosquitto::Address;
use becket_sys::Ready;
use becket_sys::process::Child;
use becket_sys::signal::{CommandSignalExt, Signal};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Where the broker is, and its process where we have started one.
pub struct Running {
    pub address: Address,
    child: Option<Child>,
}

/// Starts the broker where it is ours to start. To be called with the signals blocked that the gateway handles: the
/// threads of the embedded broker must not take them.
pub fn start(broker: &Broker) -> Result<Running, String> {
    let (port, child) = match broker {
        Broker::At(address) => return Ok(Running { address: address.clone(), child: None }),
        Broker::Embedded { port } => {
            let fail = |e| format!("listen on 127.0.0.1:{port}: {e}");
            (becket_examples::broker::start(*port).map_err(fail)?.port(), None)
        }
        Broker::Mosquitto => {
            let port = free_port().map_err(|e| format!("a port for mosquitto: {e}"))?;
            (port, Some(mosquitto(port)?))
        }
    };
    let address = Address::tcp("127.0.0.1", port).map_err(|e| e.to_string())?;
    Ok(Running { address, child })
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Without a configuration file mosquitto serves the loopback interface only.
fn mosquitto(port: u16) -> Result<Child, String> {
    // Debian keeps it out of the PATH of ordinary users.
    let daemon = Path::new("/usr/sbin/mosquitto");
    let program = if daemon.exists() { daemon } else { Path::new("mosquitto") };
    let mut command = Command::new(program);
    command.arg("-p").arg(port.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // It may know how to answer systemd, which asks us.
    for variable in notify::VARIABLES {
        command.env_remove(variable);
    }
    Child::spawn(command.reset_sigmask()).map_err(|e| e.to_string())
}

impl Running {
    /// Says when the broker that we have started ends, and how.
    pub fn watch(&self) -> io::Result<()> {
        if let Some(child) = &self.child {
            let ended = Io::new(child)?;
            let status = ended.attempt(Ready::READ, |c| c.try_wait()?.ok_or(io::ErrorKind::WouldBlock.into()))?;
            log!(Error; "mosquitto ended: {status}");
        }
        Ok(())
    }

    /// Ends the broker that we have started: by SIGTERM, and by SIGKILL where it does not listen.
    pub fn end(&self) {
        let Some(child) = &self.child else { return };
        let deadline = Instant::now() + Duration::from_secs(1);
        if child.send_signal(Signal::TERM).is_ok() && !matches!(child.wait(Some(deadline)), Ok(Some(_))) {
            let _ = child.send_signal(Signal::KILL);
            let _ = child.wait(None);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}
