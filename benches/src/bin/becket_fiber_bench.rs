//! The benchmarks of fibers, over becket-fiber's public face. `becket_fiber_bench BENCH --key=value`: see
//! `benches/README.md`.
//!
//! `echo` gives each connection a buffer of its own, as code that reads top to bottom does; with `--lend=1` a
//! `BufReader` has one only while something is in it. With `--threads=2` two threads serve, each with its own listener.

use becket_fiber::net::{TcpListener, TcpStream};
use becket_fiber::sync::channel;
use becket_fiber::{BufReader, File, Io, Runtime, RuntimeBuilder, sleep, spawn, timeout, yield_now};
use becket_sys::tcp;
use bench_rig::{BLOCK, ECHO_BUF, Pipes, data_file, emit, flag, ns_per, number, resident, text};
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

const PEER: &str = "becket-fiber";

type Done = Result<(), Box<dyn Error>>;

fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut buf = vec![0; ECHO_BUF];
    loop {
        let n = stream.read(&mut buf)?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..n])?;
    }
}

fn serve_lent(stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(&stream);
    loop {
        let there = reader.fill_buf()?;
        if there.is_empty() {
            return Ok(());
        }
        (&stream).write_all(there)?;
        let n = there.len();
        reader.consume(n);
    }
}

fn echo() -> Done {
    let listener = TcpListener::try_from(tcp::Listener::from(OwnedFd::from(bench_rig::listen())))?;
    bench_rig::ready();
    Ok(serve_all(&listener)?)
}

fn echo_by_threads(runtime: RuntimeBuilder, threads: usize) -> Done {
    let listeners = TcpListener::bind_shards(([127, 0, 0, 1], bench_rig::port()), threads)?;
    bench_rig::ready();
    runtime.threads(threads).run(|thread| serve_all(&listeners[thread.index()]))?;
    Ok(())
}

fn serve_all(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        stream.io().get_ref().set_nodelay(true)?;
        if flag("lend") {
            spawn(move || serve_lent(stream))?.detach();
        } else {
            spawn(move || serve(stream))?.detach();
        }
    }
}

fn pipes() -> Done {
    let pipes = Rc::new(RefCell::new(Pipes::new()));
    let (n, runs, timeouts) = (pipes.borrow().n, pipes.borrow().runs, pipes.borrow().timeouts);
    let (done, finished) = channel(1);
    for i in 0..n {
        let (pipes, done) = (Rc::clone(&pipes), done.clone());
        let mut near = Io::new(UnixStream::from(pipes.borrow_mut().take(i)))?;
        spawn(move || -> io::Result<()> {
            let mut byte = [0];
            loop {
                let got = if timeouts {
                    timeout(Duration::from_millis(Pipes::timeout_ms()), || near.read(&mut byte))
                } else {
                    near.read(&mut byte)
                };
                assert_eq!(got?, 1);
                let mut pipes = pipes.borrow_mut();
                pipes.forward(i);
                if pipes.done() {
                    drop(pipes);
                    done.send(()).map_err(io::Error::other)?;
                }
            }
        })?
        .detach();
    }
    yield_now();
    let mut events = vec![];
    for _ in 0..=runs {
        pipes.borrow_mut().kick();
        let start = Instant::now();
        finished.recv()?.expect("the fibers go on");
        events.push(start.elapsed().as_nanos() as f64 / 1e3);
    }
    // The first run only warms up.
    pipes.borrow().report(PEER, events.split_off(1), None);
    Ok(())
}

fn spawn_and_join() -> Done {
    let (n, live) = (number("n", 1_000_000), number("live", 1000));
    let count = Rc::new(Cell::new(0));
    let mut handles = Vec::with_capacity(live as usize);
    let start = Instant::now();
    for _ in 0..n / live {
        for _ in 0..live {
            let count = Rc::clone(&count);
            handles.push(spawn(move || count.set(count.get() + 1))?);
        }
        for handle in handles.drain(..) {
            handle.join()?;
        }
    }
    let took = ns_per(start, n);
    assert_eq!(count.get(), n / live * live);
    emit(PEER, &format!("spawn_live{live}"), n, took, "ns");
    Ok(())
}

fn yields() -> Done {
    let n = number("n", 5_000_000);
    let half = move || (0..n / 2).for_each(|_| yield_now());
    let start = Instant::now();
    let both = [spawn(half)?, spawn(half)?];
    for fiber in both {
        fiber.join()?;
    }
    emit(PEER, "yield", n, ns_per(start, n), "ns");
    Ok(())
}

fn chan() -> Done {
    let n = number("n", 1_000_000);
    let (to_far, far) = channel::<i64>(1);
    let (to_near, near) = channel::<i64>(1);
    let start = Instant::now();
    spawn(move || {
        for value in far.iter() {
            to_near.send(value).expect("the other fiber waits for it");
        }
    })?
    .detach();
    let asking = spawn(move || {
        for value in 0..n / 2 {
            to_far.send(value).expect("the other fiber waits for it");
            assert_eq!(near.recv().expect("nobody cancels"), Some(value));
        }
    })?;
    asking.join()?;
    emit(PEER, "chan", n, ns_per(start, n), "ns");
    Ok(())
}

