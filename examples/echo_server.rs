//! A tool to measure with: a TCP echo server of callbacks, `echo_server [--port N] [--clients N] [--for SECONDS]`.
//!
//! A connection holds at most one buffer: while that is not written, nothing more is read from it.

use becket_examples::echo::{self, Options, Served};
use becket_loop::{AnyId, Ctx, Loop, Mode, Next, Ready};
use becket_sys::signal::{Signal, Signals};
use becket_sys::tcp::{Listener, Stream};
use std::cell::Cell;
use std::error::Error;
use std::io;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::rc::Rc;

fn main() -> ExitCode {
    echo::main("echo_server", serve)
}

fn serve(options: &Options) -> Result<Served, Box<dyn Error>> {
    let mut event_loop: Loop<Served> = Loop::new()?;
    event_loop.on(Signals::new([Signal::INT, Signal::TERM])?, |_, ctx, _| {
        ctx.exit(0);
        Ok(Next::Keep)
    })?;
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, options.port))?;
    println!("listening on {}", listener.local_addr()?);
    let clients = options.clients;
    event_loop.on(listener, move |served, ctx, (stream, _)| {
        served.accepted += 1;
        add(ctx, stream, clients)?;
        Ok(if clients == Some(served.accepted) { Next::Remove } else { Next::Keep })
    })?;
    if let Some(time) = options.run_for {
        event_loop.after(time, |_, ctx| Ok(ctx.exit(0)));
    }
    let mut served = Served::default();
    event_loop.run(&mut served)?;
    Ok(served)
}

fn add(ctx: &mut Ctx<Served>, stream: Stream, clients: Option<u64>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let own: Rc<Cell<Option<AnyId>>> = Rc::default();
    let id = Rc::clone(&own);
    let mut echo = Echo::default();
    let added = ctx.add(stream, Ready::READ, Mode::Level, move |served, ctx, stream, _| {
        // A peer that resets its connection ends it, and nothing else.
        let wanted = echo.step(stream, &mut served.bytes).unwrap_or(None);
        if let (Some(want), Some(id)) = (wanted, id.get()) {
            ctx.set(id, want, Mode::Level);
            return Ok(Next::Keep);
        }
        served.ended += 1;
        if clients == Some(served.ended) {
            ctx.exit(0);
        }
        Ok(Next::Remove)
    })?;
    own.set(Some(added.into()));
    Ok(())
}

/// One connection's bytes on their way back.
#[derive(Default)]
struct Echo {
    waiting: Vec<u8>,
}

impl Echo {
    /// Reads and writes once; what to wait for next, or `None` at the end.
    fn step(&mut self, stream: &Stream, bytes: &mut u64) -> io::Result<Option<Ready>> {
        if self.waiting.is_empty() {
            let mut buffer = [0; 16 * 1024];
            match stream.try_read(&mut buffer)? {
                None => return Ok(Some(Ready::READ)),
                Some(0) => return Ok(None),
                Some(n) => self.waiting.extend_from_slice(&buffer[..n]),
            }
        }
        let written = stream.try_write(&self.waiting)?.unwrap_or(0);
        self.waiting.drain(..written);
        *bytes += written as u64;
        if !self.waiting.is_empty() {
            return Ok(Some(Ready::WRITE));
        }
        self.waiting = Vec::new(); // an idle connection holds no buffer
        Ok(Some(Ready::READ))
    }
}
