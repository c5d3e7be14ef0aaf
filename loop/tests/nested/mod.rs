//! A loop that does a little of everything, to be put into another loop which knows nothing of it.

use becket_loop::op::Read as ReadOp;
use becket_loop::{Cause, Ctx, Every, External, HookPoint, Loop, Mode, Next, Ready, Wishes};
use std::fs::File;
use std::io::{PipeReader, Read, Write, pipe};
use std::os::fd::AsFd;
use std::time::Duration;

/// What has been done. The loop exits with 7 once all of [`WORK`] is.
#[derive(Debug, Default)]
pub(crate) struct Done(Vec<&'static str>);

const WORK: [&str; 10] =
    ["deferred", "external", "idle", "level", "outside", "posts", "read", "same time", "ticks", "timer"];

impl Done {
    fn note(&mut self, ctx: &mut Ctx<Done>, word: &'static str) {
        self.0.push(word);
        if self.0.len() == WORK.len() {
            ctx.exit(7);
        }
    }
}

/// A loop with all of it under way, but for [`outside`].
pub(crate) fn busy() -> Loop<Done> {
    let mut inner: Loop<Done> = Loop::new().unwrap();
    inner.after(Duration::from_millis(5), |done, ctx| Ok(done.note(ctx, "timer")));
    let mut ticks = 0;
    inner.every(Every::new(Duration::from_millis(3)), move |done: &mut Done, ctx, _| {
        ticks += 1;
        if ticks < 3 {
            return Ok(Next::Keep);
        }
        done.note(ctx, "ticks");
        Ok(Next::Remove)
    });
    let when = inner.now() + Duration::from_millis(4);
    inner.at(when, move |_, ctx| {
        ctx.at(when, |done, ctx| Ok(done.note(ctx, "same time")));
        Ok(())
    });
    inner.defer(|_, ctx| {
        ctx.defer(|done, ctx| Ok(done.note(ctx, "deferred")));
        Ok(())
    });
    let remote = inner.remote();
    std::thread::spawn(move || {
        for n in 1..=3 {
            std::thread::sleep(Duration::from_millis(4));
            remote.post(move |done, ctx| {
                if n == 3 {
                    done.note(ctx, "posts");
                }
                Ok(())
            });
        }
    });
    // Ready four times over: each call leaves something to be read, of which nobody hears a second time.
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(b"four").unwrap();
    inner
        .add(reader, Ready::READ, Mode::Level, move |done: &mut Done, ctx, mut reader: &PipeReader, _| {
            let _ = &writer;
            let mut byte = [0];
            reader.read_exact(&mut byte)?;
            if byte != *b"r" {
                return Ok(Next::Keep);
            }
            done.note(ctx, "level");
            Ok(Next::Remove)
        })
        .unwrap();
    let mut idle = 0;
    inner.hook(HookPoint::Idle, move |done: &mut Done, ctx| {
        idle += 1;
        if idle < 3 {
            return Ok(Next::Again);
        }
        done.note(ctx, "idle");
        Ok(Next::Remove)
    });
    let file = File::open(std::env::current_exe().unwrap()).unwrap(); // which is there wherever this runs
    inner.submit(ReadOp::new(file, vec![0; 4], Some(0)), |done: &mut Done, ctx, end| {
        assert_eq!((end.result?, &*end.buf), (4, &b"\x7fELF"[..]));
        Ok(done.note(ctx, "read"))
    });
    inner.join(Library(pipe().unwrap()), |done: &mut Done, ctx, ()| {
        done.note(ctx, "external");
        Ok(Next::Keep)
    });
    inner
}

/// What the program does to the loop outside of a turn.
pub(crate) fn outside(inner: &mut Loop<Done>) {
    inner.defer(|_, ctx| {
        ctx.after(Duration::from_millis(2), |done, ctx| Ok(done.note(ctx, "outside")));
        Ok(())
    });
}

/// Ends the loop that was asked to exit.
pub(crate) fn check(mut inner: Loop<Done>, mut done: Done) {
    assert_eq!(inner.run(&mut done).unwrap(), 7);
    done.0.sort_unstable();
    assert_eq!(done.0, WORK);
    assert!(inner.stats().waits < 100, "it spins: {:?}", inner.stats());
}

/// Writes to itself when its timeout is reached.
struct Library((PipeReader, std::io::PipeWriter));

impl External for Library {
    type Event = ();

    fn step(&mut self, wishes: &mut Wishes<'_>, cause: Cause) {
        match cause {
            Cause::Joined => wishes.timeout(Some(wishes.now() + Duration::from_millis(6))),
            Cause::Timeout => {
                wishes.watch(1, self.0.0.as_fd(), Ready::READ, Mode::Level).unwrap();
                self.0.1.write_all(b"x").unwrap();
            }
            Cause::Ready { token: 1, .. } => wishes.leave(),
            other => panic!("{other:?}"),
        }
    }

    fn next_event(&mut self) -> Option<()> {
        // Told once: what it wrote is read.
        let ready = becket_sys::wait(&self.0.0, Ready::READ, Some(std::time::Instant::now())).unwrap().is_some();
        ready.then(|| self.0.0.read_exact(&mut [0]).unwrap())
    }
}
