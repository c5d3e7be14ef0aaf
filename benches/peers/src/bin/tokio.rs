//! tokio, current_thread runtime
use bench_rig::*;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::spawn as go;

const P: &str = "tokio";
fn rt() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
fn local<F: Future>(f: F) -> F::Output {
    rt().block_on(f)
}
async fn pipes() {
    let p = Arc::new(Mutex::new(Pipes::new()));
    let (n, runs, timeouts) = {
        let p = p.lock().unwrap();
        (p.n, p.runs, p.timeouts)
    };
    let done = Arc::new(tokio::sync::Notify::new());
    for i in 0..n {
        let s = std::os::unix::net::UnixStream::from(p.lock().unwrap().take(i));
        let mut s = tokio::net::UnixStream::from_std(s).unwrap();
        let (p, done) = (p.clone(), done.clone());
        go(async move {
            let mut b = [0u8; 1];
            loop {
                if timeouts {
                    let _ = tokio::time::timeout(Duration::from_millis(Pipes::timeout_ms()), s.read(&mut b)).await;
                } else {
                    assert_eq!(s.read(&mut b).await.unwrap(), 1);
                }
                let mut p = p.lock().unwrap();
                p.forward(i);
                if p.count == p.fired {
                    done.notify_one();
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut ev = vec![];
    for run in 0..=runs {
        p.lock().unwrap().kick();
        let t = Instant::now();
        done.notified().await;
        if run > 0 {
            ev.push(t.elapsed().as_nanos() as f64 / 1e3);
        }
    }
    p.lock().unwrap().report(P, ev, None);
}
async fn timers() {
    let n = number("n", 100_000);
    let e = number("expire", 100_000);
    let ms: Vec<u64> = (0..n).map(|_| random() % n as u64 + 60000).collect();
    let mut cx = Context::from_waker(Waker::noop());
    let mut arm = |d: u64| {
        let mut s = Box::pin(tokio::time::sleep(Duration::from_millis(d)));
        assert!(s.as_mut().poll(&mut cx) == Poll::Pending);
        Some(s)
    };
    let t = Instant::now();
    let mut v: Vec<Option<Pin<Box<tokio::time::Sleep>>>> = ms.iter().map(|&d| arm(d)).collect();
    emit(P, "timers_arm", n, ns_per(t, n), "ns");
    let t = Instant::now();
    for i in (0..n as usize).step_by(2) {
        v[i] = None;
    }
    emit(P, "timers_cancel", n, ns_per(t, n / 2), "ns");
    let t = Instant::now();
    for i in (0..n as usize).step_by(2) {
        v[i] = arm(ms[n as usize - 1 - i]);
    }
    emit(P, "timers_rearm", n, ns_per(t, n / 2), "ns");
    drop(v);
    let fired = Arc::new(AtomicI64::new(0));
    let due = tokio::time::Instant::now() + Duration::from_millis(300);
    for _ in 0..e {
        let f = fired.clone();
        go(async move {
            tokio::time::sleep_until(due).await;
            f.fetch_add(1, Relaxed);
        });
    }
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_millis(1)).await; // all have armed
    std::thread::sleep(due.into_std().saturating_duration_since(Instant::now()) + Duration::from_millis(20));
    let t = Instant::now();
    while fired.load(Relaxed) < e {
        tokio::task::yield_now().await;
    }
    emit(P, "timers_expire", e, ns_per(t, e), "ns");
}
fn wake() {
    let rounds = number("rounds", 20000);
    pin_self(0);
    let (ta, mut ra) = tokio::sync::mpsc::unbounded_channel::<i64>();
    let (tb, mut rb) = tokio::sync::mpsc::unbounded_channel::<i64>();
    let t = Instant::now();
    let h = std::thread::spawn(move || {
        pin_self(1);
        rt().block_on(async move {
            while let Some(i) = rb.recv().await {
                ta.send(i).unwrap();
            }
        })
    });
    rt().block_on(async {
        for i in 0..rounds {
            tb.send(i).unwrap();
            ra.recv().await.unwrap();
        }
    });
    emit(P, "wake_rtt", rounds, ns_per(t, rounds), "ns");
    drop(tb);
    h.join().unwrap();
    let posts = number("posts", 1_000_000);
    let (ta, mut ra) = tokio::sync::mpsc::unbounded_channel::<i64>();
    let t = Instant::now();
    let h = std::thread::spawn(move || {
        pin_self(1);
        for i in 0..posts {
            ta.send(i).unwrap();
        }
    });
    rt().block_on(async {
        for _ in 0..posts {
            ra.recv().await.unwrap();
        }
    });
    emit(P, "wake_post", posts, ns_per(t, posts), "ns");
    h.join().unwrap();
}
async fn echo() {
    let l = tokio::net::TcpListener::from_std(listen()).unwrap();
    ready();
    loop {
        let (mut s, _) = l.accept().await.unwrap();
        s.set_nodelay(true).unwrap();
        go(async move {
            let mut b = vec![0; ECHO_BUF];
            loop {
                match s.read(&mut b).await {
                    Ok(n) if n > 0 => {
                        if s.write_all(&b[..n]).await.is_err() {
                            break;
                        }
                    }
                    _ => break,
                }
            }
        });
    }
}
async fn spawn() {
    let (n, live) = (number("n", 1_000_000), number("live", 1000));
    let c = Arc::new(AtomicI64::new(0));
    let t = Instant::now();
    let mut hs = Vec::with_capacity(live as usize);
    for _ in 0..n / live {
        for _ in 0..live {
            let c = c.clone();
            hs.push(go(async move { c.fetch_add(1, Relaxed) }));
        }
        for h in hs.drain(..) {
            h.await.unwrap();
        }
    }
    assert_eq!(c.load(Relaxed), n);
    emit(P, &format!("spawn_live{live}"), n, ns_per(t, n), "ns");
}
async fn yields() {
    let n = number("n", 5_000_000);
    let t = Instant::now();
    let f = move || async move {
        for _ in 0..n / 2 {
            tokio::task::yield_now().await
        }
    };
    let (a, b) = (go(f()), go(f()));
    a.await.unwrap();
    b.await.unwrap();
    emit(P, "yield", n, ns_per(t, n), "ns");
}
async fn chan() {
    let n = number("n", 1_000_000);
    let (ta, mut ra) = tokio::sync::mpsc::channel::<i64>(1);
    let (tb, mut rb) = tokio::sync::mpsc::channel::<i64>(1);
    let t = Instant::now();
    go(async move {
        while let Some(v) = rb.recv().await {
            ta.send(v).await.unwrap();
        }
    });
    let a = go(async move {
        for i in 0..n / 2 {
            tb.send(i).await.unwrap();
            ra.recv().await.unwrap();
        }
    });
    a.await.unwrap();
    emit(P, "chan", n, ns_per(t, n), "ns");
}
async fn sleepers() {
    let n = number("n", 100_000);
    let r0 = resident();
    let c = Arc::new(AtomicI64::new(0));
    let t = Instant::now();
    for _ in 0..n {
        let c = c.clone();
        go(async move {
            c.fetch_add(1, Relaxed);
            tokio::time::sleep(Duration::from_secs(600)).await;
        });
    }
    while c.load(Relaxed) < n {
        tokio::task::yield_now().await;
    }
    emit(P, "sleepers_start", n, t.elapsed().as_nanos() as f64 / 1e6, "ms");
    emit(P, "sleepers_rss", n, (resident() - r0) as f64 / n as f64, "B");
    std::process::exit(0)
}
/// By `tokio::fs::File` (seek, then read), or with `--blocking=1` by `spawn_blocking` of pread(2).
async fn fileread() {
    use std::os::unix::fs::FileExt;
    use tokio::io::AsyncSeekExt;
    let (n, qd, raw) = (number("n", 50_000), number("qd", 32), number("blocking", 0) != 0);
    let t = Instant::now();
    let mut hs = vec![];
    for _ in 0..qd {
        let (f, blocks) = data_file();
        hs.push(go(async move {
            if raw {
                let f = Arc::new(f);
                let mut b = vec![0u8; 4096];
                for _ in 0..n / qd {
                    let (f, o) = (f.clone(), random() % blocks * 4096);
                    b = tokio::task::spawn_blocking(move || {
                        f.read_exact_at(&mut b, o).unwrap();
                        b
                    })
                    .await
                    .unwrap();
                }
            } else {
                let mut f = tokio::fs::File::from_std(f);
                let mut b = vec![0u8; 4096];
                for _ in 0..n / qd {
                    f.seek(std::io::SeekFrom::Start(random() % blocks * 4096)).await.unwrap();
                    f.read_exact(&mut b).await.unwrap();
                }
            }
        }));
    }
    for h in hs {
        h.await.unwrap();
    }
    emit(P, "fileread", n, 1e9 / ns_per(t, n / qd * qd), "iops");
}
fn main() {
    match bench_name().as_str() {
        "pipes" => local(pipes()),
        "timers" => local(timers()),
        "wake" => wake(),
        "echo" => local(echo()),
        "spawn" => local(spawn()),
        "yield" => local(yields()),
        "chan" => local(chan()),
        "sleepers" => local(sleepers()),
        "fileread" => local(fileread()),
        _ => unsupported(),
    }
}
