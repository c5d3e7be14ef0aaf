//! A source that a user makes of several, of a connection and a timer, on epoll and on poll(2).

mod common;

use becket_loop::{Cause, External, Id, Loop, Mode, Next, Ready, Wishes};
use becket_sys::unix::Stream;
use common::each_backend;
use std::cell::Cell;
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_millis(10);

/// Lines by a connection; says so where none comes for a while.
struct Link {
    stream: Stream,
    partial: String,
    events: VecDeque<Said>,
    nudged: u32,
    /// Told when it is dropped.
    gone: Rc<Cell<bool>>,
}

#[derive(Debug, PartialEq)]
enum Said {
    Line(String),
    Silent(Instant),
    End,
}

impl Link {
    fn send(&mut self, line: &str) -> std::io::Result<()> {
        self.stream.try_write(format!("{line}\n").as_bytes())?.expect("room");
        Ok(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.gone.set(true);
    }
}

impl External for Link {
    type Event = Said;

    fn step(&mut self, wishes: &mut Wishes<'_>, cause: Cause) {
        match cause {
            Cause::Joined => wishes.watch(5, self.stream.as_fd(), Ready::READ, Mode::Level).unwrap(),
            Cause::Timeout => self.events.push_back(Said::Silent(wishes.now())),
            Cause::Ready { token: 5, .. } => {
                let mut buf = [0; 512];
                let n = self.stream.try_read(&mut buf).unwrap().expect("it is ready");
                self.partial.push_str(std::str::from_utf8(&buf[..n]).unwrap());
                while let Some((line, rest)) = self.partial.split_once('\n') {
                    self.events.push_back(Said::Line(line.into()));
                    self.partial = rest.into();
                }
                if n == 0 {
                    self.events.push_back(Said::End);
                    return wishes.leave();
                }
            }
            Cause::Nudged => return self.nudged += 1,
            other => panic!("{other:?}"),
        }
        wishes.timeout(Some(wishes.now() + PATIENCE));
    }

    fn next_event(&mut self) -> Option<Said> {
        self.events.pop_front()
    }
}

fn link(stream: Stream) -> (Link, Rc<Cell<bool>>) {
    let gone = Rc::new(Cell::new(false));
    (Link { stream, partial: String::new(), events: VecDeque::new(), nudged: 0, gone: Rc::clone(&gone) }, gone)
}

#[derive(Default)]
struct State {
    near: Option<Id<Link>>,
    far: Option<Id<Link>>,
    log: Vec<String>,
    silent: Option<Instant>,
}

#[test]
fn two_of_them_talk_and_answer_in_their_own_closures() {
    let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
    each_backend(|mut event_loop: Loop<State>| {
        let (near, far) = Stream::pair().unwrap();
        let (near, near_gone) = link(near);
        let (far, far_gone) = link(far);
        let near = event_loop.join(near, |state: &mut State, ctx, said| {
            match said {
                Said::Line(line) => {
                    let n: u32 = line.parse()?;
                    state.log.push(line);
                    ctx.joined(state.near.unwrap()).unwrap().send(&(n + 1).to_string())?;
                }
                Said::End => state.log.push("end".into()),
                Said::Silent(_) => {}
            }
            Ok(Next::Keep)
        });
        let far = event_loop.join(far, |state: &mut State, ctx, said| {
            let id = state.far.unwrap();
            match said {
                Said::Line(line) if line.len() < 2 => ctx.joined(id).unwrap().send(&line)?,
                Said::Line(_) => return Ok(Next::Remove),
                Said::End | Said::Silent(_) => {}
            }
            assert!(!ctx.get(id).unwrap().gone.get());
            Ok(Next::Keep)
        });
        event_loop.joined(far).unwrap().send("0").unwrap();
        let mut state = State { near: Some(near), far: Some(far), ..State::default() };
        event_loop.run(&mut state).unwrap(); // until the last has left
        let expected: Vec<_> = (0..10).map(|n| n.to_string()).chain(["end".into()]).collect();
        assert_eq!(state.log, expected);
        assert!(near_gone.get() && far_gone.get());
        assert!(event_loop.joined(near).is_none() && event_loop.get(far).is_none());
    });
    // Other tests of this program run beside it: only what was left behind for good is more.
    let end = Instant::now() + Duration::from_secs(10);
    while std::fs::read_dir("/proc/self/fd").unwrap().count() > before && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(std::fs::read_dir("/proc/self/fd").unwrap().count() <= before);
}

#[test]
fn its_timer_is_its_own_and_it_comes_back_when_removed() {
    each_backend(|mut event_loop: Loop<State>| {
        let (near, far) = Stream::pair().unwrap();
        let (near, gone) = link(near);
        let start = event_loop.now();
        let id = event_loop.join(near, |state: &mut State, ctx, said| {
            let Said::Silent(at) = said else { panic!("{said:?}") };
            state.silent = Some(at);
            ctx.exit(0);
            Ok(Next::Keep)
        });
        let mut state = State::default();
        event_loop.run(&mut state).unwrap();
        assert!(state.silent.unwrap() >= start + PATIENCE);
        // Lent to be looked at, it is not stepped; lent to be called, it is, once.
        assert_eq!(event_loop.get(id).unwrap().nudged, 0);
        event_loop.joined(id).unwrap();
        event_loop.joined(id).unwrap();
        event_loop.turn(&mut state, Some(Duration::ZERO)).unwrap();
        event_loop.turn(&mut state, Some(Duration::ZERO)).unwrap();
        assert_eq!(event_loop.get(id).unwrap().nudged, 1);

        let mut link = event_loop.remove(id).unwrap();
        assert!(event_loop.sources().next().is_none(), "with its timer and what it watched");
        link.send("still here").unwrap();
        let mut buf = [0; 16];
        assert_eq!(far.try_read(&mut buf).unwrap(), Some(11));
        assert!(!gone.get());
        drop(link);
        assert!(gone.get());
    });
}

#[test]
fn removed_in_its_own_closure_it_is_handed_back_there() {
    each_backend(|mut event_loop: Loop<State>| {
        let (near, _far) = Stream::pair().unwrap();
        let (near, gone) = link(near);
        let seen = Rc::clone(&gone);
        let id = event_loop.join(near, move |state: &mut State, ctx, _| {
            let link = ctx.remove(state.near.unwrap()).unwrap();
            assert!(!seen.get());
            drop(link);
            assert!(seen.get() && ctx.joined(state.near.unwrap()).is_none());
            Ok(Next::Keep)
        });
        event_loop.run(&mut State { near: Some(id), ..State::default() }).unwrap();
        assert!(gone.get());
    });
}
