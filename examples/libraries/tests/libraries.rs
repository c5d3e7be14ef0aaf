//! Many fibers on one thread, through libraries that know nothing of them; and a deadline and a cancel cut each short.

use becket_fiber::net::{TcpListener, TcpStream, UnixStream};
use becket_fiber::{JoinHandle, Runtime, is_cancelled, scope, sleep, spawn, timeout, yield_now};
use becket_libraries::database::Database;
use becket_libraries::http_client::{agent, agent_with};
use becket_libraries::http_server::{Limits, Request, Response, serve};
use becket_libraries::{tls, websocket};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tungstenite::Message;

const MS: Duration = Duration::from_millis(1);
/// Longer than anything here takes where it works.
const LONG: Duration = Duration::from_secs(60);

fn in_fiber(test: impl FnOnce() -> io::Result<()>) {
    let mut runtime = Runtime::new().unwrap();
    runtime.run(|| timeout(LONG, test)).unwrap().unwrap();
}

/// Cancels a fiber that waits inside a library, and checks that this comes out of it.
fn cancelled<T>(fiber: JoinHandle<io::Result<T>>) {
    sleep(10 * MS).unwrap();
    assert!(!fiber.is_finished());
    fiber.cancel();
    assert!(is_cancelled(&fiber.join().unwrap().err().unwrap()));
}

/// A peer that accepts and says nothing, for as long as the address's listener lives.
fn silent() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves every connection by a fiber of its own, until it is cancelled.
fn server<T>(
    each: impl Fn(TcpStream) -> io::Result<T> + Clone + 'static,
) -> io::Result<(SocketAddr, JoinHandle<io::Error>)> {
    let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
    let address = listener.local_addr()?;
    let accepting = spawn(move || {
        scope(|s| {
            loop {
                let stream = match listener.accept() {
                    Ok((stream, _)) => stream,
                    Err(e) => return e,
                };
                let each = each.clone();
                s.spawn(move || each(stream).map(drop)).unwrap();
            }
        })
    })?;
    Ok((address, accepting))
}

#[test]
fn tls_for_many_and_none_for_the_silent() {
    in_fiber(|| {
        let configs = tls::self_signed()?;
        let config = configs.server.clone();
        let (address, accepting) = server(move |stream| tls::accept(stream, config.clone()).and_then(tls::echo))?;
        scope(|s| {
            let clients: Vec<_> = (0..50_usize)
                .map(|n| {
                    let config = configs.client.clone();
                    s.spawn(move || {
                        let mut stream = tls::connect(TcpStream::connect_addr(address)?, config)?;
                        // Several records of TLS, there and back.
                        let sent = vec![n as u8; 1000 * (n + 1)];
                        for piece in sent.chunks(4096) {
                            stream.write_all(piece)?;
                            stream.flush()?;
                            let mut seen = vec![0; piece.len()];
                            stream.read_exact(&mut seen)?;
                            assert!(seen == piece);
                            yield_now();
                        }
                        stream.conn.send_close_notify();
                        stream.flush()
                    })
                })
                .collect::<Result<_, _>>()?;
            clients.into_iter().try_for_each(|client| client.join()?)
        })?;
        accepting.cancel();
        assert!(is_cancelled(&accepting.join()?));

        let (_listener, address) = silent()?;
        let begun = Instant::now();
        let config = configs.client.clone();
        let late = timeout(20 * MS, || tls::connect(TcpStream::connect_addr(address)?, config));
        assert_eq!(late.err().map(|e| e.kind()), Some(ErrorKind::TimedOut));
        assert!(begun.elapsed() >= 20 * MS);
        let config = configs.client.clone();
        cancelled(spawn(move || tls::connect(TcpStream::connect_addr(address)?, config))?);

        // A peer that speaks something else.
        let (address, _accepting) = server(|mut stream| stream.write_all(b"220 this is no TLS\r\n"))?;
        let wrong = tls::connect(TcpStream::connect_addr(address)?, configs.client);
        assert_eq!(wrong.err().map(|e| e.kind()), Some(ErrorKind::InvalidData));
        Ok(())
    });
}

#[test]
fn websockets_for_many_and_none_for_the_silent() {
    in_fiber(|| {
        let (address, accepting) = server(websocket::echo)?;
        scope(|s| {
            let clients: Vec<_> = (0..50_usize)
                .map(|n| {
                    s.spawn(move || {
                        let mut socket = websocket::connect(TcpStream::connect_addr(address)?)?;
                        for size in [0, 1, 200, 70_000] {
                            let message = Message::binary(vec![n as u8; size]);
                            socket.send(message.clone()).map_err(websocket::io_error)?;
                            assert_eq!(socket.read().map_err(websocket::io_error)?, message);
                        }
                        websocket::close(socket)
                    })
                })
                .collect::<Result<_, _>>()?;
            clients.into_iter().try_for_each(|client| client.join()?)
        })?;

        // In the middle of a conversation, and in the handshake.
        let mut socket = websocket::connect(TcpStream::connect_addr(address)?)?;
        let late = timeout(20 * MS, || socket.read()).map_err(websocket::io_error);
        assert_eq!(late.err().map(|e| e.kind()), Some(ErrorKind::TimedOut));
        socket.send(Message::text("still there")).map_err(websocket::io_error)?;
        assert_eq!(socket.read().map_err(websocket::io_error)?, Message::text("still there"));
        let (_listener, address) = silent()?;
        let late = timeout(20 * MS, || websocket::connect(TcpStream::connect_addr(address)?));
        assert_eq!(late.err().map(|e| e.kind()), Some(ErrorKind::TimedOut));
        cancelled(spawn(move || websocket::connect(TcpStream::connect_addr(address)?))?);
        drop(socket);
        accepting.cancel();
        assert!(is_cancelled(&accepting.join()?));
        Ok(())
    });
}

