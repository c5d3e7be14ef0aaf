//! A TCP echo server in fibers, one a connection: `echo_server_fiber [--port N] [--clients N] [--for SECONDS]`.

use becket_examples::echo::{Options, Served};
use becket_fiber::net::{TcpListener, TcpStream};
use becket_fiber::signal::{Signal, Signals};
use becket_fiber::sync::Condvar;
use becket_fiber::{Ready, Runtime, spawn, spawn_named, timeout};
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::rc::Rc;

#[derive(Default)]
struct State {
    served: RefCell<Served>,
    stop: Cell<bool>,
    /// Told of every change of the two.
    news: Condvar,
}

fn main() -> ExitCode {
    let served = Options::from_args().map_err(Into::into).and_then(|options| serve(&options));
    match served.and_then(|served| Ok(writeln!(io::stdout(), "{served}")?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("echo_server_fiber: {e}");
            ExitCode::from(2)
        }
    }
}

fn serve(options: &Options) -> Result<Served, Box<dyn Error>> {
    let signals = Signals::new([Signal::INT, Signal::TERM])?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    let state = Rc::new(State::default());
    let mut runtime = Runtime::new()?;
    runtime.run(|| {
        let s = Rc::clone(&state);
        spawn_named("signals", move || {
            signals.next()?;
            s.stop.set(true);
            s.news.notify_all();
            Ok::<_, io::Error>(())
        })?
        .detach();
        let s = Rc::clone(&state);
        spawn_named("listener", move || accept(&listener, &s))?.detach();

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

fn accept(listener: &TcpListener, state: &Rc<State>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
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
}

fn echo(mut stream: TcpStream, state: &State) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        // Waited for without a buffer, and one on the stack would leave its pages behind: an idle connection is small.
        stream.wait_ready(Ready::READ, None)?;
        let mut buffer = vec![0; 4096];
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n])?;
        state.served.borrow_mut().bytes += n as u64;
    }
}
