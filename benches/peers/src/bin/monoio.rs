//! monoio: thread per core on io_uring
use bench_rig::*;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
const P: &str = "monoio";

async fn echo() {
    let l = monoio::net::TcpListener::from_std(listen()).unwrap();
    ready();
    loop {
        let (mut s, _) = l.accept().await.unwrap();
        s.set_nodelay(true).unwrap();
        monoio::spawn(async move {
            let mut b: Vec<u8> = Vec::with_capacity(ECHO_BUF);
            loop {
                b.clear();
                let (r, b2) = s.read(b).await;
                if !matches!(r, Ok(n) if n > 0) {
                    break;
                }
                let (r, b2) = s.write_all(b2).await;
                if r.is_err() {
                    break;
                }
                b = b2;
            }
        });
    }
}
async fn spawn() {
    let (n, live) = (number("n", 1_000_000), number("live", 1000));
    let c = Rc::new(Cell::new(0));
    let t = Instant::now();
    let mut hs = Vec::with_capacity(live as usize);
    for _ in 0..n / live {
        for _ in 0..live {
            let c = c.clone();
            hs.push(monoio::spawn(async move { c.set(c.get() + 1) }));
        }
        for h in hs.drain(..) {
            h.await;
        }
    }
    assert_eq!(c.get(), n);
    emit(P, &format!("spawn_live{live}"), n, ns_per(t, n), "ns");
}
async fn yields() {
    let n = number("n", 5_000_000);
    let t = Instant::now();
    let f = move || async move {
        for _ in 0..n / 2 {
            futures_lite::future::yield_now().await
        }
    };
    let (a, b) = (monoio::spawn(f()), monoio::spawn(f()));
    a.await;
    b.await;
    emit(P, "yield", n, ns_per(t, n), "ns");
}
async fn chan() {
    use local_sync::mpsc::bounded::channel;
    let n = number("n", 1_000_000);
    let (ta, mut ra) = channel::<i64>(1);
    let (tb, mut rb) = channel::<i64>(1);
    let t = Instant::now();
    monoio::spawn(async move {
        while let Some(v) = rb.recv().await {
            if ta.send(v).await.is_err() {
                break;
            }
        }
    });
    monoio::spawn(async move {
        for i in 0..n / 2 {
            let _ = tb.send(i).await;
            ra.recv().await.unwrap();
        }
    })
    .await;
    emit(P, "chan", n, ns_per(t, n), "ns");
}
async fn sleepers() {
    let n = number("n", 100_000);
    let r0 = resident();
    let c = Rc::new(Cell::new(0));
    let (tx, mut rx) = local_sync::mpsc::unbounded::channel::<()>();
    let t = Instant::now();
    for _ in 0..n {
        let (c, tx) = (c.clone(), tx.clone());
        monoio::spawn(async move {
            c.set(c.get() + 1);
            if c.get() == n {
                let _ = tx.send(());
            }
            drop(tx);
            monoio::time::sleep(Duration::from_secs(600)).await;
        });
    }
    rx.recv().await.unwrap();
    emit(P, "sleepers_start", n, t.elapsed().as_nanos() as f64 / 1e6, "ms");
    emit(P, "sleepers_rss", n, (resident() - r0) as f64 / n as f64, "B");
    std::process::exit(0)
}
async fn fileread() {
    let (n, qd) = (number("n", 200_000), number("qd", 32));
    let (f, blocks) = data_file();
    let f = Rc::new(monoio::fs::File::from_std(f).unwrap());
    let t = Instant::now();
    let mut hs = vec![];
    for _ in 0..qd {
        let f = f.clone();
        hs.push(monoio::spawn(async move {
            let mut b: Vec<u8> = Vec::with_capacity(4096);
            for _ in 0..n / qd {
                b.clear();
                let (r, b2) = f.read_at(b, random() % blocks * 4096).await;
                assert_eq!(r.unwrap(), 4096);
                b = b2;
            }
        }));
    }
    for h in hs {
        h.await;
    }
    emit(P, "fileread", n, 1e9 / ns_per(t, n / qd * qd), "iops");
}
fn main() {
    let mut rt =
        monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().enable_timer().with_entries(4096).build().unwrap();
    let b = bench_name();
    rt.block_on(async {
        match b.as_str() {
            "echo" => echo().await,
            "spawn" => spawn().await,
            "yield" => yields().await,
            "chan" => chan().await,
            "sleepers" => sleepers().await,
            "fileread" => fileread().await,
            _ => unsupported(),
        }
    })
}
