//! Lists of fibers with what they wait for, their backtraces, and fibers that do not let go of the thread.

mod common;

use becket_fiber::net::{Address, UnixStream};
use becket_fiber::signal::{Signal, raise};
use becket_fiber::sync::channel;
use becket_fiber::{
    Builder, FiberState, Io, Report, Runtime, backend, block_on, fibers, report, sleep, spawn, spawn_named, timeout,
    unblock, with_ctx, yield_now,
};
use common::{HOUR, each_backend, kind, settle};
use serde_json::Value;
use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

#[inline(never)]
fn inner_function(depth: u32) -> io::Result<()> {
    let slept = if depth == 0 { sleep(HOUR) } else { inner_function(depth - 1) };
    std::hint::black_box(slept)
}

fn of<'a>(report: &'a Report, name: &str) -> &'a becket_fiber::FiberReport {
    report.fibers.iter().find(|f| f.info.name.as_deref() == Some(name)).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn each_says_what_it_waits_for() {
    each_backend(|rt| {
        rt.observe(true);
        let begun = Instant::now();
        rt.run(|| {
            let (a, _b) = std::os::unix::net::UnixStream::pair().unwrap();
            let fd = a.as_raw_fd();
            let a = Io::new(a).unwrap();
            let reader = spawn_named("reader", move || (&a).read(&mut [0; 1])).unwrap();
            let sleeper = spawn_named("sleeper", || timeout(HOUR / 2, || sleep(HOUR))).unwrap();
            let sleeper_id = sleeper.id();
            let joiner = spawn_named("joiner", || sleeper.join()).unwrap();
            let (sender, receiver) = channel::<u32>(1);
            let taker = spawn_named("taker", move || receiver.recv().unwrap()).unwrap();
            settle();
            let _new = spawn_named("new", || ()).unwrap();

            let report = report(true).unwrap();
            let main = &of(&report, "main").info;
            assert_eq!((main.id, main.state), (1, FiberState::Running));
            let reading = &of(&report, "reader").info;
            assert_eq!(reading.state, FiberState::Waiting("read", Some(fd)));
            assert!(reading.since.is_some_and(|since| since >= begun && since <= report.at));
            assert!(reading.stack_used.is_some_and(|n| n > 100 && n < reading.stack_size));
            let sleeping = &of(&report, "sleeper").info;
            assert!(sleeping.until.unwrap() >= begun + HOUR / 2 && sleeping.until == sleeping.deadline);
            let joining = &of(&report, "joiner").info;
            assert_eq!((joining.state, joining.joins), (FiberState::Waiting("join", None), Some(sleeper_id)));
            let taking = &of(&report, "taker").info;
            assert!(taking.object.is_some() && taking.joins.is_none());
            for name in ["reader", "sleeper", "joiner", "taker"] {
                let line = of(&report, name).info.to_string();
                assert!(line.contains(&format!(" {name}: waits: ")) && line.contains(", for "), "{line}");
            }
            sender.try_send(7).unwrap();
            assert_eq!(taker.join().unwrap(), Some(7));
            reader.cancel();
            joiner.cancel();
        })
        .unwrap();
        rt.observe(false);
        rt.run(|| {
            spawn_named("late", || sleep(HOUR)).unwrap();
            settle();
            let late = fibers().into_iter().find(|f| f.name.as_deref() == Some("late")).unwrap();
            assert_eq!((late.since, late.stack_used), (None, None));
        })
        .unwrap();
    });
}

#[test]
fn backtraces_name_the_functions_and_nobody_notices() {
    each_backend(|rt| {
        let (order, seen) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(None)));
        let (log, found) = (order.clone(), seen.clone());
        rt.run(|| {
            let deep = spawn_named("deep", || inner_function(3)).unwrap();
            let small = Builder::new().name("small").stack_size(16 * 1024);
            let small = small.spawn(|| sleep(Duration::from_millis(2))).unwrap();
            let other = log.clone();
            let yielding = spawn_named("yielding", move || {
                for n in 0..3 {
                    other.borrow_mut().push(n);
                    yield_now();
                }
            });
            settle();
            let all = report(true).unwrap();
            let frames = of(&all, "deep").frames.clone().unwrap();
            assert_eq!(frames.iter().filter(|f| f.contains("inner_function")).count(), 4, "{frames:#?}");
            assert!(frames[0].contains("sleep"), "{frames:#?}");
            assert!(!frames.iter().any(|f| f.contains("generator") || f.contains("force_capture")), "{frames:#?}");
            assert!(of(&all, "small").frames.is_none(), "too little stack is left");
            // It asked in the midst of others.
            assert!(of(&all, "main").frames.as_ref().unwrap().iter().any(|f| f.contains("nobody_notices")));
            small.join().unwrap().unwrap();
            yielding.unwrap().join().unwrap();
            assert!(!deep.is_finished());
            // In a callback, too.
            let again = move |report: Report| *found.borrow_mut() = Some(report);
            with_ctx(|ctx| ctx.defer(move |(), _| Ok(again(report(true)?)))).unwrap();
            assert_eq!(with_ctx(|_| kind(report(true))).unwrap(), Some(ErrorKind::Deadlock));
            sleep(Duration::from_millis(1)).unwrap();
            deep.cancel();
            deep.join().unwrap().unwrap_err();
        })
        .unwrap();
        assert_eq!(*order.borrow(), [0, 1, 2]);
        let seen = seen.borrow_mut().take().unwrap();
        assert!(of(&seen, "deep").frames.is_some() && of(&seen, "main").frames.is_some());
    });
    assert_eq!(kind(report(true)), Some(ErrorKind::Unsupported));
}

