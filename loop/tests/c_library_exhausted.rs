//! A library of descriptors by number when none is left for a duplicate: a file of its own, since the limit is the whole
//! process's.

#![allow(unsafe_code, reason = "a library's descriptors are numbers")]

use becket_loop::c_library::FdTable;
use becket_loop::{Cause, External, Loop, Next, Ready, Wishes};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{PipeReader, Write};
use std::os::fd::AsRawFd;
use std::time::Duration;

struct Library {
    pipes: [PipeReader; 2],
    fds: FdTable,
    failures: u32,
    before: Rlimit,
    heard: Vec<usize>,
}

impl External for Library {
    type Event = usize;

    fn step(&mut self, wishes: &mut Wishes<'_>, cause: Cause) {
        match cause {
            Cause::Joined => {
                for pipe in &self.pipes {
                    // SAFETY: the library keeps it open as long as it has the table.
                    unsafe { self.fds.want(pipe.as_raw_fd(), Ready::READ) };
                }
                // Room for one of the two.
                let next = std::io::pipe().unwrap().0.as_raw_fd() as u64;
                let (current, maximum) = (Some(next + 1), self.before.maximum);
                setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
            }
            Cause::Ready { token, .. } => {
                let fd = self.fds.fd(token).unwrap();
                self.heard.push(self.pipes.iter().position(|pipe| pipe.as_raw_fd() == fd).unwrap());
                assert!(self.fds.forget(fd));
            }
            _ => {}
        }
        match self.fds.settle(wishes) {
            Ok(()) => assert_eq!(self.fds.unwatched().count(), 0),
            Err(e) => {
                assert_eq!(e.raw_os_error(), Some(24), "{e}: EMFILE");
                assert_eq!(self.fds.unwatched().collect::<Vec<_>>(), [self.pipes[1].as_raw_fd()]);
                self.failures += 1;
                if self.failures == 3 {
                    setrlimit(Resource::Nofile, self.before).unwrap();
                }
                wishes.timeout(Some(wishes.now() + Duration::from_millis(2)));
            }
        }
    }

    fn next_event(&mut self) -> Option<usize> {
        self.heard.pop()
    }
}

#[test]
fn what_could_not_be_watched_is_watched_when_there_is_room() {
    let (first, second) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
    (&second.1).write_all(b"x").unwrap();
    let before = getrlimit(Resource::Nofile);
    let library = Library { pipes: [first.0, second.0], fds: FdTable::new(), failures: 0, before, heard: Vec::new() };
    let mut event_loop: Loop<Vec<usize>> = Loop::new().unwrap();
    let writer = first.1;
    let id = event_loop.join(library, move |heard: &mut Vec<usize>, ctx, which| {
        heard.push(which);
        match heard.len() {
            1 => (&writer).write_all(b"x")?,
            _ => ctx.exit(0),
        }
        Ok(Next::Keep)
    });
    let mut heard = Vec::new();
    event_loop.run(&mut heard).unwrap();
    assert_eq!(heard, [1, 0]);
    assert_eq!(event_loop.remove(id).unwrap().failures, 3);
}