/// Fibers that sleep: cold, and again on the stacks of the first ones.
fn sleepers() -> Done {
    let n = number("n", 100_000);
    let before = resident();
    let mut handles = Vec::with_capacity(n as usize);
    let mut start = || -> Result<f64, Box<dyn Error>> {
        let started = Rc::new(Cell::new(0));
        let start = Instant::now();
        for _ in 0..n {
            let started = Rc::clone(&started);
            handles.push(spawn(move || {
                started.set(started.get() + 1);
                sleep(Duration::from_secs(600))
            })?);
        }
        while started.get() < n {
            yield_now();
        }
        let took = start.elapsed().as_nanos() as f64 / 1e6;
        if text("warm").is_some() {
            handles.iter().for_each(|fiber| fiber.cancel());
            for fiber in handles.drain(..) {
                fiber.join()?.expect_err("600 s have not passed");
            }
        }
        Ok(took)
    };
    let took = start()?;
    if text("warm").is_some() {
        emit(PEER, "sleepers_warm", n, start()?, "ms");
    } else {
        emit(PEER, "sleepers_start", n, took, "ms");
        emit(PEER, "sleepers_rss", n, (resident() - before) as f64 / n as f64, "B");
        let maps = std::fs::read_to_string("/proc/self/maps")?.lines().count();
        emit(PEER, "sleepers_maps", n, maps as f64, "mappings");
    }
    std::process::exit(0)
}

/// As many sleepers as there is memory for: started, all woken and joined, and their memory given back.
fn million() -> Done {
    let n = number("n", 1_000_000);
    let free = std::fs::read_to_string("/proc/meminfo")?;
    let free = free.lines().find_map(|line| line.strip_prefix("MemAvailable:")).ok_or("no MemAvailable")?;
    if free.trim().trim_end_matches(" kB").parse::<i64>()? < n * 10 {
        bench_rig::unsupported();
    }
    let before = resident();
    let mut handles = Vec::with_capacity(n as usize);
    let start = Instant::now();
    for _ in 0..n {
        handles.push(spawn(|| sleep(Duration::from_secs(3600)))?);
    }
    yield_now();
    emit(PEER, "million_start", n, start.elapsed().as_nanos() as f64 / 1e6, "ms");
    emit(PEER, "million_rss", n, (resident() - before) as f64 / n as f64, "B");
    let maps = || std::io::Result::Ok(std::fs::read_to_string("/proc/self/maps")?.lines().count() as f64);
    emit(PEER, "million_maps", n, maps()?, "mappings");
    let start = Instant::now();
    handles.iter().for_each(|fiber| fiber.cancel());
    for fiber in handles {
        fiber.join()?.expect_err("an hour has not passed");
    }
    emit(PEER, "million_end", n, start.elapsed().as_nanos() as f64 / 1e6, "ms");
    let start = Instant::now();
    // Some stacks are kept.
    while resident() - before > n * 1000 + (8 << 20) && start.elapsed() < Duration::from_secs(100) {
        sleep(Duration::from_millis(50))?;
    }
    emit(PEER, "million_given_back", n, start.elapsed().as_nanos() as f64 / 1e6, "ms");
    emit(PEER, "million_left", n, (resident() - before) as f64 / n as f64, "B");
    std::process::exit(0)
}

fn fileread() -> Done {
    let (n, depth) = (number("n", 500_000), number("qd", 32));
    let (file, blocks) = data_file();
    let file = Rc::new(File::from(file));
    let start = Instant::now();
    let mut readers = vec![];
    for _ in 0..depth {
        let file = Rc::clone(&file);
        readers.push(spawn(move || -> io::Result<()> {
            let mut buf = [0; BLOCK];
            (0..n / depth).try_for_each(|_| file.read_exact_at(&mut buf, bench_rig::random() % blocks * BLOCK as u64))
        })?);
    }
    for reader in readers {
        reader.join()??;
    }
    emit(PEER, "fileread", n, 1e9 / ns_per(start, n / depth * depth), "iops");
    Ok(())
}

fn main() -> Done {
    let bench = match bench_rig::bench_name().as_str() {
        "echo" => echo,
        "pipes" => pipes,
        "spawn" => spawn_and_join,
        "yield" => yields,
        "chan" => chan,
        "sleepers" | "warm" => sleepers,
        "million" => million,
        "fileread" => fileread,
        _ => bench_rig::unsupported(),
    };
    // One more runs the benchmark.
    let runtime = Runtime::builder().max_fibers(number("n", 1_000_000).max(100_000) as usize + 10);
    match number("threads", 1) {
        1 => runtime.build()?.run(bench)?,
        threads if bench_rig::bench_name() == "echo" => echo_by_threads(runtime, threads as usize),
        _ => bench_rig::unsupported(),
    }
}
