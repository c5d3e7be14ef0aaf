//! A small HTTP/1.1 server: `httparse` parses, fibers wait. Connections are kept alive; one that is idle costs a fiber's
//! stack, and no buffer.
//!
//! ```
//! use becket_fiber::net::{TcpListener, TcpStream};
//! use becket_fiber::{Runtime, spawn};
//! use becket_libraries::http_server::{Limits, Response, serve};
//! use std::io::{Read, Write};
//!
//! let mut runtime = Runtime::new()?;
//! runtime.run(|| {
//!     let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
//!     let mut client = TcpStream::connect_addr(listener.local_addr()?)?;
//!     let (stream, _) = listener.accept()?;
//!     let server = spawn(move || serve(&stream, &Limits::default(), |request| Response::ok(request.path.clone())))?;
//!     client.write_all(b"GET /rope HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
//!     let mut answer = String::new();
//!     client.read_to_string(&mut answer)?;
//!     assert!(answer.starts_with("HTTP/1.1 200 OK\r\nDate: "));
//!     assert!(answer.ends_with("\r\nContent-Length: 5\r\nConnection: close\r\n\r\n/rope"));
//!     assert_eq!(server.join()??, 1);
//!     Ok::<_, std::io::Error>(())
//! })??;
//! # Ok::<(), std::io::Error>(())
//! ```

use becket_fiber::net::TcpStream;
use becket_fiber::{BufReader, timeout};
use std::io::{self, BufRead, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, SystemTime};

/// What a server takes from a client.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a connection may be idle between requests. 60 s by default.
    pub idle: Duration,
    /// How long a request may take to come, and an answer to go. 30 s by default.
    pub request: Duration,
    /// How many bytes the head of a request may have. 16 KiB by default.
    pub head: usize,
    /// How many bytes the body of a request may have. 1 MiB by default.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { idle: Duration::from_secs(60), request: Duration::from_secs(30), head: 16 << 10, body: 1 << 20 }
    }
}

/// How long, and for how many bytes, a client that was refused is listened to: closing what it still sends to would take
/// the answer from it (RFC 9112, 9.6).
const LINGER: (Duration, u64) = (Duration::from_secs(1), 1 << 20);

/// A request, all of it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Such as `GET`.
    pub method: String,
    /// As it stands in the request, with its query, without scheme and host.
    pub path: String,
    /// The host that is asked for, perhaps with a port: that of the header, or the one in the request's first line where
    /// it has one. HTTP/1.0 does without.
    pub host: Option<String>,
    /// Names as they were written, and values.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Empty where there is none.
    pub body: Vec<u8>,
    /// Whether the client wants another answer by this connection.
    keep_alive: bool,
}

impl Request {
    /// The value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        header(&self.headers, name)
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Such as 200.
    pub status: u16,
    /// The word beside it.
    pub reason: &'static str,
    /// Headers, beside those of the connection, the length and the date.
    pub headers: Vec<(&'static str, String)>,
    /// Its content.
    pub body: Vec<u8>,
}

impl Response {
    /// With a status.
    pub fn new(status: u16, reason: &'static str, body: impl Into<Vec<u8>>) -> Response {
        Response { status, reason, headers: Vec::new(), body: body.into() }
    }

    /// With one more header. The value is written as it is, and must be one line.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Response {
        self.headers.push((name, value.into()));
        self
    }

    /// All is well.
    pub fn ok(body: impl Into<Vec<u8>>) -> Response {
        Response::new(200, "OK", body)
    }
}

