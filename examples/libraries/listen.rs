//! A fiber for each connection.

use becket_fiber::net::{TcpListener, TcpStream};
use becket_fiber::{is_cancelled, scope};
use std::io;

/// Calls `serve` for each connection, in a fiber of its own, until this one is cancelled. An error of one connection goes to
/// standard error, and the others go on.
///
/// # Errors
/// Those of accepting, `TimedOut`, and that a fiber could not be spawned; a cancel is none. The connections have ended then.
pub fn serve_each(listener: &TcpListener, serve: impl Fn(TcpStream) -> io::Result<()>) -> io::Result<()> {
    let ended = scope(|s| -> io::Result<()> {
        loop {
            let (stream, from) = listener.accept()?;
            let serve = &serve;
            s.spawn(move || match serve(stream) {
                Err(e) if !is_cancelled(&e) => eprintln!("{from}: {e}"),
                _ => {}
            })?;
        }
    });
    ended.or_else(|e| if is_cancelled(&e) { Ok(()) } else { Err(e) })
}
