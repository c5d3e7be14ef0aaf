//! smol's pieces: async-executor (LocalExecutor) over async-io
use async_executor::LocalExecutor;
use async_io::{Async, Timer};
use bench_rig::*;
use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
const P: &str = "smol";

async fn echo(ex: &LocalExecutor<'_>) {
    let l = Async::new(listen()).unwrap();
    ready();
    loop {
        let (mut s, _) = l.accept().await.unwrap();
        s.get_ref().set_nodelay(true).unwrap();
        ex.spawn(async move {
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
        })
        .detach();
    }
}
async fn spawn(ex: &LocalExecutor<'_>) {
    let (n, live) = (number("n", 1_000_000), number("live", 1000));
    let c = Rc::new(Cell::new(0));
    let t = Instant::now();
    let mut hs = Vec::with_capacity(live as usize);
    for _ in 0..n / live {
        for _ in 0..live {
            let c = c.clone();
            hs.push(ex.spawn(async move { c.set(c.get() + 1) }));
        }
        for h in hs.drain(..) {
            h.await;
        }
    }
    assert_eq!(c.get(), n);
    emit(P, &format!("spawn_live{live}"), n, ns_per(t, n), "ns");
}
async fn yields(ex: &LocalExecutor<'_>) {
    let n = number("n", 5_000_000);
    let t = Instant::now();
    let f = move || async move {
        for _ in 0..n / 2 {
            future::yield_now().await
        }
    };
    let (a, b) = (ex.spawn(f()), ex.spawn(f()));
    a.await;
    b.await;
    emit(P, "yield", n, ns_per(t, n), "ns");
}
async fn chan(ex: &LocalExecutor<'_>) {
    let n = number("n", 1_000_000);
    let (ta, ra) = async_channel::bounded::<i64>(1);
    let (tb, rb) = async_channel::bounded::<i64>(1);
    let t = Instant::now();
    ex.spawn(async move {
        while let Ok(v) = rb.recv().await {
            if ta.send(v).await.is_err() {
                break;
            }
        }
    })
    .detach();
    ex.spawn(async move {
        for i in 0..n / 2 {
            tb.send(i).await.unwrap();
            ra.recv().await.unwrap();
        }
    })
    .await;
    emit(P, "chan", n, ns_per(t, n), "ns");
}
async fn sleepers(ex: &LocalExecutor<'_>) {
    let n = number("n", 100_000);
    let r0 = resident();
    let c = Rc::new(Cell::new(0));
    let t = Instant::now();
    for _ in 0..n {
        let c = c.clone();
        ex.spawn(async move {
            c.set(c.get() + 1);
            Timer::after(Duration::from_secs(600)).await;
        })
        .detach();
    }
    while c.get() < n {
        future::yield_now().await;
    }
    emit(P, "sleepers_start", n, t.elapsed().as_nanos() as f64 / 1e6, "ms");
    emit(P, "sleepers_rss", n, (resident() - r0) as f64 / n as f64, "B");
    std::process::exit(0)
}
fn main() {
    let ex = LocalExecutor::new();
    let b = bench_name();
    async_io::block_on(ex.run(async {
        match b.as_str() {
            "echo" => echo(&ex).await,
            "spawn" => spawn(&ex).await,
            "yield" => yields(&ex).await,
            "chan" => chan(&ex).await,
            "sleepers" => sleepers(&ex).await,
            _ => unsupported(),
        }
    }))
}