#[test]
fn all_of_many_can_be_asked_between_two_runs() {
    let mut rt = Runtime::new().unwrap();
    let (hold, held) = mpsc::channel::<()>();
    rt.run(|| {
        (0..500).for_each(|n| drop(spawn(move || inner_function(n % 5)).unwrap()));
        (0..10).for_each(|_| drop(spawn(|| block_on(std::future::pending::<()>())).unwrap()));
        spawn(|| unblock(move || held.recv())).unwrap();
        settle();
    })
    .unwrap();
    for _ in 0..3 {
        let report = rt.report(true);
        assert_eq!(report.fibers.len(), 511);
        assert!(report.fibers.iter().all(|f| f.frames.is_some()));
        assert!(report.to_string().matches("inner_function").count() >= 1500);
    }
    let fresh = rt.spawn(|| 7).unwrap();
    assert!(rt.report(true).fibers.iter().any(|f| f.info.id == fresh.id() && f.frames.is_none()));
    assert!(!fresh.is_finished(), "it has not begun");
    assert_eq!(rt.run(|| fresh.join().unwrap()).unwrap(), 7);
    assert!(rt.report(false).fibers.iter().all(|f| f.frames.is_none()));
    drop(hold);
    rt.shutdown().unwrap();
}

#[test]
fn it_is_json() {
    each_backend(|rt| {
        rt.observe(true);
        let json = rt.run(|| {
            spawn_named("say \"rope\"\n\\ \u{1}é", || inner_function(1)).unwrap();
            spawn(|| spawn(|| sleep(HOUR)).unwrap().join()).unwrap();
            settle();
            report(true).unwrap().to_json()
        });
        let json = json.unwrap();
        assert!(!json.contains('\n'));
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["process"], u64::from(std::process::id()));
        let all = value["fibers"].as_array().unwrap();
        assert_eq!(all.len(), 4);
        assert_eq!(
            (&all[0]["id"], &all[0]["state"], &all[0]["waits_for"]),
            (&1.into(), &"running".into(), &Value::Null)
        );
        assert_eq!((&all[1]["name"], &all[1]["waits_for"]), (&"say \"rope\"\n\\ \u{1}é".into(), &"sleep".into()));
        assert!(all[1]["frames"].as_array().unwrap().iter().any(|f| f.as_str().unwrap().contains("inner_function")));
        assert!(all[1]["until_in_ns"].as_u64().unwrap() > 3_000_000_000_000);
        assert!(all[1]["waits_ns"].is_u64() && all[1]["stack_used_bytes"].is_u64() && all[1]["descriptor"].is_null());
        assert_eq!((&all[2]["waits_for"], &all[2]["joins"]), (&"join".into(), &all[3]["id"]));
    });
}

#[test]
fn a_signal_asks() {
    each_backend(|rt| {
        let (sender, reports) = mpsc::channel();
        rt.report_on_signal(Signal::USR2, move |report| sender.send(report).unwrap()).unwrap();
        rt.run(|| {
            spawn_named("deep", || inner_function(2)).unwrap();
            settle();
            for _ in 0..2 {
                raise(Signal::USR2).unwrap();
                sleep(Duration::from_millis(2)).unwrap();
            }
        })
        .unwrap();
        let all: Vec<Report> = reports.try_iter().collect();
        assert!(!all.is_empty());
        assert!(all.iter().all(|r| of(r, "deep").frames.is_some()));
    });
    let e = Runtime::new().unwrap().report_on_signal(Signal::KILL, |_| ()).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EINVAL));
}

