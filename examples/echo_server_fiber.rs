//! A tool to measure with: a TCP echo server, a fiber a connection, `echo_server_fiber [--port N] [--clients N] [--for SECONDS]`.

use becket_examples::echo::{self, Options, Served};
use becket_fiber::net::{TcpListener, TcpStream};
use becket_fiber::signal::{Signal, Signals};
use becket_fiber::sync::Event;
use becket_fiber::{Ready, Runtime, scope, select};
use std::cell::RefCell;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    echo::main("echo_server_fiber", serve)
}

fn serve(options: &Options) -> Result<Served, Box<dyn Error>> {
    let signals = Signals::new([Signal::INT, Signal::TERM])?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    let (served, all) = (RefCell::new(Served::default()), Event::new());
    let told = || (options.clients == Some(served.borrow().ended)).then(|| all.set());
    told();
    Runtime::new()?.run(|| {
        scope(|s| {
            s.spawn(|| -> io::Result<()> {
                loop {
                    let (stream, _) = listener.accept()?;
                    served.borrow_mut().accepted += 1;
                    s.spawn(|| {
                        let _ = echo(stream, &served); // a peer that resets its connection ends it, and nothing else
                        served.borrow_mut().ended += 1;
                        told();
                    })?;
                }
            })?;
            select! {
                () = all.on_set() => {},
                _ = signals.on_ready(Ready::READ) => {},
                () = select::after(options.run_for.unwrap_or(Duration::MAX)) => {},
            }?;
            Ok::<_, io::Error>(s.cancel()) // the listener, and those who are connected still
        })
    })??;
    Ok(served.into_inner())
}

fn echo(mut stream: TcpStream, served: &RefCell<Served>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        // Waited for without a buffer, and one on the stack would leave its pages behind: an idle connection is small.
        stream.wait_ready(Ready::READ, None)?;
        let mut buffer = vec![0; 4096];
        let n @ 1.. = stream.read(&mut buffer)? else { return Ok(()) };
        stream.write_all(&buffer[..n])?;
        served.borrow_mut().bytes += n as u64;
    }
}
