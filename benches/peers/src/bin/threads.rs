//! One kernel thread per connection or task: what sync-style code costs with no runtime.
use bench_rig::*;
use std::io::{Read, Write};
use std::sync::mpsc::sync_channel;
use std::time::Instant;
const P: &str = "threads";
fn th<F: FnOnce() + Send + 'static>(f: F) -> std::thread::JoinHandle<()> {
    std::thread::Builder::new().stack_size(65536).spawn(f).unwrap()
}
fn main() {
    match bench_name().as_str() {
        "echo" => {
            let l = listen();
            l.set_nonblocking(false).unwrap();
            ready();
            for s in l.incoming() {
                let mut s = s.unwrap();
                s.set_nodelay(true).unwrap();
                th(move || {
                    let mut b = vec![0; ECHO_BUF];
                    while let Ok(n) = s.read(&mut b) {
                        if n == 0 || s.write_all(&b[..n]).is_err() {
                            break;
                        }
                    }
                });
            }
        }
        "spawn" => {
            let (n, live) = (number("n", 1_000_000) / 20, number("live", 1000));
            let t = Instant::now();
            for _ in 0..n / live {
                let v: Vec<_> = (0..live).map(|_| th(|| {})).collect();
                v.into_iter().for_each(|h| h.join().unwrap());
            }
            emit(P, &format!("spawn_live{live}"), n * 20, ns_per(t, n), "ns");
        }
        "yield" => {
            pin_self(0); // both threads on one CPU, so that each yield switches
            let n = number("n", 5_000_000) / 10;
            let t = Instant::now();
            let f = move || {
                for _ in 0..n / 2 {
                    std::thread::yield_now()
                }
            };
            let (a, b) = (th(f), th(f));
            a.join().unwrap();
            b.join().unwrap();
            emit(P, "yield", n * 10, ns_per(t, n), "ns");
        }
        "chan" => {
            pin_self(0);
            let n = number("n", 1_000_000) / 10;
            let (ta, ra) = sync_channel::<i64>(1);
            let (tb, rb) = sync_channel::<i64>(1);
            let t = Instant::now();
            th(move || {
                while let Ok(v) = rb.recv() {
                    if ta.send(v).is_err() {
                        break;
                    }
                }
            });
            th(move || {
                for i in 0..n / 2 {
                    tb.send(i).unwrap();
                    ra.recv().unwrap();
                }
            })
            .join()
            .unwrap();
            emit(P, "chan", n * 10, ns_per(t, n), "ns");
        }
        _ => unsupported(),
    }
}
