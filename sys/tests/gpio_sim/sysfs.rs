//! By the files of sysfs.

use crate::{LONG, MOMENT, Sim};
use becket_sys::epoll::{Epoll, Events, Trigger};
use becket_sys::gpio::sysfs::{Class, Direction, Edge, Export, Level, Line};
use becket_sys::{Ready, wait};
use std::time::Instant;
use std::{env, fs, thread};

struct Chip {
    sim: Sim,
    base: u32,
    class: Class,
}

impl Chip {
    fn new() -> Option<Chip> {
        let sim = Sim::new()?;
        let class = Class::new();
        let base = class.find(&sim.label, 0).unwrap();
        assert_eq!(base.to_string(), env::var("GPIO_SIM_BASE").unwrap());
        Some(Chip { sim, base, class })
    }

    fn line(&self, offset: u32) -> Line {
        let line = self.class.export(self.base + offset, None).unwrap();
        assert_eq!(line.export(), Export::Exported);
        line.set_input().unwrap(); // it is as its last user left it
        self.sim.pull(offset, false);
        line
    }
}

fn now(line: &Line) -> Option<Ready> {
    wait(line, Ready::PRI, Some(Instant::now())).unwrap()
}

/// The interrupt is simulated, too, and comes a moment after the pull.
fn soon(line: &Line) -> Option<Ready> {
    wait(line, Ready::PRI, Some(Instant::now() + LONG)).unwrap()
}

fn never(line: &Line) -> Option<Ready> {
    wait(line, Ready::PRI, Some(Instant::now() + MOMENT)).unwrap()
}

const EDGE: Option<Ready> = Some(Ready::PRI.union(Ready::ERR));

#[test]
fn a_line_is_ready_once_before_the_first_read_even_without_an_edge() {
    let Some(chip) = Chip::new() else { return };
    let line = chip.line(0);
    assert_eq!(line.edge().unwrap(), Edge::None);
    assert_eq!(now(&line), EDGE);
    assert!(!line.value().unwrap());
    assert_eq!(now(&line), None);
    chip.sim.pull(0, true);
    assert_eq!(never(&line), None); // no edge is set
    assert!(line.value().unwrap());
}

#[test]
fn only_the_edges_asked_for_make_a_line_ready() {
    let Some(chip) = Chip::new() else { return };
    let line = chip.line(1);
    for (edge, rising, falling) in [
        (Edge::Rising, true, false),
        (Edge::Falling, false, true),
        (Edge::Both, true, true),
        (Edge::None, false, false),
    ] {
        assert!(!line.watch(edge).unwrap());
        for (up, seen) in [(true, rising), (false, falling)] {
            chip.sim.pull(1, up);
            assert_eq!(if seen { soon(&line) } else { never(&line) }, if seen { EDGE } else { None }, "{edge:?}");
            assert_eq!(line.value().unwrap(), up);
            assert_eq!(now(&line), None);
            chip.sim.pull(1, up); // the same again is no edge
            assert_eq!(never(&line), None);
        }
    }
}

#[test]
fn edges_that_are_not_read_are_one_and_wake_an_edge_triggered_watcher_again() {
    let Some(chip) = Chip::new() else { return };
    let line = chip.line(2);
    line.watch(Edge::Both).unwrap();
    let epoll = Epoll::new().unwrap();
    epoll.add(&line, 0, Ready::PRI, Trigger::EDGE).unwrap();
    let mut events = Events::with_capacity(4);
    let mut woken = |within| epoll.wait(&mut events, Some(Instant::now() + within)).unwrap();
    for _ in 0..10 {
        chip.sim.pull(2, true);
        chip.sim.pull(2, false);
    }
    thread::sleep(MOMENT); // until the last of them has arrived
    assert_eq!((woken(LONG), woken(MOMENT)), (1, 0));
    chip.sim.pull(2, true);
    assert_eq!((woken(LONG), woken(MOMENT)), (1, 0)); // without a read in between
    assert_eq!(now(&line), EDGE);
    assert!(line.value().unwrap());
    assert_eq!(now(&line), None);
}

