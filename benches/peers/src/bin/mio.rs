//! mio: readiness only (edge triggered); it has no timers and no callbacks.
use bench_rig::*;
use mio::{Events, Interest, Poll, Token, Waker, net::TcpStream, unix::SourceFd};
use std::io::{ErrorKind, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn pipes() {
    let mut p = Pipes::new();
    if p.timeouts {
        unsupported()
    }
    let mut poll = Poll::new().unwrap();
    let mut evs = Events::with_capacity(1024);
    let (mut ev, mut tot) = (vec![], vec![]);
    let mut first = true;
    for _ in 0..=p.runs {
        let t0 = Instant::now();
        for i in 0..p.n {
            let r = poll.registry();
            let fd = p.fd(i);
            if !first {
                r.deregister(&mut SourceFd(&fd)).unwrap();
            }
            r.register(&mut SourceFd(&fd), Token(i), Interest::READABLE).unwrap();
        }
        poll.poll(&mut evs, Some(Duration::ZERO)).unwrap();
        p.kick();
        let t1 = Instant::now();
        while p.count != p.fired {
            poll.poll(&mut evs, Some(Duration::ZERO)).unwrap();
            for e in evs.iter() {
                p.on_read(e.token().0);
            }
        }
        if !first {
            ev.push(t1.elapsed().as_nanos() as f64 / 1e3);
            tot.push(t0.elapsed().as_nanos() as f64 / 1e3);
        }
        first = false;
    }
    p.report("mio", ev, Some(tot));
}
fn wake() {
    let rounds = number("rounds", 20000);
    pin_self(0);
    let (mut pa, mut pb) = (Poll::new().unwrap(), Poll::new().unwrap());
    let wa = Arc::new(Waker::new(pa.registry(), Token(0)).unwrap());
    let wb = Arc::new(Waker::new(pb.registry(), Token(0)).unwrap());
    let (wa2, wb2) = (wa.clone(), wb.clone());
    let t0 = Instant::now();
    let h = std::thread::spawn(move || {
        pin_self(1);
        let mut evs = Events::with_capacity(16);
        let mut n = 0;
        while n < rounds {
            pb.poll(&mut evs, None).unwrap();
            for _ in evs.iter() {
                n += 1;
                wa2.wake().unwrap();
            }
        }
    });
    let mut evs = Events::with_capacity(16);
    for _ in 0..rounds {
        wb2.wake().unwrap();
        loop {
            pa.poll(&mut evs, None).unwrap();
            if !evs.is_empty() {
                break;
            }
        }
    }
    emit("mio", "wake_rtt", rounds, ns_per(t0, rounds), "ns");
    h.join().unwrap();
    let posts = number("posts", 1_000_000);
    let q = Arc::new(Mutex::new(Vec::new()));
    let q2 = q.clone();
    // One handle stays here: with the last one goes the descriptor, and a wake that was not yet seen.
    let wa2 = wa.clone();
    let t0 = Instant::now();
    let h = std::thread::spawn(move || {
        pin_self(1);
        for i in 0..posts {
            q2.lock().unwrap().push(i);
            wa2.wake().unwrap();
        }
    });
    let (mut done, mut sum, mut spare) = (0, 0, Vec::new());
    while done < posts {
        pa.poll(&mut evs, None).unwrap();
        std::mem::swap(&mut spare, &mut *q.lock().unwrap());
        done += spare.len() as i64;
        sum += spare.drain(..).sum::<i64>();
    }
    std::hint::black_box(sum);
    emit("mio", "wake_post", posts, ns_per(t0, posts), "ns");
    h.join().unwrap();
    drop(wa);
}
struct Conn {
    s: TcpStream,
    pend: Vec<u8>,
}
/// Edge triggered: go on until the read or the write would block.
fn drive(c: &mut Conn, buf: &mut [u8]) -> bool {
    loop {
        while !c.pend.is_empty() {
            match c.s.write(&c.pend) {
                Ok(n) => drop(c.pend.drain(..n)),
                Err(e) => return e.kind() == ErrorKind::WouldBlock,
            }
        }
        match c.s.read(buf) {
            Ok(0) => return false,
            Ok(n) => {
                match c.s.write(&buf[..n]) {
                    Ok(w) => c.pend.extend_from_slice(&buf[w..n]),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => c.pend.extend_from_slice(&buf[..n]),
                    Err(_) => return false,
                }
                // mio documents that a short read means "drained" on epoll
                if n < buf.len() && c.pend.is_empty() {
                    return true;
                }
            }
            Err(e) => return e.kind() == ErrorKind::WouldBlock,
        }
    }
}
fn echo() {
    let mut poll = Poll::new().unwrap();
    let mut l = mio::net::TcpListener::from_std(listen());
    poll.registry().register(&mut l, Token(usize::MAX - 1), Interest::READABLE).unwrap();
    let mut evs = Events::with_capacity(1024);
    let mut conns: Vec<Option<Conn>> = vec![];
    let mut free = vec![];
    let mut buf = vec![0; ECHO_BUF];
    ready();
    loop {
        if let Err(e) = poll.poll(&mut evs, None) {
            if e.kind() == ErrorKind::Interrupted {
                continue;
            }
            panic!("{e}");
        }
        for e in evs.iter() {
            let t = e.token().0;
            if t == usize::MAX - 1 {
                while let Ok((mut s, _)) = l.accept() {
                    s.set_nodelay(true).unwrap();
                    let k = free.pop().unwrap_or_else(|| {
                        conns.push(None);
                        conns.len() - 1
                    });
                    poll.registry().register(&mut s, Token(k), Interest::READABLE | Interest::WRITABLE).unwrap();
                    conns[k] = Some(Conn { s, pend: vec![] });
                }
                continue;
            }
            if let Some(c) = conns[t].as_mut() {
                if !e.is_readable() && c.pend.is_empty() {
                    continue;
                }
                if !drive(c, &mut buf) {
                    poll.registry().deregister(&mut c.s).unwrap();
                    conns[t] = None;
                    free.push(t);
                }
            }
        }
    }
}
fn main() {
    match bench_name().as_str() {
        "pipes" => pipes(),
        "wake" => wake(),
        "echo" => echo(),
        _ => unsupported(),
    }
}
