//! A TCP echo server in fibers, one a connection: `echo_server_fiber [--port N] [--clients N] [--for SECONDS]`.

use becket_examples::echo::{Options, Served};
use becket_fiber::sync::Condvar;
use becket_fiber::{Io, Ready, Runtime, sleep, spawn, spawn_named, timeout};
use becket_sys::is_exhausted;
use becket_sys::signal::{Signal, Signals};
use becket_sys::tcp::{Listener, Stream};
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

/// How long the listener rests when no descriptor is left for a connection.
const EXHAUSTED: Duration = Duration::from_millis(100);

#[derive(Default)]
struct State {
    served: RefCell<Served>,
    stop: Cell<bool>,
    /// Told of every change of the two.
    news: Condvar,
}

fn main() -> ExitCode {
    match Options::from_args().map_err(Into::into).and_then(|options| serve(&options)) {
        Ok(served) => println!("{served}"),
        Err(e) => {
            eprintln!("echo_server_fiber: {e}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn serve(options: &Options) -> Result<Served, Box<dyn Error>> {
    let signals = Signals::new([Signal::INT, Signal::TERM])?;
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, options.port))?;
    println!("listening on {}", listener.local_addr()?);
    let state = Rc::new(State::default());
    let mut runtime = Runtime::new()?;
    runtime.run(|| {
        let s = Rc::clone(&state);
        spawn_named("signals", move || {
            Io::new(signals)?.attempt(Ready::READ, |s| s.try_read()?.ok_or(ErrorKind::WouldBlock.into()))?;
            s.stop.set(true);
            s.news.notify_all();
            Ok::<_, io::Error>(())
        })?
        .detach();
        let s = Rc::clone(&state);
        spawn_named("listener", move || accept(Io::new(listener)?, &s))?.detach();

        let is_running = || !state.stop.get() && options.clients != Some(state.served.borrow().ended);
        let wait = || state.news.wait_while(is_running);
        match options.run_for {
            Some(time) => {
                timeout(time, wait).or_else(|e| if e.kind() == ErrorKind::TimedOut { Ok(()) } else { Err(e) })
            }
            None => wait(),
        }
    })??;
    drop(runtime); // ends the fibers that are left
    Ok(state.served.take())
}

fn accept(listener: Io<Listener>, state: &Rc<State>) -> io::Result<()> {
    loop {
        match listener.attempt(Ready::READ, |l| l.try_accept()?.ok_or(ErrorKind::WouldBlock.into())) {
            Ok((stream, _)) => {
                state.served.borrow_mut().accepted += 1;
                let s = Rc::clone(state);
                spawn(move || {
                    // A peer that resets its connection ends it, and nothing else.
                    let _ = echo(stream, &s);
                    s.served.borrow_mut().ended += 1;
                    s.news.notify_all();
                })?
                .detach();
            }
            Err(e) if is_exhausted(&e) => sleep(EXHAUSTED)?,
            Err(e) => return Err(e),
        }
    }
}

fn echo(stream: Stream, state: &State) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = Io::new(stream)?;
    loop {
        // Waited for without a buffer: an idle connection's stack stays small.
        stream.wait(Ready::READ, None)?;
        let n = echo_once(&mut stream)?;
        if n == 0 {
            return Ok(());
        }
        state.served.borrow_mut().bytes += n as u64;
    }
}

#[inline(never)]
fn echo_once(stream: &mut Io<Stream>) -> io::Result<usize> {
    let mut buffer = [0; 4096];
    let n = stream.read(&mut buffer)?;
    stream.write_all(&buffer[..n])?;
    Ok(n)
}
