//! Downloads 50 files at once by libcurl, from a server on the same loop: `download_many [--files N]`.
//!
//! Then, from the closure that is told of the last one, four more that must fail, each in its own way. `multi.rs` is the
//! glue, and worth taking along.

mod multi;
mod server;

use becket_loop::{Ctx, Id, Loop, Next};
use curl::easy::Easy2;
use lexopt::prelude::*;
use multi::{Body, Event, Ticket, Transfers};
use server::Server;
use std::collections::BTreeMap;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    match files().map_err(Into::into).and_then(download) {
        Ok(summary) => println!("{summary}"),
        Err(e) => {
            eprintln!("download_many: {e}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn files() -> Result<usize, lexopt::Error> {
    let mut files = 50;
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("files") => files = args.value()?.parse()?,
            other => return Err(other.unexpected()),
        }
    }
    Ok(files)
}

/// What is to come of a transfer.
#[derive(Debug, Clone, Copy)]
enum Expected {
    File(usize),
    NotFound,
    Refused,
    CutShort,
    TimedOut,
}

struct State {
    transfers: Id<Transfers>,
    server: Server,
    expected: BTreeMap<Ticket, Expected>,
    files: usize,
    bytes: usize,
    failures: Vec<String>,
}

fn download(files: usize) -> Result<String, Box<dyn Error>> {
    let mut event_loop: Loop<State> = Loop::new()?;
    let server = server::serve(&mut event_loop)?;
    let mut transfers = Transfers::new()?;
    let mut expected = BTreeMap::new();
    for n in 0..files {
        expected.insert(transfers.start(request(server.address, &format!("file/{n}"))?)?, Expected::File(n));
    }
    let transfers = event_loop.join(transfers, |state: &mut State, ctx, event| match event {
        Event::Ended { ticket, easy, result } => {
            state.ended(ticket, &easy, result)?;
            state.go_on(ctx)?;
            Ok(Next::Keep)
        }
        Event::Broken(e) => Err(e.into()),
    });
    let mut state = State { transfers, server, expected, files: 0, bytes: 0, failures: Vec::new() };
    if files == 0 {
        state.go_on(&mut event_loop)?;
    }
    // It ends when nothing is left: libcurl has left the loop and closed its connections, and the server saw it.
    event_loop.run(&mut state)?;
    let State { files, bytes, mut failures, server, .. } = state;
    failures.sort(); // they end in any order
    let (most, total, failures) = (server.count.most.get(), server.count.total.get(), failures.join(", "));
    Ok(format!("{files} files, {bytes} bytes; {most} connections at once, {total} in all; {failures}"))
}

impl State {
    /// Whether a transfer ended as it should.
    fn ended(
        &mut self,
        ticket: Ticket,
        easy: &Easy2<Body>,
        result: Result<(), curl::Error>,
    ) -> Result<(), Box<dyn Error>> {
        let expected = self.expected.remove(&ticket).ok_or("a transfer that was never begun has ended")?;
        let body = &easy.get_ref().bytes;
        let as_expected = match (expected, &result) {
            (Expected::File(n), Ok(())) if easy.response_code()? == 200 && *body == server::content(n) => {
                self.files += 1;
                self.bytes += body.len();
                return Ok(());
            }
            (Expected::NotFound, Ok(())) => easy.response_code()? == 404,
            (Expected::CutShort, Err(e)) => e.is_partial_file() && *body == server::content(3),
            (Expected::Refused, Err(e)) => e.is_couldnt_connect(),
            (Expected::TimedOut, Err(e)) => e.is_operation_timedout(),
            _ => false,
        };
        if !as_expected {
            return Err(format!("{expected:?}: {result:?}, {} bytes", body.len()).into());
        }
        self.failures.push(format!("{expected:?}"));
        Ok(())
    }

    /// What comes when all transfers have ended: first those that must fail, then the end.
    fn go_on(&mut self, ctx: &mut Ctx<State>) -> Result<(), Box<dyn Error>> {
        if !self.expected.is_empty() {
            return Ok(());
        }
        let transfers = ctx.joined(self.transfers).ok_or("libcurl has left the loop")?;
        if !self.failures.is_empty() {
            transfers.finish();
            ctx.cancel(self.server.listener);
            return Ok(());
        }
        let unused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?; // closed again
        let mut silent = request(self.server.address, "silent")?;
        silent.timeout(Duration::from_millis(300))?;
        for (easy, expected) in [
            (request(self.server.address, "none")?, Expected::NotFound),
            (request(self.server.address, "cut")?, Expected::CutShort),
            (request(unused, "")?, Expected::Refused),
            (silent, Expected::TimedOut),
        ] {
            self.expected.insert(transfers.start(easy)?, expected);
        }
        Ok(())
    }
}

fn request(server: SocketAddr, path: &str) -> Result<Easy2<Body>, curl::Error> {
    let mut easy = Easy2::new(Body::up_to(1 << 20));
    easy.url(&format!("http://{server}/{path}"))?;
    easy.timeout(Duration::from_secs(20))?;
    Ok(easy)
}