#[test]
fn a_websocket_over_tls() {
    in_fiber(|| {
        let configs = tls::self_signed()?;
        let config = configs.server.clone();
        let (address, accepting) = server(move |stream| {
            let mut socket = tungstenite::accept(tls::accept(stream, config.clone())?).map_err(io::Error::other)?;
            let message = socket.read().map_err(websocket::io_error)?;
            socket.send(message).map_err(websocket::io_error)
        })?;
        let mut socket = websocket::connect(tls::connect(TcpStream::connect_addr(address)?, configs.client)?)?;
        socket.send(Message::text("one over the other")).map_err(websocket::io_error)?;
        assert_eq!(socket.read().map_err(websocket::io_error)?, Message::text("one over the other"));
        accepting.cancel();
        accepting.join()?;
        Ok(())
    });
}

fn echo_request(request: &Request) -> Response {
    match request.path.as_str() {
        "/missing" => Response::new(404, "Not Found", "nothing here"),
        path => Response::ok([path.as_bytes(), b": ", &request.body].concat())
            .header("Asked", request.host.clone().unwrap_or_default()),
    }
}

#[test]
fn ureq_asks_the_server_of_httparse() {
    in_fiber(|| {
        let (address, accepting) = server(|stream| serve(&stream, &Limits::default(), echo_request))?;
        let agent = agent();
        scope(|s| {
            let clients: Vec<_> = (0..50)
                .map(|n| {
                    let (agent, url) = (&agent, format!("http://localhost:{}/{n}", address.port()));
                    s.spawn(move || {
                        for _ in 0..5 {
                            let text = agent.get(&url).call()?.body_mut().read_to_string()?;
                            assert_eq!(text, format!("/{n}: "));
                            let mut answer = agent.post(&url).send(&[b'x'; 100_000][..])?;
                            assert_eq!(answer.body_mut().read_to_string()?.len(), 100_000 + format!("/{n}: ").len());
                        }
                        Ok::<_, ureq::Error>(())
                    })
                })
                .collect::<Result<_, _>>()?;
            clients.into_iter().try_for_each(|c| c.join()?.map_err(ureq::Error::into_io))
        })?;
        let missing = agent.get(format!("http://{address}/missing")).call();
        assert!(matches!(missing, Err(ureq::Error::StatusCode(404))));
        drop(agent); // and the connections that it kept
        accepting.cancel();
        assert!(is_cancelled(&accepting.join()?));
        Ok(())
    });
}

#[test]
fn ureq_ends_by_deadlines_cancels_and_its_own_timeouts() {
    in_fiber(|| {
        let (_listener, address) = silent()?;
        let url = format!("http://{address}/");
        let late = timeout(20 * MS, || agent().get(&url).call()).map_err(ureq::Error::into_io);
        assert_eq!(late.err().map(|e| e.kind()), Some(ErrorKind::TimedOut));
        let config = ureq::config::Config::builder().timeout_global(Some(20 * MS)).build();
        let late = agent_with(config).get(&url).call();
        assert!(matches!(late, Err(ureq::Error::Timeout(_))), "{late:?}");
        cancelled(spawn(move || agent().get(&url).call().map_err(ureq::Error::into_io))?);
        let e = agent().get("http://no-such-host.invalid/").call().map_err(ureq::Error::into_io);
        assert!(e.is_err());
        assert!(matches!(agent().get("https://localhost/").call(), Err(ureq::Error::TlsRequired)));
        Ok(())
    });
}

/// What the server answers to some bytes, after which the client sends nothing more.
fn answer_to(bytes: &[u8], limits: Limits) -> io::Result<(String, usize)> {
    let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
    let mut client = TcpStream::connect_addr(listener.local_addr()?)?;
    let (stream, _) = listener.accept()?;
    let server = spawn(move || serve(&stream, &limits, echo_request))?;
    client.write_all(bytes)?;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer)?;
    drop(client);
    Ok((String::from_utf8_lossy(&answer).into_owned(), server.join()??))
}

