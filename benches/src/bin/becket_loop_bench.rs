//! The benchmarks of the loop, over becket-loop's public face. `becket_loop_bench BENCH --key=value`: see
//! `benches/README.md`.
//!
//! Where a face with a plain function does, that is what is used: the cheapest that safe code can have. `--closures=1`
//! serves `echo` by closures instead, as most programs would. `--backend=poll` and `--threads=1` (helper threads in
//! place of io_uring) choose another backend. With `--shards=2` two threads serve `echo`, each with a loop and a listener.

use becket_loop::backend::{Completions, Epoll, Poll};
use becket_loop::{Ctx, Id, Loop, Mode, Next, Plain, Ready, Remote, Timer, op};
use becket_sys::tcp;
use bench_rig::{BLOCK, ECHO_BUF, Pipes, data_file, emit, flag, ns_per, number, pin_self, text};
use std::error::Error;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

const PEER: &str = "becket-loop";

type Done = Result<(), Box<dyn Error>>;

fn new_loop<S: 'static>() -> io::Result<Loop<S>> {
    match text("backend").as_deref() {
        None | Some("epoll") if flag("threads") => {
            Ok(Loop::with_backend(Epoll::with_completions(Completions::HelperThreads)?))
        }
        None | Some("epoll") => Loop::new(),
        Some("poll") => Ok(Loop::with_backend(Poll::new()?)),
        Some(_) => bench_rig::unsupported(),
    }
}

// echo

/// The state of all connections: what is shared, and each by its number.
struct Echo {
    conns: Vec<Option<Conn>>,
    free: Vec<usize>,
    buf: Box<[u8]>,
}

struct Conn {
    id: Id<Rc<tcp::Stream>>,
    stream: Rc<tcp::Stream>,
    /// What could not be written yet.
    rest: Option<Box<Rest>>,
}

struct Rest {
    bytes: Vec<u8>,
    written: usize,
}

/// What to do with a connection after it was served.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Read,
    Write,
    Close,
}

