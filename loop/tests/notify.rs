//! What a service tells its manager, played by a socket of the test's.

mod common;

use becket_loop::backend::Scripted;
use becket_loop::notify::{Notifier, watchdog_period};
use becket_loop::{HookPoint, Loop, Next};
use becket_sys::unix::{Address, Datagram};
use common::{each_backend, skips_valgrind};
use std::io::ErrorKind;
use std::process::Command;
use std::time::{Duration, Instant};

fn manager() -> (Datagram, Address) {
    let manager = Datagram::bind(&Address::unnamed()).unwrap(); // with a name of the kernel's choice
    let address = manager.local_addr().unwrap();
    (manager, address)
}

fn told(manager: &Datagram) -> Vec<String> {
    let mut buf = [0; 4096];
    std::iter::from_fn(|| {
        let (received, _) = manager.try_recv_from(&mut buf).unwrap()?;
        Some(String::from_utf8(buf[..received.len()].to_vec()).unwrap())
    })
    .collect()
}

#[test]
fn a_service_tells_its_life() {
    each_backend(|mut event_loop: Loop<()>| {
        let (manager, address) = manager();
        let notifier = Notifier::to(address).unwrap();
        let last = notifier.clone();
        event_loop.hook(HookPoint::Exit, move |_, _| {
            last.stopping()?;
            Ok(Next::Keep)
        });
        notifier.ready().unwrap();
        notifier.status("two\nlines").unwrap();
        event_loop.exit(0);
        event_loop.run(&mut ()).unwrap();
        assert_eq!(told(&manager), ["READY=1", "STATUS=two lines", "STOPPING=1"]);
    });
}

#[test]
fn a_service_that_reloads_says_when() {
    if skips_valgrind("a_service_that_reloads_says_when", "it hides the vdso, where rustix reads the clock") {
        return;
    }
    let (manager, address) = manager();
    let notifier = Notifier::to(address).unwrap();
    notifier.reloading().unwrap();
    let reloading = told(&manager).remove(0);
    let micros: u64 = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().parse().unwrap();
    assert!(micros > 0);
}

#[test]
fn the_watchdog_is_fed_twice_a_period_while_all_is_well() {
    let (manager, address) = manager();
    let (backend, script) = Scripted::new();
    let mut event_loop: Loop<bool> = Loop::with_backend(backend);
    let id = event_loop.watchdog(Notifier::to(address).unwrap(), Duration::from_secs(30), |well| *well);
    let mut well = true;
    for _ in 0..5 {
        event_loop.turn(&mut well, None).unwrap();
    }
    assert_eq!(told(&manager).len(), 5);
    well = false;
    event_loop.turn(&mut well, None).unwrap();
    assert_eq!(told(&manager), [""; 0]);
    // Late, it does not come several times.
    well = true;
    script.pass(Duration::from_secs(100));
    event_loop.turn(&mut well, Some(Duration::ZERO)).unwrap();
    assert_eq!(told(&manager), ["WATCHDOG=1"]);
    // A manager that is away for a moment costs nothing.
    drop(manager);
    event_loop.turn(&mut well, None).unwrap();
    assert!(event_loop.cancel(id));
}

#[test]
fn nobody_there_is_an_error_and_so_is_no_room() {
    let (manager, address) = manager();
    let notifier = Notifier::to(address).unwrap();
    let full = loop {
        if let Err(e) = notifier.alive() {
            break e;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    drop(manager);
    // A child that another test has just forked has it for a moment.
    let end = Instant::now() + Duration::from_secs(20);
    let kind = || notifier.alive().unwrap_err().kind();
    while kind() != ErrorKind::ConnectionRefused && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(kind(), ErrorKind::ConnectionRefused);
}

/// Run again by the next test, in an environment as a manager makes it.
#[test]
fn in_the_environment_of_a_service() {
    if std::env::var_os("BECKET_SERVICE").is_none() {
        return;
    }
    let notifier = Notifier::from_env().unwrap().unwrap();
    let period = watchdog_period().map_err(|e| e.to_string());
    notifier.status(&format!("{period:?}")).unwrap();
}

#[test]
fn the_environment_says_whom_to_tell_and_how_often() {
    let (manager, address) = manager();
    let name = format!("@{}", std::str::from_utf8(address.as_abstract_name().unwrap()).unwrap());
    let service = |variables: &[(&str, &str)]| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "in_the_environment_of_a_service"])
            .env("BECKET_SERVICE", "")
            .env("NOTIFY_SOCKET", &name);
        command.env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID").envs(variables.iter().copied());
        assert!(command.output().unwrap().status.success());
        told(&manager).join("")
    };
    let watchdog = |usec, pid| service(&[("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)]);
    assert_eq!(service(&[]), "STATUS=Ok(None)");
    assert_eq!(service(&[("WATCHDOG_USEC", "30000000")]), "STATUS=Ok(Some(30s))");
    assert_eq!(service(&[("WATCHDOG_PID", "me")]), "STATUS=Ok(None)");
    assert_eq!(watchdog("30000000", "1"), "STATUS=Ok(None)");
    assert_eq!(watchdog("0", "1"), r#"STATUS=Err("WATCHDOG_USEC=0")"#);
    assert_eq!(watchdog("3", "me"), r#"STATUS=Err("WATCHDOG_PID=me")"#);
    assert!(Notifier::from_env().is_ok());
}