#[test]
fn a_socket_serves_whoever_connects() {
    let path = std::env::temp_dir().join(format!("becket-fiber-report-{}", std::process::id()));
    for end in 0..2 {
        let mut rt = Runtime::builder().backend(backend::Epoll::new().unwrap()).build().unwrap();
        rt.serve_reports(&path).unwrap();
        assert!(Runtime::new().unwrap().serve_reports(&path).is_err(), "somebody serves there");
        let (own, client_path) = (path.clone(), path.clone());
        let ask = move |words: &[&str]| {
            let stream = std::os::unix::net::UnixStream::connect(&client_path).unwrap();
            let mut lines = BufReader::new(&stream);
            let answers = words.iter().map(|word| {
                (&stream).write_all(format!("{word}\n").as_bytes()).unwrap();
                let mut line = String::new();
                lines.read_line(&mut line).unwrap();
                serde_json::from_str::<Value>(&line).unwrap()
            });
            answers.collect::<Vec<_>>()
        };
        let client = thread::spawn(move || ask(&["fibers", "what?", "backtraces", "fibers"]));
        rt.run(|| {
            spawn_named("deep", || inner_function(2)).unwrap();
            let mut silent = UnixStream::connect(&Address::pathname(&own).unwrap()).unwrap();
            while !client.is_finished() {
                sleep(Duration::from_millis(1)).unwrap();
            }
            let answers = client.join().unwrap();
            assert!(answers[0]["fibers"].as_array().unwrap().iter().all(|f| f["frames"].is_null()));
            assert!(answers[1]["error"].is_string());
            let deep = answers[2]["fibers"].as_array().unwrap().iter().find(|f| f["name"] == "deep").unwrap();
            assert!(deep["frames"].is_array() && deep["waits_ns"].is_u64());
            silent.write_all(b"fib").unwrap();
        })
        .unwrap();
        if end == 0 {
            rt.shutdown().unwrap();
        }
    }
    assert!(!path.exists(), "the socket is left behind");
}

#[test]
fn other_threads_ask() {
    let mut rt = Runtime::new().unwrap();
    let remote = rt.remote();
    assert_eq!(kind(remote.report(true, Duration::from_millis(2))), Some(ErrorKind::TimedOut));
    rt.run(|| {
        spawn_named("deep", || inner_function(1)).unwrap();
        let report = unblock(|| remote.report(true, Duration::from_secs(20)).unwrap()).unwrap();
        assert!(of(&report, "deep").frames.is_some());
    })
    .unwrap();
    drop(rt);
    assert_eq!(kind(remote.report(true, HOUR)), Some(ErrorKind::BrokenPipe));
}

#[test]
fn who_keeps_the_thread_is_told() {
    each_backend(|rt| {
        let (sender, stalls) = mpsc::channel();
        let limit = Duration::from_millis(20);
        let watchdog = rt.on_stall(limit, move |stall| drop(sender.send(stall))).unwrap();
        let lock = Arc::new(Mutex::new(()));
        rt.run(|| {
            // Many that yield in time are no stall.
            let end = Instant::now() + 3 * limit;
            while Instant::now() < end {
                yield_now();
            }
            // A std mutex, which somebody holds who waits for something else.
            let (held, holds) = mpsc::channel();
            let other = lock.clone();
            let thread = thread::spawn(move || {
                let _guard = other.lock().unwrap();
                held.send(()).unwrap();
                thread::sleep(10 * limit);
            });
            holds.recv().unwrap();
            let own = lock.clone();
            spawn_named("locker", move || drop(own.lock().unwrap())).unwrap().join().unwrap();
            thread.join().unwrap();
            sleep(Duration::from_millis(1)).unwrap();
        })
        .unwrap();
        let mut all = Vec::new();
        while !all.last().is_some_and(|stall: &becket_fiber::Stall| stall.over) {
            let stall = stalls.recv_timeout(Duration::from_secs(20)).unwrap();
            all.extend(Some(stall).filter(|s| s.name.as_deref() == Some("fiber 2 locker")));
        }
        drop(watchdog);
        assert_eq!(all.iter().map(|s| s.over).collect::<Vec<_>>(), [false, true], "{all:?}");
        assert!(all[0].lasted >= limit && all[1].lasted >= all[0].lasted);
        match all[0].call {
            Some(call) => assert_eq!(call, libc::SYS_futex),
            None => println!("SKIP: the kernel does not tell in which call a thread sleeps"),
        }
        rt.run(|| thread::sleep(3 * limit)).unwrap(); // nobody listens
    });
}
