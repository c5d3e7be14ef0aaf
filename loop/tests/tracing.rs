//! The events of the feature `tracing`, heard by a small subscriber.

use becket_loop::backend::Scripted;
use becket_loop::op::Call;
use becket_loop::{Loop, Next};
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

/// Writes a line for each event up to a level.
#[derive(Clone)]
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    level: Level,
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("becket_loop::") && *metadata.level() <= self.level
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line = Line(format!("{} {} {}", metadata.level(), metadata.target(), metadata.name()));
        event.record(&mut line);
        self.lines.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn heard(level: Level, f: impl FnOnce()) -> Vec<String> {
    let lines = Lines { lines: Arc::default(), level };
    tracing::subscriber::with_default(lines.clone(), f);
    std::mem::take(&mut *lines.lines.lock().unwrap())
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn turns_and_calls_are_told_to_whom_wants_them() {
    let (backend, script) = Scripted::new();
    let mut event_loop: Loop<()> = Loop::with_backend(backend);
    let run = |event_loop: &mut Loop<()>| {
        let clock = script.clone();
        let id = event_loop.after(ms(1), move |_, _| Ok(clock.pass(ms(2))));
        event_loop.set_name(id, "once");
        event_loop.defer(|_, _| Ok(()));
        event_loop.run(&mut ()).unwrap();
    };
    let expected = [
        "TRACE becket_loop::callback callback kind=\"loose\" took_us=0.0",
        "TRACE becket_loop::turn turn waits=1 events=0 callbacks=1 worked_us=0.0",
        "TRACE becket_loop::callback callback id=#0.0 name=\"once\" kind=\"timer\" took_us=2000.0",
        "TRACE becket_loop::turn turn waits=2 events=0 callbacks=2 worked_us=2000.0",
    ];
    assert_eq!(heard(Level::TRACE, || run(&mut event_loop)), expected);
    assert_eq!(heard(Level::DEBUG, || run(&mut event_loop)), [""; 0]);
    assert_eq!(event_loop.snapshot().since, None, "it is not observed for that");
    let again = heard(Level::TRACE, || run(&mut event_loop));
    assert_eq!(again.len(), 4);
    assert!(again[2].starts_with("TRACE becket_loop::callback callback id=#0.2"));
}

#[test]
fn faults_and_slow_callbacks_are_warnings() {
    let (backend, script) = Scripted::new();
    let mut event_loop: Loop<()> = Loop::with_backend(backend);
    event_loop.on_error(|_, _, _| {});
    event_loop.on_slow(ms(5), |_, _, _| {});
    let id = event_loop.every(ms(1), move |_, _, _| {
        script.pass(ms(6));
        Err("no paper".into())
    });
    event_loop.set_name(id, "printer");
    event_loop.submit(Call::new(|| ()), |_, _, _| Err("late".into()));
    let mut lines = heard(Level::INFO, || drop(event_loop.run(&mut ())));
    lines.sort_unstable();
    let expected = [
        "WARN becket_loop::fault fault id=#0.0 name=\"printer\" error=no paper",
        "WARN becket_loop::fault fault id=#1.0 error=late",
        "WARN becket_loop::slow slow id=#0.0 name=\"printer\" kind=\"timer\" took_us=6000.0",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn what_the_backend_refuses_is_an_error() {
    /// A wait that fails.
    struct Broken(Scripted);
    use becket_loop::backend::{Backend, Batch, Caps, Fd, Key, Waker};
    use becket_loop::{Mode, Ready};
    use std::io;
    use std::time::Instant;
    #[allow(unsafe_code, reason = "it takes no operation")]
    // SAFETY: it takes no operation, and pushes the end of none.
    unsafe impl Backend for Broken {
        fn caps(&self) -> Caps {
            self.0.caps()
        }
        fn add(&mut self, fd: Fd<'_>, key: Key, want: Ready, mode: Mode) -> io::Result<()> {
            self.0.add(fd, key, want, mode)
        }
        fn change(&mut self, fd: Fd<'_>, key: Key, want: Ready, mode: Mode) -> io::Result<()> {
            self.0.change(fd, key, want, mode)
        }
        fn remove(&mut self, fd: Fd<'_>, key: Key) -> io::Result<()> {
            self.0.remove(fd, key)
        }
        fn wait(&mut self, _: &mut Batch, _: Option<Instant>) -> io::Result<()> {
            Err(io::Error::other("out of order"))
        }
        fn waker(&self) -> Waker {
            self.0.waker()
        }
    }
    let mut event_loop: Loop<()> = Loop::with_backend(Broken(Scripted::new().0));
    event_loop.every(ms(1), |_, _, _| Ok(Next::Keep));
    let lines = heard(Level::ERROR, || drop(event_loop.turn(&mut (), None).unwrap_err()));
    assert_eq!(lines, ["ERROR becket_loop::backend wait error=out of order"]);
}
