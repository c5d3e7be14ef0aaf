//! Serial ports with a UART behind them, two of which are connected: what no pseudoterminal can play. Runs in the
//! virtual machine that scripts/test-vm starts. That machine does not pace its UARTs, so that nothing is measured here.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::serial::{
    ClosingWait, DataBits, FlowControl, ModemLines, Parity, Port, Rs485Flags, Settings, StopBits,
};
use becket_sys::{Ready, wait};
use std::env;
use std::io::{ErrorKind, Read, Write};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The two ports, for one test at a time.
struct Pair {
    a: String,
    b: String,
    _turn: MutexGuard<'static, ()>,
}

fn pair() -> Option<Pair> {
    static TURN: Mutex<()> = Mutex::new(());
    let Ok(pair) = env::var("SERIAL_PAIR") else {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        println!("SKIP: {test}: no connected pair of UARTs here; scripts/test-vm has one");
        return None;
    };
    let turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    let (a, b) = pair.split_once(':').unwrap();
    Some(Pair { a: a.into(), b: b.into(), _turn: turn })
}

fn readable(port: &Port) {
    let ready = wait(port, Ready::READ, Some(Instant::now() + Duration::from_secs(20))).unwrap();
    assert_eq!(ready, Some(Ready::READ));
}

#[test]
fn bytes_arrive_as_they_were_sent() {
    let Some(pair) = pair() else { return };
    let (a, b) = (Port::open(&pair.a, 115_200).unwrap(), Port::open(&pair.b, 115_200).unwrap());
    b.discard_input().unwrap();
    let sent: Vec<u8> = (0..16_384_u32).map(|n| (n * 7 + n / 256) as u8).collect();
    let (mut to_send, mut got) = (&sent[..], Vec::new());
    let mut buf = [0; 4096];
    while got.len() < sent.len() {
        if let Some(n) = a.try_write(&to_send[..to_send.len().min(512)]).unwrap() {
            to_send = &to_send[n..];
        }
        readable(&b);
        let n = b.try_read(&mut buf).unwrap().unwrap_or(0);
        assert_ne!(n, 0, "no hang-up in between");
        got.extend_from_slice(&buf[..n]);
    }
    assert_eq!(got, sent);
    a.drain().unwrap();
    assert_eq!(a.output_queued().unwrap(), 0);
    assert_eq!(b.try_read(&mut buf).unwrap(), None);
    assert!(!b.is_hung_up().unwrap());
}

#[test]
fn all_settings_are_taken_and_reported() {
    let Some(pair) = pair() else { return };
    let port = Port::open(&pair.a, 9600).unwrap();
    for data_bits in [DataBits::Five, DataBits::Six, DataBits::Seven, DataBits::Eight] {
        for parity in [Parity::None, Parity::Odd, Parity::Even, Parity::Mark, Parity::Space] {
            for stop_bits in [StopBits::One, StopBits::Two] {
                for flow_control in [FlowControl::None, FlowControl::Software, FlowControl::Hardware] {
                    let want = Settings { baud: 19_200, data_bits, parity, stop_bits, flow_control };
                    match port.set_settings(&want) {
                        Ok(()) => assert_eq!(port.settings().unwrap(), want),
                        Err(e) => panic!("{want}: {e}"),
                    }
                }
            }
        }
    }
}

#[test]
fn a_baud_that_no_divider_gives_is_refused_and_one_that_is_near_is_taken() {
    let Some(pair) = pair() else { return };
    let port = Port::open(&pair.a, 9600).unwrap();
    // The clock gives 115200 divided by whole numbers.
    for baud in [12_345, 38_400, 57_600, 115_200] {
        port.set_settings(&Settings::new(baud)).unwrap();
        let real = port.settings().unwrap().baud;
        assert!(real.abs_diff(baud) <= baud / 33, "{baud} became {real}");
    }
    let e = port.set_settings(&Settings::new(3_000_000)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.to_string().starts_with("the device does not take baud 3000000, it stays at "), "{e}");
}