#[test]
fn active_low_turns_values_and_edges_round_but_not_the_level_of_an_output() {
    let Some(chip) = Chip::new() else { return };
    let line = chip.line(3);
    line.watch(Edge::Rising).unwrap();
    line.set_active_low(true).unwrap(); // after the edge: the kernel keeps the two together
    assert!(line.active_low().unwrap());
    assert!(line.value().unwrap()); // low
    chip.sim.pull(3, true);
    assert_eq!(never(&line), None);
    assert!(!line.value().unwrap());
    chip.sim.pull(3, false);
    assert_eq!(soon(&line), EDGE);
    assert!(line.value().unwrap());

    line.set_edge(Edge::None).unwrap();
    line.set_output(Level::High).unwrap();
    assert!(chip.sim.high(3));
    assert_eq!((line.direction().unwrap(), line.value().unwrap()), (Direction::Out, false));
    line.set_value(true).unwrap();
    assert!(!chip.sim.high(3));
    line.set_active_low(false).unwrap();
    line.set_input().unwrap();
}

#[test]
fn an_output_takes_no_edge_and_an_input_no_value() {
    let Some(chip) = Chip::new() else { return };
    let line = chip.line(4);
    line.set_output(Level::Low).unwrap();
    assert_eq!(line.set_edge(Edge::Both).unwrap_err().raw_os_error(), Some(libc::EIO));
    line.set_input().unwrap();
    line.set_edge(Edge::Both).unwrap();
    assert_eq!(line.set_value(true).unwrap_err().raw_os_error(), Some(libc::EPERM));
}

#[test]
fn a_line_exported_twice_belongs_to_the_first() {
    let Some(chip) = Chip::new() else { return };
    let first = chip.line(5);
    let second = chip.class.export(chip.base + 5, None).unwrap();
    assert_eq!(second.export(), Export::AlreadyExported);
    let raw = fs::write("/sys/class/gpio/export", (chip.base + 5).to_string()).unwrap_err();
    assert_eq!(raw.raw_os_error(), Some(libc::EBUSY));
    drop(second);
    assert!(first.path().exists());
    first.unexport().unwrap();
    assert!(chip.class.open(chip.base + 5).is_err());
}

#[test]
fn after_an_unexport_an_open_line_looks_like_an_edge_and_says_that_the_device_is_gone() {
    let Some(chip) = Chip::new() else { return };
    let (first, second) = (chip.line(6), chip.class.open(chip.base + 6).unwrap());
    second.watch(Edge::Both).unwrap();
    assert_eq!(now(&second), None);
    first.unexport().unwrap();
    assert_eq!(now(&second), EDGE);
    assert_eq!(second.value().unwrap_err().raw_os_error(), Some(libc::ENODEV));
    assert_eq!(now(&second), EDGE); // for good
    assert_eq!(second.set_edge(Edge::None).unwrap_err().raw_os_error(), Some(libc::ENOENT));
}

#[test]
fn there_is_no_line_beyond_the_last() {
    let Some(chip) = Chip::new() else { return };
    let e = chip.class.export(chip.base + 100_000, None).unwrap_err();
    assert_eq!((e.step(), e.raw_os_error()), ("export", Some(libc::EINVAL)));
}

/// Waits for each edge before the next is made: every one must be seen.
#[test]
fn two_hundred_edges_are_two_hundred() {
    let Some(chip) = Chip::new() else { return };
    let line = chip.line(7);
    for (edge, expected) in [(Edge::Rising, 200), (Edge::Falling, 200), (Edge::Both, 400), (Edge::None, 0)] {
        line.watch(edge).unwrap();
        let mut seen = 0;
        for n in 0..400 {
            let up = n % 2 == 0;
            chip.sim.pull(7, up);
            let comes = edge == Edge::Both || edge == if up { Edge::Rising } else { Edge::Falling };
            let within = if comes { LONG } else { std::time::Duration::ZERO };
            if wait(&line, Ready::PRI, Some(Instant::now() + within)).unwrap() == EDGE {
                seen += 1;
            }
            assert_eq!(line.value().unwrap(), up);
        }
        thread::sleep(MOMENT); // for what should not come
        seen += usize::from(now(&line).is_some());
        println!("{edge:?}: {seen} of {expected}");
        assert_eq!(seen, expected);
    }
}
