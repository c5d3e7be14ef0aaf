//! What the two echo servers share: their arguments, their last line, and how they end.

use lexopt::prelude::*;
use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

/// What an echo server was asked for.
#[derive(Debug, Default)]
pub struct Options {
    /// Where to listen on 127.0.0.1; 0: wherever there is room.
    pub port: u16,
    /// After how many connections to end.
    pub clients: Option<u64>,
    /// After how long to end.
    pub run_for: Option<Duration>,
}

impl Options {
    /// Reads the program's arguments: `[--port N] [--clients N] [--for SECONDS]`.
    ///
    /// # Errors
    /// One line that names the argument and what is wrong with it.
    pub fn from_args() -> Result<Options, String> {
        let mut options = Options::default();
        let mut parser = lexopt::Parser::from_env();
        while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
            let name = match &arg {
                Long(name) => format!("--{name}"),
                other => return Err(format!("{other:?} is unknown; it takes --port N, --clients N, --for SECONDS")),
            };
            let value = parser.value().and_then(|v| v.string()).map_err(|e| e.to_string())?;
            let wrong = |e: &dyn fmt::Display| format!("{name} {value}: {e}");
            match name.as_str() {
                "--port" => options.port = value.parse().map_err(|e| wrong(&e))?,
                "--clients" => options.clients = Some(value.parse().map_err(|e| wrong(&e))?),
                "--for" => {
                    let seconds: f64 = value.trim_end_matches('s').parse().map_err(|e| wrong(&e))?;
                    options.run_for = Some(Duration::try_from_secs_f64(seconds).map_err(|e| wrong(&e))?);
                }
                _ => return Err(format!("{name} is unknown; it takes --port N, --clients N, --for SECONDS")),
            }
        }
        Ok(options)
    }
}

/// The `main` of an echo server: `serve` does what the program's arguments ask for, and its last line says what it was.
pub fn main(name: &str, serve: impl FnOnce(&Options) -> Result<Served, Box<dyn Error>>) -> ExitCode {
    let served = Options::from_args().map_err(Into::into).and_then(|options| serve(&options));
    match served.and_then(|served| Ok(writeln!(io::stdout(), "{served}")?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{name}: {e}");
            ExitCode::from(2)
        }
    }
}

/// What an echo server has done.
#[derive(Debug, Default)]
pub struct Served {
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that ended.
    pub ended: u64,
    /// Bytes that were sent back.
    pub bytes: u64,
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "served {} connections, {} bytes", self.accepted, self.bytes)
    }
}
