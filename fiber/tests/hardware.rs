//! GPIO lines and input devices of a real kernel, whose far ends are played by simulators, in fibers. Runs in the virtual
//! machine that scripts/test-vm starts.
#![allow(unsafe_code, reason = "no crate of ours has the ioctls by which uinput makes a device")]

use becket_fiber::gpio::{Chip, Edge, EdgeKind, LineConfig, Lines, sysfs};
use becket_fiber::input::{Device, Input, Kind, Tracker, codes, devices};
use becket_fiber::{Runtime, is_cancelled, sleep, spawn, timeout, yield_now};
use becket_sys::EventBuf;
use becket_sys::gpio;
use rustix::ioctl::{IntegerSetter, NoArg, Opcode, ioctl, opcode};
use std::ffi::c_int;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::time::Duration;
use std::{env, thread};

/// More than anything takes that will happen.
const LONG: Duration = Duration::from_secs(20);
/// How long to look for what must not happen.
const MOMENT: Duration = Duration::from_millis(200);

fn in_fiber(test: impl FnOnce() -> io::Result<()>) {
    Runtime::new().unwrap().run(|| timeout(LONG, test)).unwrap().unwrap();
}

fn this_test() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

/// The far end of the wires: a simulated chip of 8 lines.
struct Sim {
    device: PathBuf,
    label: String,
}

impl Sim {
    fn new() -> Option<Sim> {
        let Some(device) = env::var_os("GPIO_SIM_DEV") else {
            println!("SKIP: {}: no simulated GPIO chip here; scripts/test-vm has one", this_test());
            return None;
        };
        Some(Sim { device: device.into(), label: env::var("GPIO_SIM_LABEL").unwrap() })
    }

    fn pull(&self, offset: u32, up: bool) {
        let text = if up { "pull-up" } else { "pull-down" };
        fs::write(self.device.join(format!("sim_gpio{offset}/pull")), text).unwrap();
    }
}

#[test]
fn edges_of_lines_wake_fibers() {
    let Some(sim) = Sim::new() else { return };
    in_fiber(|| {
        (2..4).for_each(|offset| sim.pull(offset, false));
        let chip = gpio::Chip::find(&sim.label)?;
        let request = chip.request().lines([2, 3], LineConfig::input().edge(Edge::Both)).open()?;
        let lines = Lines::try_from(request)?;
        let late = timeout(MOMENT, || lines.next_edge());
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);

        let watching = spawn(move || {
            let first = lines.next_edge()?;
            let mut rest = Vec::new();
            let mut buf = EventBuf::new();
            while rest.len() < 3 {
                rest.extend(lines.read_events(&mut buf)?.map(|edge| (edge.offset, edge.kind)));
            }
            Ok::<_, io::Error>(((first.offset, first.kind), rest, lines))
        })?;
        for (offset, up) in [(2, true), (3, true), (2, false), (3, false)] {
            sleep(Duration::from_millis(20))?;
            sim.pull(offset, up);
        }
        let (first, rest, lines) = watching.join()??;
        assert_eq!(first, (2, EdgeKind::Rising));
        assert_eq!(rest, [(3, EdgeKind::Rising), (2, EdgeKind::Falling), (3, EdgeKind::Falling)]);

        let fiber = spawn(move || lines.next_edge().map(drop))?;
        yield_now();
        fiber.cancel();
        assert!(is_cancelled(&fiber.join()?.unwrap_err()));
        Ok(())
    });
}

#[test]
fn what_others_do_with_lines_wakes_fibers() {
    let Some(sim) = Sim::new() else { return };
    in_fiber(|| {
        let watched = Chip::try_from(gpio::Chip::find(&sim.label)?)?;
        watched.watch(5)?;
        let watching = spawn(move || {
            let mut buf = EventBuf::new();
            let mut kinds = Vec::new();
            while kinds.len() < 2 {
                kinds.extend(watched.read_events(&mut buf)?.map(|change| (change.line.offset, change.kind)));
            }
            Ok::<_, io::Error>(kinds)
        })?;
        sleep(Duration::from_millis(20))?;
        let chip = gpio::Chip::find(&sim.label)?;
        drop(chip.request().line(5, LineConfig::input()).open()?);
        let kinds = watching.join()??;
        assert_eq!(kinds, [(5, gpio::ChangeKind::Requested), (5, gpio::ChangeKind::Released)]);
        Ok(())
    });
}

