//! may: stackful coroutines; one worker (its IO runs on the same workers)
use bench_rig::*;
use may::coroutine::{self, yield_now};
use may::{go, sync::mpsc};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
const P: &str = "may";

fn pipes() {
    use std::os::fd::{FromRawFd, IntoRawFd};
    let mut p = Pipes::new();
    let (n, runs, timeouts) = (p.n, p.runs, p.timeouts);
    let fds: Vec<_> = (0..n).map(|i| p.take(i).into_raw_fd()).collect();
    let p = Arc::new(Mutex::new(p));
    let (tx, rx) = std::sync::mpsc::channel();
    for (i, fd) in fds.into_iter().enumerate() {
        let (p, tx) = (p.clone(), tx.clone());
        go!(move || {
            // SAFETY: taken above, and given to nobody else.
            let mut s = unsafe { may::os::unix::net::UnixStream::from_raw_fd(fd) };
            let mut b = [0u8; 1];
            loop {
                if timeouts {
                    s.set_read_timeout(Some(Duration::from_millis(Pipes::timeout_ms()))).unwrap();
                }
                if s.read(&mut b).unwrap_or(0) == 0 {
                    continue;
                }
                let mut p = p.lock().unwrap();
                p.forward(i);
                if p.count == p.fired {
                    tx.send(()).unwrap();
                }
            }
        });
    }
    std::thread::sleep(Duration::from_millis(300));
    let mut ev = vec![];
    for run in 0..=runs {
        let mut g = p.lock().unwrap();
        g.kick();
        let t = Instant::now();
        drop(g);
        rx.recv().unwrap();
        if run > 0 {
            ev.push(t.elapsed().as_nanos() as f64 / 1e3);
        }
    }
    p.lock().unwrap().report(P, ev, None);
}
fn wake() {
    // between a plain thread and a coroutine, through may's channels
    let rounds = number("rounds", 20000);
    let (ta, ra) = mpsc::channel::<i64>();
    let (tb, rb) = mpsc::channel::<i64>();
    // the one worker on CPU 1, this thread on CPU 0, as with the other peers
    go!(|| pin_self(1)).join().unwrap();
    pin_self(0);
    let h = go!(move || {
        while let Ok(v) = rb.recv() {
            ta.send(v).unwrap()
        }
    });
    let t = Instant::now();
    for i in 0..rounds {
        tb.send(i).unwrap();
        ra.recv().unwrap();
    }
    emit(P, "wake_rtt", rounds, ns_per(t, rounds), "ns");
    drop(tb);
    h.join().unwrap();
    let posts = number("posts", 1_000_000);
    let (tb, rb) = mpsc::channel::<i64>();
    let t = Instant::now();
    let h = go!(move || {
        for _ in 0..posts {
            rb.recv().unwrap();
        }
    });
    for i in 0..posts {
        tb.send(i).unwrap();
    }
    h.join().unwrap();
    emit(P, "wake_post", posts, ns_per(t, posts), "ns");
}
fn echo() {
    let l = may::net::TcpListener::bind(("127.0.0.1", port())).unwrap();
    ready();
    let h = go!(move || {
        while let Ok((mut s, _)) = l.accept() {
            s.set_nodelay(true).unwrap();
            go!(move || {
                let mut b = vec![0; ECHO_BUF];
                loop {
                    match s.read(&mut b) {
                        Ok(n) if n > 0 => {
                            if s.write_all(&b[..n]).is_err() {
                                break;
                            }
                        }
                        _ => break,
                    }
                }
            });
        }
    });
    h.join().unwrap();
}
fn spawn() {
    let (n, live) = (number("n", 1_000_000), number("live", 1000));
    let h = go!(move || {
        let c = Arc::new(AtomicI64::new(0));
        let t = Instant::now();
        let mut hs = Vec::with_capacity(live as usize);
        for _ in 0..n / live {
            for _ in 0..live {
                let c = c.clone();
                hs.push(go!(move || {
                    c.fetch_add(1, Relaxed);
                }));
            }
            for h in hs.drain(..) {
                h.join().unwrap();
            }
        }
        assert_eq!(c.load(Relaxed), n);
        emit(P, &format!("spawn_live{live}"), n, ns_per(t, n), "ns");
    });
    h.join().unwrap();
}
fn yields() {
    let n = number("n", 5_000_000);
    let h = go!(move || {
        let t = Instant::now();
        let f = move || {
            for _ in 0..n / 2 {
                yield_now()
            }
        };
        let (a, b) = (go!(f), go!(f));
        a.join().unwrap();
        b.join().unwrap();
        emit(P, "yield", n, ns_per(t, n), "ns");
    });
    h.join().unwrap();
}
fn chan() {
    let n = number("n", 1_000_000);
    let h = go!(move || {
        let (ta, ra) = mpsc::channel::<i64>();
        let (tb, rb) = mpsc::channel::<i64>();
        let t = Instant::now();
        go!(move || while let Ok(v) = rb.recv() {
            ta.send(v).unwrap()
        });
        let a = go!(move || for i in 0..n / 2 {
            tb.send(i).unwrap();
            ra.recv().unwrap();
        });
        a.join().unwrap();
        emit(P, "chan", n, ns_per(t, n), "ns");
    });
    h.join().unwrap();
}
fn sleepers() {
    let n = number("n", 100_000);
    let r0 = resident();
    let c = Arc::new(AtomicI64::new(0));
    let t = Instant::now();
    for _ in 0..n {
        let c = c.clone();
        go!(move || {
            c.fetch_add(1, Relaxed);
            coroutine::sleep(Duration::from_secs(600))
        });
    }
    while c.load(Relaxed) < n {
        std::thread::yield_now();
    }
    emit(P, "sleepers_start", n, t.elapsed().as_nanos() as f64 / 1e6, "ms");
    emit(P, "sleepers_rss", n, (resident() - r0) as f64 / n as f64, "B");
    std::process::exit(0)
}
fn main() {
    may::config().set_workers(1);
    match bench_name().as_str() {
        "pipes" => pipes(),
        "wake" => wake(),
        "echo" => echo(),
        "spawn" => spawn(),
        "yield" => yields(),
        "chan" => chan(),
        "sleepers" => sleepers(),
        _ => unsupported(),
    }
}
