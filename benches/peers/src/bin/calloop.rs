//! calloop
use bench_rig::*;
use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{EventLoop, Interest, Mode, PostAction, RegistrationToken};
use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

#[derive(Default)]
struct St {
    p: Pipes,
    timers: Vec<Option<RegistrationToken>>,
}
fn pipes() {
    let mut el: EventLoop<St> = EventLoop::try_new().unwrap();
    let h = el.handle();
    let p = Pipes::new();
    let (n, runs, timeouts) = (p.n, p.runs, p.timeouts);
    let mut st = St { p, timers: vec![None; n] };
    let mut toks: Vec<Option<RegistrationToken>> = vec![None; n];
    let (mut ev, mut tot) = (vec![], vec![]);
    for run in 0..=runs {
        let t0 = Instant::now();
        for (i, tok) in toks.iter_mut().enumerate() {
            if let Some(t) = tok.take() {
                h.remove(t);
            }
            // SAFETY: the pairs stay open.
            let fd = unsafe { BorrowedFd::borrow_raw(st.p.fd(i)) };
            let h2 = h.clone();
            *tok = Some(
                h.insert_source(Generic::new(fd, Interest::READ, Mode::Level), move |_, _, st: &mut St| {
                    if st.p.timeouts {
                        arm(&h2, st, i);
                    }
                    st.p.on_read(i);
                    Ok(PostAction::Continue)
                })
                .unwrap(),
            );
            if timeouts {
                arm(&h, &mut st, i);
            }
        }
        el.dispatch(Some(Duration::ZERO), &mut st).unwrap();
        st.p.kick();
        let t1 = Instant::now();
        while st.p.count != st.p.fired {
            el.dispatch(Some(Duration::ZERO), &mut st).unwrap();
        }
        if run > 0 {
            ev.push(t1.elapsed().as_nanos() as f64 / 1e3);
            tot.push(t0.elapsed().as_nanos() as f64 / 1e3);
        }
    }
    st.p.report("calloop", ev, Some(tot));
}
fn arm(h: &calloop::LoopHandle<'_, St>, st: &mut St, i: usize) {
    if let Some(t) = st.timers[i].take() {
        h.remove(t);
    }
    let t = Timer::from_duration(Duration::from_millis(Pipes::timeout_ms()));
    st.timers[i] = Some(h.insert_source(t, |_, _, _| TimeoutAction::Drop).unwrap());
}
fn timers() {
    let n = number("n", 100_000);
    let e = number("expire", 100_000);
    let mut el: EventLoop<i64> = EventLoop::try_new().unwrap();
    let h = el.handle();
    let ms: Vec<u64> = (0..n).map(|_| random() % n as u64 + 60000).collect();
    let arm = |d: u64| {
        h.insert_source(Timer::from_duration(Duration::from_millis(d)), |_, _, f: &mut i64| {
            *f += 1;
            TimeoutAction::Drop
        })
        .unwrap()
    };
    let t0 = Instant::now();
    let mut toks: Vec<RegistrationToken> = ms.iter().map(|&d| arm(d)).collect();
    emit("calloop", "timers_arm", n, ns_per(t0, n), "ns");
    let t0 = Instant::now();
    for i in (0..n as usize).step_by(2) {
        h.remove(toks[i]);
    }
    emit("calloop", "timers_cancel", n, ns_per(t0, n / 2), "ns");
    let t0 = Instant::now();
    for i in (0..n as usize).step_by(2) {
        toks[i] = arm(ms[n as usize - 1 - i]);
    }
    emit("calloop", "timers_rearm", n, ns_per(t0, n / 2), "ns");
    for t in toks.drain(..) {
        h.remove(t);
    }
    for _ in 0..e {
        arm(1);
    }
    std::thread::sleep(Duration::from_millis(20));
    let mut fired = 0;
    let t0 = Instant::now();
    while fired < e {
        el.dispatch(Some(Duration::ZERO), &mut fired).unwrap();
    }
    emit("calloop", "timers_expire", e, ns_per(t0, e), "ns");
}
fn wake() {
    use calloop::ping::make_ping;
    let rounds = number("rounds", 20000);
    pin_self(0);
    let (pa, sa) = make_ping().unwrap();
    let (pb, sb) = make_ping().unwrap();
    let t0 = Instant::now();
    let th = std::thread::spawn(move || {
        pin_self(1);
        let mut el: EventLoop<i64> = EventLoop::try_new().unwrap();
        el.handle()
            .insert_source(sb, move |_, _, n: &mut i64| {
                *n += 1;
                pa.ping()
            })
            .unwrap();
        let mut n = 0;
        while n < rounds {
            el.dispatch(None, &mut n).unwrap();
        }
    });
    let mut el: EventLoop<i64> = EventLoop::try_new().unwrap();
    let pb2 = pb.clone();
    el.handle()
        .insert_source(sa, move |_, _, n: &mut i64| {
            *n += 1;
            if *n < rounds {
                pb2.ping()
            }
        })
        .unwrap();
    pb.ping();
    let mut n = 0;
    while n < rounds {
        el.dispatch(None, &mut n).unwrap();
    }
    emit("calloop", "wake_rtt", rounds, ns_per(t0, rounds), "ns");
    th.join().unwrap();
    let posts = number("posts", 1_000_000);
    let (tx, rx) = calloop::channel::channel::<i64>();
    let mut el: EventLoop<i64> = EventLoop::try_new().unwrap();
    el.handle()
        .insert_source(rx, |e, _, n: &mut i64| {
            if let calloop::channel::Event::Msg(_) = e {
                *n += 1
            }
        })
        .unwrap();
    let t0 = Instant::now();
    let th = std::thread::spawn(move || {
        pin_self(1);
        for i in 0..posts {
            tx.send(i).unwrap();
        }
    });
    let mut n = 0;
    while n < posts {
        el.dispatch(None, &mut n).unwrap();
    }
    emit("calloop", "wake_post", posts, ns_per(t0, posts), "ns");
    th.join().unwrap();
}
struct Conn {
    s: std::net::TcpStream,
    pend: Vec<u8>,
}
fn echo() {
    let mut el: EventLoop<()> = EventLoop::try_new().unwrap();
    let h = el.handle();
    let l = listen();
    let buf = Rc::new(RefCell::new(vec![0u8; ECHO_BUF]));
    let h2 = h.clone();
    h.insert_source(Generic::new(l, Interest::READ, Mode::Level), move |_, l, _| {
        while let Ok((s, _)) = l.accept() {
            s.set_nonblocking(true).unwrap();
            s.set_nodelay(true).unwrap();
            let buf = buf.clone();
            // SAFETY: the closure beside it keeps the connection open, and goes with it.
            let fd = unsafe { BorrowedFd::borrow_raw(s.as_raw_fd()) };
            let g = Generic::new(fd, Interest::READ, Mode::Level);
            let mut c = Conn { s, pend: vec![] };
            // reading pauses by ignoring; writes that block are retried on the next turn
            h2.insert_source(g, move |_, _, _| {
                let b = &mut *buf.borrow_mut();
                if !c.pend.is_empty() {
                    match c.s.write(&c.pend) {
                        Ok(n) => drop(c.pend.drain(..n)),
                        Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                        Err(_) => return Ok(PostAction::Remove),
                    }
                    return Ok(PostAction::Continue);
                }
                match c.s.read(b) {
                    Ok(0) => Ok(PostAction::Remove),
                    Ok(n) => {
                        match c.s.write(&b[..n]) {
                            Ok(w) => c.pend.extend_from_slice(&b[w..n]),
                            Err(e) if e.kind() == ErrorKind::WouldBlock => c.pend.extend_from_slice(&b[..n]),
                            Err(_) => return Ok(PostAction::Remove),
                        }
                        Ok(PostAction::Continue)
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(PostAction::Continue),
                    Err(_) => Ok(PostAction::Remove),
                }
            })
            .unwrap();
        }
        Ok(PostAction::Continue)
    })
    .unwrap();
    ready();
    loop {
        el.dispatch(None, &mut ()).unwrap();
    }
}
fn main() {
    match bench_name().as_str() {
        "pipes" => pipes(),
        "timers" => timers(),
        "wake" => wake(),
        "echo" => echo(),
        _ => unsupported(),
    }
}