#[test]
fn the_server_keeps_connections_and_refuses_what_it_cannot_do() {
    in_fiber(|| {
        let quick = || Limits { idle: 20 * MS, request: 50 * MS, head: 1000, body: 100 };
        // Three at once, the last without a wish for more.
        let many = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nPOST /b HTTP/1.1\r\nHost: a\r\ncontent-length: 4\r\n\r\nbody\
            HEAD /c HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n";
        let (answer, handled) = answer_to(many, quick())?;
        assert_eq!(handled, 3);
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 3);
        assert!(answer.contains("/b: body") && answer.ends_with("Content-Length: 4\r\nConnection: close\r\n\r\n"));
        // Kept, until it is idle for too long.
        let (answer, handled) = answer_to(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", quick())?;
        assert!(handled == 1 && answer.contains("keep-alive"));
        let (answer, handled) = answer_to(b"GET /a HTTP/1.0\r\n\r\n", quick())?;
        assert!(handled == 1 && answer.contains("Connection: close"));
        assert_eq!(answer_to(b"", quick())?, (String::new(), 0));

        let long = [b"GET / HTTP/1.1\r\nHost: a\r\nA: ".as_slice(), &[b'x'; 2000]].concat();
        for (bytes, status) in [
            (b"\x16\x03\x01 this is TLS".as_slice(), "400 "),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -4\r\n\r\n", "400 "),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n", "400 "),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", "413 "),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n", "413 "),
            (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "501 "),
            (b"GET / HTTP/1.1\r\nHost: a\r\nHalf: a he", "408 "),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo", "408 "),
            (&long, "431 "),
            (b"GET / HTTP/1.1\r\n\r\n", "400 "),
            (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400 "),
            (b"GET / HTTP/2.0\r\n\r\n", "505 "),
        ] {
            let (answer, handled) = answer_to(bytes, quick())?;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
            assert!(answer.contains("Connection: close") && handled == 0);
        }
        // The host is that of the header, or of the first line.
        for (target, seen) in
            [("/a?b", "/a?b: "), ("http://c/a?b", "/a?b: "), ("http://c", "/: "), ("http://c?b", "/?b: ")]
        {
            let asked = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let (answer, _) = answer_to(asked.as_bytes(), quick())?;
            assert!(answer.ends_with(&format!("\r\n\r\n{seen}")), "{target}: {answer}");
            assert!(
                answer.contains(if target == "/a?b" { "\r\nAsked: a\r\n" } else { "\r\nAsked: c\r\n" }),
                "{answer}"
            );
        }
        // Who was refused and goes on sending gets to read why.
        let endless = [&long, [b'x'; 1000].repeat(500).as_slice()].concat();
        let (answer, handled) = answer_to(&endless, quick())?;
        assert!(answer.starts_with("HTTP/1.1 431 ") && handled == 0, "{answer}");
        // Who waits for leave to send gets it.
        let asked =
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
        let (answer, _) = answer_to(asked, quick())?;
        assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"), "{answer}");
        Ok(())
    });
}

#[test]
fn the_server_is_ended_by_deadlines_and_cancels() {
    in_fiber(|| {
        let (listener, address) = silent()?;
        let _client = TcpStream::connect_addr(address)?;
        let (stream, _) = listener.accept()?;
        let late = timeout(20 * MS, || serve(&stream, &Limits::default(), echo_request));
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        cancelled(spawn(move || serve(&stream, &Limits::default(), echo_request))?);
        Ok(())
    });
}

/// A statement that takes for ever.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";

#[test]
fn databases_for_many_and_an_end_to_what_has_none() {
    in_fiber(|| {
        let path = std::env::temp_dir().join(format!("becket-libraries-{}.db", std::process::id()));
        let mut database = Database::open(&path)?;
        database
            .with(|c| c.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE word (fiber INTEGER, text TEXT)"))?;
        // Others run while they wait.
        let (a, b) = UnixStream::pair()?;
        let echo = spawn(move || io::copy(&mut &b, &mut &b))?;
        scope(|s| {
            for fiber in 0..20 {
                let path = &path;
                s.spawn_or_cancel(move || {
                    let mut mine = Database::open(path)?;
                    for n in 0..5 {
                        mine.with(|c| {
                            c.execute("INSERT INTO word VALUES (?1, ?2)", (fiber, format!("word {n}"))).map(drop)
                        })?;
                    }
                    Ok::<_, io::Error>(())
                })?;
            }
            for n in 0..100_u8 {
                { &a }.write_all(&[n])?;
                let mut back = [0];
                { &a }.read_exact(&mut back)?;
                assert_eq!(back, [n]);
            }
            Ok::<_, io::Error>(())
        })?;
        drop(a);
        echo.join()??;
        let count = database.with(|c| c.query_row("SELECT count(*) FROM word", [], |r| r.get::<_, i64>(0)))?;
        assert_eq!(count, 100);

        let begun = Instant::now();
        let endless =
            |d: &mut Database, limit| d.with_timeout(limit, |c| c.query_row(ENDLESS, [], |r| r.get::<_, i64>(0)));
        assert_eq!(endless(&mut database, 20 * MS).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(begun.elapsed() >= 20 * MS);
        let late = timeout(20 * MS, || endless(&mut database, LONG));
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        let e = database.with(|c| c.execute("no SQL", [])).unwrap_err();
        assert!(e.to_string().contains("syntax error"), "{e}");
        cancelled(spawn(move || endless(&mut database, LONG).map(|_| ()))?);
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
        }
        Ok(())
    });
}
