//! A small HTTP server on the same loop, which also knows how to misbehave.

use becket_loop::{AnyId, Ctx, Mode, Next, Ready};
use becket_sys::tcp::{Listener, Stream};
use std::cell::Cell;
use std::fmt::Write;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

/// What file `n` holds.
pub(crate) fn content(n: usize) -> Vec<u8> {
    (0..n * 7919 % 200_000).map(|at| (at / 3 * 31 + n) as u8).collect()
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) listener: AnyId,
    pub(crate) count: Rc<Count>,
}

/// The connections at present, and the most there have been.
#[derive(Debug, Default)]
pub(crate) struct Count {
    now: Cell<usize>,
    pub(crate) most: Cell<usize>,
    pub(crate) total: Cell<usize>,
}

/// Serves `/file/N`; `/cut` is cut short, `/silent` never answered, everything else not found.
pub(crate) fn serve<S: 'static>(ctx: &mut Ctx<S>) -> io::Result<Server> {
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let count: Rc<Count> = Rc::default();
    let counted = Rc::clone(&count);
    let listener = ctx.on(listener, move |_, ctx, (stream, _)| {
        add(ctx, stream, Rc::clone(&counted))?;
        Ok(Next::Keep)
    })?;
    Ok(Server { address, listener: listener.into(), count })
}

fn add<S: 'static>(ctx: &mut Ctx<S>, stream: Stream, count: Rc<Count>) -> io::Result<()> {
    let own: Rc<Cell<Option<AnyId>>> = Rc::default();
    let id = Rc::clone(&own);
    count.total.set(count.total.get() + 1);
    count.now.set(count.now.get() + 1);
    count.most.set(count.most.get().max(count.now.get()));
    let mut connection = Connection::default();
    let added = ctx.add(stream, Ready::READ, Mode::Level, move |_, ctx, stream, _| {
        // A client that goes away ends its connection, and nothing else.
        let wanted = connection.step(stream).unwrap_or(None);
        if let (Some(want), Some(id)) = (wanted, id.get()) {
            ctx.set(id, want, Mode::Level);
            return Ok(Next::Keep);
        }
        count.now.set(count.now.get() - 1);
        Ok(Next::Remove)
    })?;
    own.set(Some(added.into()));
    Ok(())
}

#[derive(Default)]
struct Connection {
    request: Vec<u8>,
    answer: Vec<u8>,
    sent: usize,
    closing: bool,
}

impl Connection {
    /// Goes on; what to wait for next, or `None` at the end.
    fn step(&mut self, stream: &Stream) -> io::Result<Option<Ready>> {
        if self.sent == self.answer.len() {
            let mut buffer = [0; 4096];
            match stream.try_read(&mut buffer)? {
                None => return Ok(Some(Ready::READ)),
                Some(0) => return Ok(None),
                Some(n) => self.request.extend_from_slice(&buffer[..n]),
            }
            if !self.request.ends_with(b"\r\n\r\n") {
                return Ok((self.request.len() < 64 * 1024).then_some(Ready::READ));
            }
            (self.answer, self.closing) = answer(&String::from_utf8_lossy(&self.request));
            self.request.clear();
            self.sent = 0;
        }
        while self.sent < self.answer.len() {
            match stream.try_write(&self.answer[self.sent..])? {
                None => return Ok(Some(Ready::WRITE)),
                Some(n) => self.sent += n,
            }
        }
        Ok((!self.closing).then_some(Ready::READ))
    }
}

/// What to send for a request, and whether to close then.
fn answer(request: &str) -> (Vec<u8>, bool) {
    let path = request.split(' ').nth(1).unwrap_or("");
    let number = path.strip_prefix("/file/").and_then(|n| n.parse().ok());
    let (status, body, missing) = match (path, number) {
        ("/silent", _) => return (Vec::new(), false),
        ("/cut", _) => ("200 OK", content(3), 1),
        (_, Some(n)) => ("200 OK", content(n), 0),
        _ => ("404 Not Found", b"there is none".to_vec(), 0),
    };
    // Some connections serve several requests, some one.
    let closing = missing > 0 || number.is_some_and(|n| n % 3 == 0);
    let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len() + missing);
    if closing {
        let _ = write!(head, "Connection: close\r\n"); // to a string: cannot fail
    }
    head.push_str("\r\n");
    ([head.into_bytes(), body].concat(), closing)
}