#[test]
fn edges_of_a_line_by_sysfs_wake_a_fiber() {
    let Some(sim) = Sim::new() else { return };
    in_fiber(|| {
        let class = sysfs::Class::new();
        let base = class.find(&sim.label, 0)?;
        sim.pull(4, false);
        let line = sysfs::Line::try_from(class.export(base + 4, None)?)?;
        line.set_input()?;
        line.watch(sysfs::Edge::Both)?;
        let watching = spawn(move || {
            let up = line.next_edge()?;
            let down = line.next_edge()?;
            let late = timeout(MOMENT, || line.next_edge());
            Ok::<_, io::Error>((up, down, late.map_err(|e| e.kind())))
        })?;
        for up in [true, false] {
            sleep(Duration::from_millis(50))?;
            sim.pull(4, up);
        }
        assert_eq!(watching.join()??, (true, false, Err(ErrorKind::TimedOut)));
        Ok(())
    });
}

const CREATE: Opcode = opcode::none(b'U', 1);
const DESTROY: Opcode = opcode::none(b'U', 2);
const SET_KIND: Opcode = opcode::write::<c_int>(b'U', 100);
const SET_KEY: Opcode = opcode::write::<c_int>(b'U', 101);

/// A keyboard of the test's own: the far end, which says what happens.
struct Played {
    file: File,
    name: String,
}

impl Played {
    fn new() -> Option<Played> {
        if env::var_os("BECKET_UINPUT").is_none() {
            println!("SKIP: {}: this machine's users would get the events; scripts/test-vm has nobody", this_test());
            return None;
        }
        let file = match File::options().read(true).write(true).open("/dev/uinput") {
            Ok(file) => file,
            Err(e) => {
                println!("SKIP: {}: no uinput here ({e}); scripts/test-vm has it", this_test());
                return None;
            }
        };
        // SAFETY: these calls take a number.
        unsafe {
            ioctl(&file, IntegerSetter::<SET_KIND>::new_usize(Kind::KEY.0.into())).unwrap();
            ioctl(&file, IntegerSetter::<SET_KEY>::new_usize(codes::KEY_A.into())).unwrap();
        }
        // A struct uinput_user_dev: a name, what it is, and what each axis is.
        let name = format!("becket fiber {}", std::process::id());
        let mut setup = name.clone().into_bytes();
        setup.resize(80, 0);
        setup.extend([6_u16, 0x1234, 0x5678, 9].map(u16::to_ne_bytes).as_flattened());
        setup.resize(80 + 8 + 4 + 4 * 64 * 4, 0);
        (&file).write_all(&setup).unwrap();
        // SAFETY: this call takes nothing.
        unsafe { ioctl(&file, NoArg::<CREATE>::new()).unwrap() };
        Some(Played { file, name })
    }

    fn play(&self, value: i32) {
        let mut bytes = Vec::new();
        for (kind, code, value) in [(Kind::KEY, codes::KEY_A, value), (Kind::SYN, codes::SYN_REPORT, 0)] {
            bytes.extend([0; size_of::<libc::timeval>()]);
            bytes.extend([kind.0, code].map(u16::to_ne_bytes).as_flattened());
            bytes.extend(value.to_ne_bytes());
        }
        (&self.file).write_all(&bytes).unwrap();
    }

    fn unplug(self) {
        // SAFETY: this call takes nothing.
        unsafe { ioctl(&self.file, NoArg::<DESTROY>::new()).unwrap() };
    }
}

#[test]
fn keys_and_an_unplugged_device_wake_a_fiber() {
    let Some(played) = Played::new() else { return };
    in_fiber(|| {
        let device = loop {
            // The node comes a moment later.
            if let Some(found) = devices()?.flatten().find(|d| d.name().is_ok_and(|name| *name == *played.name)) {
                break Device::try_from(found)?;
            }
            sleep(Duration::from_millis(5))?;
        };
        let typing = spawn(move || {
            let (mut tracker, mut buf) = (Tracker::new(&device)?, EventBuf::new());
            let mut seen = Vec::new();
            loop {
                match device.next(&mut tracker, &mut buf)? {
                    Input::Events(events) => seen.extend(events.iter().map(ToString::to_string)),
                    Input::Gone => return Ok::<_, io::Error>(seen),
                }
            }
        })?;
        for value in [1, 0] {
            sleep(Duration::from_millis(20))?;
            played.play(value);
        }
        sleep(Duration::from_millis(20))?;
        played.unplug();
        assert_eq!(typing.join()??, ["KEY_A 1", "SYN_REPORT 0", "KEY_A 0", "SYN_REPORT 0"]);
        Ok(())
    });
}