/// One read and one write; or, where something is left, one write of that.
#[inline(always)]
fn serve(mut stream: &tcp::Stream, rest: &mut Option<Box<Rest>>, buf: &mut [u8]) -> Then {
    if let Some(left) = rest {
        return match stream.write(&left.bytes[left.written..]) {
            Ok(n) => {
                left.written += n;
                if left.written < left.bytes.len() {
                    return Then::Write;
                }
                *rest = None;
                Then::Read
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => Then::Write,
            Err(_) => Then::Close,
        };
    }
    let got = match stream.read(buf) {
        Ok(0) => return Then::Close,
        Ok(n) => &buf[..n],
        Err(e) if e.kind() == ErrorKind::WouldBlock => return Then::Read,
        Err(_) => return Then::Close,
    };
    let written = match stream.write(got) {
        Ok(n) if n == got.len() => return Then::Read,
        Ok(n) => n,
        Err(e) if e.kind() == ErrorKind::WouldBlock => 0,
        Err(_) => return Then::Close,
    };
    *rest = Some(Box::new(Rest { bytes: got[written..].to_vec(), written: 0 }));
    Then::Write
}

fn on_conn(echo: &mut Echo, ctx: &mut Ctx<Echo>, number: u64, _: Ready) -> Next {
    let Some(conn) = &mut echo.conns[number as usize] else { return Next::Remove };
    let had_rest = conn.rest.is_some();
    match serve(&conn.stream, &mut conn.rest, &mut echo.buf) {
        Then::Read if had_rest => _ = ctx.set(conn.id, Ready::READ, Mode::Level),
        Then::Write if !had_rest => _ = ctx.set(conn.id, Ready::WRITE, Mode::Level),
        Then::Read | Then::Write => {}
        Then::Close => {
            echo.conns[number as usize] = None;
            echo.free.push(number as usize);
            return Next::Remove;
        }
    }
    Next::Keep
}

fn accept_plain(echo: &mut Echo, ctx: &mut Ctx<Echo>, stream: tcp::Stream) -> becket_loop::Result {
    stream.set_nodelay(true)?;
    let number = echo.free.pop().unwrap_or_else(|| {
        echo.conns.push(None);
        echo.conns.len() - 1
    });
    let stream = Rc::new(stream);
    let handler = Plain { call: on_conn, data: number as u64 };
    let id = ctx.add_plain(Rc::clone(&stream), Ready::READ, Mode::Level, handler)?;
    echo.conns[number] = Some(Conn { id, stream, rest: None });
    Ok(Next::Keep)
}

fn accept_closure(_: &mut Echo, ctx: &mut Ctx<Echo>, stream: tcp::Stream) -> becket_loop::Result {
    stream.set_nodelay(true)?;
    let mut rest = None;
    ctx.add(stream, Ready::READ, Mode::Level, move |echo, ctx, stream, _| {
        let had_rest = rest.is_some();
        let want = match serve(stream, &mut rest, &mut echo.buf) {
            Then::Read if had_rest => Ready::READ,
            Then::Write if !had_rest => Ready::WRITE,
            Then::Read | Then::Write => return Ok(Next::Keep),
            Then::Close => return Ok(Next::Remove),
        };
        ctx.current().into_iter().for_each(|own| _ = ctx.set(own, want, Mode::Level));
        Ok(Next::Keep)
    })?;
    Ok(Next::Keep)
}

fn echo() -> Done {
    let shards = number("shards", 1);
    if shards == 1 {
        let listener = tcp::Listener::from(OwnedFd::from(bench_rig::listen()));
        bench_rig::ready();
        return serve_all(listener);
    }
    let builder = tcp::Listener::builder().reuse_port(true);
    let bind = |_| builder.bind(([127, 0, 0, 1], bench_rig::port()));
    let listeners = (0..shards).map(bind).collect::<Result<Vec<_>, _>>()?;
    bench_rig::ready();
    std::thread::scope(|scope| {
        let serve = |listener| scope.spawn(|| serve_all(listener).expect("it serves until it is killed"));
        listeners.into_iter().for_each(|listener| drop(serve(listener)));
    });
    Ok(())
}

fn serve_all(listener: tcp::Listener) -> Done {
    let mut event_loop = new_loop()?;
    let accept = if flag("closures") { accept_closure } else { accept_plain };
    event_loop.on(listener, move |echo, ctx, (stream, _)| accept(echo, ctx, stream))?;
    let mut echo = Echo { conns: vec![], free: vec![], buf: vec![0; ECHO_BUF].into() };
    event_loop.run(&mut echo)?;
    Ok(())
}

// pipes

struct Piped {
    pipes: Pipes,
    timers: Vec<Id<Timer>>,
}

fn on_byte(s: &mut Piped, _: &mut Ctx<Piped>, i: u64, _: Ready) -> Next {
    s.pipes.on_read(i as usize);
    Next::Keep
}

fn on_byte_with_timeout(s: &mut Piped, ctx: &mut Ctx<Piped>, i: u64, _: Ready) -> Next {
    s.pipes.on_read(i as usize);
    ctx.arm_timeout(s.timers[i as usize], timeout());
    Next::Keep
}

fn on_timeout(_: &mut Piped, _: &mut Ctx<Piped>, i: u64, _: Ready) -> Next {
    panic!("pair {i} is silent")
}

fn timeout() -> Duration {
    Duration::from_millis(Pipes::timeout_ms())
}

fn pipes() -> Done {
    let mut event_loop = new_loop()?;
    let mut s = Piped { pipes: Pipes::new(), timers: vec![] };
    let call = if s.pipes.timeouts { on_byte_with_timeout } else { on_byte };
    let mut ids = vec![];
    for i in 0..s.pipes.n {
        let handler = Plain { call, data: i as u64 };
        ids.push(event_loop.add_plain(s.pipes.take(i), Ready::READ, Mode::Level, handler)?);
        if s.pipes.timeouts {
            s.timers.push(event_loop.timer_plain(Plain { call: on_timeout, data: i as u64 }));
        }
    }
    let (mut events, mut total) = (vec![], vec![]);
    for _ in 0..=s.pipes.runs {
        let start = Instant::now();
        let now = event_loop.now();
        for (i, id) in ids.iter().enumerate() {
            event_loop.enable(*id, false);
            event_loop.enable(*id, true);
            if s.pipes.timeouts {
                event_loop.arm(s.timers[i], now + timeout());
            }
        }
        event_loop.turn(&mut s, Some(Duration::ZERO))?;
        s.pipes.kick();
        let kicked = Instant::now();
        while !s.pipes.done() {
            event_loop.turn(&mut s, Some(Duration::ZERO))?;
        }
        events.push(kicked.elapsed().as_nanos() as f64 / 1e3);
        total.push(start.elapsed().as_nanos() as f64 / 1e3);
    }
    // The first run only warms up.
    s.pipes.report(PEER, events.split_off(1), Some(total.split_off(1)));
    Ok(())
}

// timers

fn on_timer(fired: &mut i64, _: &mut Ctx<i64>, _: u64, _: Ready) -> Next {
    *fired += 1;
    Next::Keep
}

fn timers() -> Done {
    let (n, expire) = (number("n", 100_000), number("expire", 100_000));
    let mut event_loop = new_loop()?;
    let timers: Vec<Id<Timer>> =
        (0..n.max(expire)).map(|i| event_loop.timer_plain(Plain { call: on_timer, data: i as u64 })).collect();
    let random = |_| Duration::from_millis(bench_rig::random() % n as u64 + 60_000);
    let delays: Vec<Duration> = (0..n).map(random).collect();
    let last = delays.len() - 1;

    let now = event_loop.now();
    let start = Instant::now();
    for (timer, delay) in timers.iter().zip(&delays) {
        event_loop.arm(*timer, now + *delay);
    }
    emit(PEER, "timers_arm", n, ns_per(start, n), "ns");
    let start = Instant::now();
    for timer in timers[..=last].iter().step_by(2) {
        event_loop.disarm(*timer);
    }
    emit(PEER, "timers_cancel", n, ns_per(start, n / 2), "ns");
    let start = Instant::now();
    for i in (0..=last).step_by(2) {
        event_loop.arm(timers[i], now + delays[last - i]);
    }
    emit(PEER, "timers_rearm", n, ns_per(start, n / 2), "ns");

    for timer in &timers[..=last] {
        event_loop.disarm(*timer);
    }
    let soon = event_loop.now() + Duration::from_millis(1);
    for timer in &timers[..expire as usize] {
        event_loop.arm(*timer, soon);
    }
    std::thread::sleep(Duration::from_millis(20));
    let mut fired = 0;
    let start = Instant::now();
    while fired < expire {
        event_loop.turn(&mut fired, Some(Duration::ZERO))?;
    }
    emit(PEER, "timers_expire", expire, ns_per(start, expire), "ns");
    Ok(())
}

// wake

/// One side of the round trips: the other one, and how many are left.
struct Side {
    other: Option<Remote<Side>>,
    left: i64,
}

fn bounce(side: &mut Side, ctx: &mut Ctx<Side>) -> becket_loop::Result<()> {
    side.left -= 1;
    if let Some(other) = &side.other {
        other.post(bounce);
    }
    if side.left == 0 {
        side.other = None;
        ctx.exit(0);
    }
    Ok(())
}

fn wake() -> Done {
    let rounds = number("rounds", 20_000);
    pin_self(0);
    let mut near = new_loop()?;
    let back = near.remote();
    let (send, receive) = std::sync::mpsc::channel();
    let far = std::thread::spawn(move || {
        pin_self(1);
        let mut far = new_loop().expect("descriptors");
        send.send(far.remote()).expect("the main thread waits for it");
        far.run(&mut Side { other: Some(back), left: rounds }).expect("no callback fails");
    });
    let other = receive.recv()?;
    let start = Instant::now();
    other.post(bounce);
    // The last answer needs no answer.
    let mut side = Side { other: Some(other), left: rounds };
    near.run(&mut side)?;
    emit(PEER, "wake_rtt", rounds, ns_per(start, rounds), "ns");
    far.join().expect("no panic there");

    let posts = number("posts", 1_000_000);
    let mut event_loop = new_loop()?;
    let remote = event_loop.remote();
    let start = Instant::now();
    let producer = std::thread::spawn(move || {
        pin_self(1);
        for i in 0..posts {
            remote.post(move |sum, _| Ok(*sum += i));
        }
        remote.exit(0);
    });
    let mut sum = 0;
    event_loop.run(&mut sum)?;
    emit(PEER, "wake_post", posts, ns_per(start, posts), "ns");
    assert_eq!(sum, posts * (posts - 1) / 2);
    producer.join().expect("no panic there");
    Ok(())
}

// fileread

struct Reads {
    blocks: u64,
    left: i64,
}

fn read(s: &mut Reads, ctx: &mut Ctx<Reads>, file: Rc<File>, buf: Vec<u8>) {
    if s.left == 0 {
        return;
    }
    s.left -= 1;
    let at = bench_rig::random() % s.blocks * BLOCK as u64;
    ctx.submit(op::Read::new(file, buf, Some(at)), |s, ctx, end| {
        assert_eq!(end.result?, BLOCK);
        Ok(read(s, ctx, end.file, end.buf))
    });
}

fn fileread() -> Done {
    let (n, depth) = (number("n", 500_000), number("qd", 32));
    let (file, blocks) = data_file();
    let (file, mut s) = (Rc::new(file), Reads { blocks, left: n });
    let mut event_loop = new_loop()?;
    let start = Instant::now();
    for _ in 0..depth {
        read(&mut s, &mut event_loop, Rc::clone(&file), vec![0; BLOCK]);
    }
    event_loop.run(&mut s)?;
    emit(PEER, "fileread", n, 1e9 / ns_per(start, n), "iops");
    Ok(())
}

fn main() -> Done {
    match bench_rig::bench_name().as_str() {
        "echo" => echo(),
        "pipes" => pipes(),
        "timers" => timers(),
        "wake" => wake(),
        "fileread" => fileread(),
        _ => bench_rig::unsupported(),
    }
}