#[test]
fn modem_lines_follow_each_other_when_looped() {
    let Some(pair) = pair() else { return };
    let port = Port::open(&pair.a, 9600).unwrap();
    assert!(port.modem_lines().unwrap().contains(ModemLines::DTR | ModemLines::RTS), "asserted by the opening");
    port.set_modem_lines(ModemLines::LOOP, true).unwrap();
    for (ours, theirs) in [(ModemLines::RTS, ModemLines::CTS), (ModemLines::DTR, ModemLines::DSR)] {
        for on in [false, true] {
            port.set_modem_lines(ours, on).unwrap();
            let lines = port.modem_lines().unwrap();
            assert_eq!((lines.contains(ours), lines.contains(theirs)), (on, on), "{lines:?}");
        }
    }
    (&port).write_all(b"to myself").unwrap();
    let mut got = [0; 9];
    for byte in &mut got {
        readable(&port);
        (&port).read_exact(std::slice::from_mut(byte)).unwrap();
    }
    assert_eq!(&got, b"to myself");
    port.set_modem_lines(ModemLines::LOOP, false).unwrap();
}

#[test]
fn a_break_reads_as_a_zero_byte_and_opening_again_needs_no_pause() {
    let Some(pair) = pair() else { return };
    for _ in 0..20 {
        let port = Port::open(&pair.a, 9600).unwrap();
        port.set_break(true).unwrap();
        port.set_break(false).unwrap();
        port.discard_output().unwrap();
    }
    Port::open(&pair.a, 9600).unwrap().send_break().unwrap();
}

#[test]
fn what_went_through_is_counted() {
    let Some(pair) = pair() else { return };
    let (a, b) = (Port::open(&pair.a, 115_200).unwrap(), Port::open(&pair.b, 115_200).unwrap());
    b.discard_input().unwrap();
    let before = (a.counters().unwrap(), b.counters().unwrap());
    (&a).write_all(b"twelve bytes").unwrap();
    a.drain().unwrap();
    let mut got = Vec::new();
    while got.len() < 12 {
        readable(&b);
        let mut buf = [0; 32];
        let n = b.try_read(&mut buf).unwrap().unwrap_or(0);
        got.extend_from_slice(&buf[..n]);
    }
    assert_eq!(got, b"twelve bytes");
    let (sent, received) = (a.counters().unwrap().since(&before.0), b.counters().unwrap().since(&before.1));
    assert_eq!((sent.sent, received.received), (12, 12));
    assert_eq!((received.framing_errors, received.overruns, received.parity_errors), (0, 0, 0));
}

/// The simulated UART tells no changes of its modem lines, so that the helper thread waits in the driver for good.
#[test]
fn a_watch_of_modem_lines_ends_while_the_driver_waits() {
    let Some(pair) = pair() else { return };
    let port = Port::open(&pair.a, 9600).unwrap();
    for _ in 0..5 {
        let watch = port.watch_lines(ModemLines::CTS | ModemLines::DSR | ModemLines::DCD | ModemLines::RI).unwrap();
        let soon = Instant::now() + Duration::from_millis(50);
        assert_eq!(wait(&watch, Ready::READ, Some(soon)).unwrap(), None);
        assert!(watch.try_read().unwrap().is_none());
        let start = Instant::now();
        drop(watch);
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    }
    port.set_modem_lines(ModemLines::RTS, false).unwrap(); // the port works on
    assert!(!port.modem_lines().unwrap().contains(ModemLines::RTS));
}

#[test]
fn the_driver_takes_what_it_can_and_refuses_the_rest() {
    let Some(pair) = pair() else { return };
    let port = Port::open(&pair.a, 9600).unwrap();
    // This UART has no transceiver: the driver says "off", and takes nothing else.
    let mut rs485 = port.rs485().unwrap();
    assert!(rs485.flags().is_empty());
    rs485.set_flags(Rs485Flags::ENABLED | Rs485Flags::RTS_ON_SEND);
    assert_eq!(port.set_rs485(&rs485).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    let before = (port.low_latency().unwrap(), port.closing_wait().unwrap());
    port.set_low_latency(true).unwrap();
    let wait = ClosingWait::AtMost(Duration::from_millis(120));
    port.set_closing_wait(wait).unwrap();
    assert_eq!((port.low_latency().unwrap(), port.closing_wait().unwrap()), (true, wait));
    port.set_low_latency(before.0).unwrap();
    port.set_closing_wait(before.1).unwrap();
}

#[test]
fn a_port_without_a_uart_is_refused() {
    let Ok(path) = env::var("SERIAL_NONE") else {
        println!(
            "SKIP: a_port_without_a_uart_is_refused: no port without a UART is known here; scripts/test-vm has one"
        );
        return;
    };
    let e = Port::open(&path, 9600).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EIO), "{e}");
    println!("{e}");
}
