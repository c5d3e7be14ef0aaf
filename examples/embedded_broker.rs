//! An MQTT broker on the loopback interface, for tests and for trying things out.
//!
//! Serves MQTT 3.1.1 and 5 on one port, prints `listening on mqtt://127.0.0.1:PORT` once it accepts connections,
//! and runs until it is killed. `--port N` chooses the port; a free one is taken otherwise.

use becket_examples::broker;
use lexopt::prelude::*;
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;

const USAGE: &str = "usage: embedded_broker [--port N]";

fn main() -> ExitCode {
    match port().map_err(|e| e.to_string()).and_then(|port| port.map_or(Ok(()), run)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("embedded_broker: {e}");
            ExitCode::from(2)
        }
    }
}

/// `None` where only help was asked for.
fn port() -> Result<Option<u16>, lexopt::Error> {
    let mut port = 0;
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("port") => port = args.value()?.parse()?,
            Short('h') | Long("help") => {
                println!("{USAGE}");
                return Ok(None);
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(port))
}

fn run(port: u16) -> Result<(), String> {
    let addr = broker::start(port).map_err(|e| format!("listen on 127.0.0.1:{port}: {e}"))?;
    let mut out = io::stdout();
    writeln!(out, "listening on mqtt://{addr}").and_then(|()| out.flush()).map_err(|e| format!("stdout: {e}"))?;
    loop {
        thread::park();
    }
}