/// Why a request is not answered by the handler.
enum Refused {
    /// The connection is at its end.
    End,
    /// The stream's, or the fiber's.
    Io(io::Error),
    /// The client is told, and the connection closed.
    Told(u16, &'static str),
}

impl From<io::Error> for Refused {
    fn from(e: io::Error) -> Refused {
        Refused::Io(e)
    }
}

const BAD: Refused = Refused::Told(400, "Bad Request");

/// Serves a connection until the client closes it, is idle for too long, or asks for the impossible; says how many
/// requests were handled.
///
/// # Errors
/// Those of the stream; [`Cancelled`](becket_fiber::Cancelled), and `TimedOut` for deadlines around this call, and for
/// an answer that the client does not take.
pub fn serve(stream: &TcpStream, limits: &Limits, handler: impl Fn(&Request) -> Response) -> io::Result<usize> {
    let mut reader = BufReader::new(stream);
    let mut handled = 0;
    loop {
        match next_request(&mut reader, limits) {
            Ok(request) => {
                let response = handler(&request);
                handled += 1;
                let is_head = request.method == "HEAD";
                timeout(limits.request, || answer(stream, &response, request.keep_alive, is_head))?;
                if !request.keep_alive {
                    return Ok(handled);
                }
            }
            Err(Refused::End) => return Ok(handled),
            Err(Refused::Io(e)) => return Err(e),
            Err(Refused::Told(status, reason)) => {
                timeout(limits.request, || answer(stream, &Response::new(status, reason, ""), false, false))?;
                stream.shutdown(Shutdown::Write)?;
                drain(reader)?;
                return Ok(handled);
            }
        }
    }
}

/// Reads on for as long as the client sends, within [`LINGER`].
fn drain(reader: BufReader<&TcpStream>) -> io::Result<()> {
    let is_ours = ours();
    match timeout(LINGER.0, || io::copy(&mut reader.take(LINGER.1), &mut io::sink())) {
        Err(e) if !is_ours(&e) && e.kind() != io::ErrorKind::ConnectionReset => Err(e),
        _ => Ok(()),
    }
}

/// Whether an error of later is a deadline that is set later, and not one of those that hold now.
fn ours() -> impl Fn(&io::Error) -> bool {
    let outer = becket_fiber::current_deadline();
    move |e| e.kind() == io::ErrorKind::TimedOut && outer.is_none_or(|at| std::time::Instant::now() < at)
}

fn next_request(reader: &mut BufReader<&TcpStream>, limits: &Limits) -> Result<Request, Refused> {
    // Whoever is late here is idle, and no deadline of others is meant.
    let is_ours = ours();
    match timeout(limits.idle, || reader.fill_buf().map(<[u8]>::is_empty)) {
        Ok(true) => return Err(Refused::End),
        Ok(false) => {}
        Err(e) if is_ours(&e) => return Err(Refused::End),
        Err(e) => return Err(e.into()),
    }
    match timeout(limits.request, || read_request(reader, limits)) {
        Err(Refused::Io(e)) if is_ours(&e) => Err(Refused::Told(408, "Request Timeout")),
        other => other,
    }
}

fn read_request(reader: &mut BufReader<&TcpStream>, limits: &Limits) -> Result<Request, Refused> {
    let mut head = Vec::new();
    let mut request = loop {
        let there = reader.fill_buf()?;
        if there.is_empty() {
            return Err(Refused::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        let (before, len) = (head.len(), there.len());
        head.extend_from_slice(there);
        match parse(&head)? {
            Some((request, size)) if size <= limits.head => {
                reader.consume(size - before);
                break request;
            }
            None if head.len() < limits.head => reader.consume(len),
            _ => return Err(Refused::Told(431, "Request Header Fields Too Large")),
        }
    };
    if request.header("transfer-encoding").is_some() {
        return Err(Refused::Told(501, "Not Implemented"));
    }
    let length = match request.header("content-length") {
        None => 0,
        Some(value) if value.is_empty() || !value.iter().all(u8::is_ascii_digit) => return Err(BAD),
        Some(value) => std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()).unwrap_or(usize::MAX),
    };
    if length > limits.body {
        return Err(Refused::Told(413, "Content Too Large"));
    }
    if length > 0 && request.header("expect").is_some_and(|v| v.eq_ignore_ascii_case(b"100-continue")) {
        let mut stream = *reader.get_ref();
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body)?;
    Ok(request)
}

/// The request at the begin of `head`, and how long its head is; `None` where some of that is missing.
fn parse(head: &[u8]) -> Result<Option<(Request, usize)>, Refused> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    let size = match parsed.parse(head) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refused::Told(431, "Request Header Fields Too Large")),
        Err(httparse::Error::Version) => return Err(Refused::Told(505, "HTTP Version Not Supported")),
        Err(_) => return Err(BAD),
    };
    let headers: Vec<_> = parsed.headers.iter().map(|h| (h.name.to_owned(), h.value.to_vec())).collect();
    let times = |header: &str| headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(header)).count();
    let is_new = parsed.version == Some(1);
    // Since version 1.1 there is a host, and no more than one (RFC 9112, 3.2).
    if times("content-length") > 1 || times("host") > 1 || is_new && times("host") == 0 {
        return Err(BAD);
    }
    let connection = header(&headers, "connection").unwrap_or_default();
    let says = |word: &[u8]| connection.split(|b| *b == b',').any(|w| w.trim_ascii().eq_ignore_ascii_case(word));
    // Until version 1.1 it had to be asked for.
    let keep_alive = if is_new { !says(b"close") } else { says(b"keep-alive") };
    let method = parsed.method.unwrap_or_default().to_owned();
    let (host, path) = target(parsed.path.unwrap_or_default(), header(&headers, "host"));
    Ok(Some((Request { method, path, host, headers, body: Vec::new(), keep_alive }, size)))
}

/// The host and the path of a request's target: a target that is absolute has both, whatever the header says
/// (RFC 9112, 3.2.2).
fn target(target: &str, host: Option<&[u8]>) -> (Option<String>, String) {
    let Some(absolute) = target.strip_prefix("http://") else {
        return (host.map(|host| String::from_utf8_lossy(host).into_owned()), target.to_owned());
    };
    let (host, path) = absolute.split_at(absolute.find(['/', '?']).unwrap_or(absolute.len()));
    (Some(host.to_owned()), if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
}

fn header<'h>(headers: &'h [(String, Vec<u8>)], name: &str) -> Option<&'h [u8]> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
}

fn answer(mut stream: &TcpStream, response: &Response, keep_alive: bool, head_only: bool) -> io::Result<()> {
    let Response { status, reason, headers, body } = response;
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let date = httpdate::fmt_http_date(SystemTime::now());
    let mut bytes = format!("HTTP/1.1 {status} {reason}\r\nDate: {date}\r\n").into_bytes();
    for (name, value) in headers {
        write!(bytes, "{name}: {value}\r\n")?;
    }
    write!(bytes, "Content-Length: {}\r\nConnection: {connection}\r\n\r\n", body.len())?;
    if !head_only {
        bytes.extend_from_slice(body);
    }
    stream.write_all(&bytes)
}
