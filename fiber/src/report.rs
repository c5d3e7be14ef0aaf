//! What the fibers of a runtime are doing, with backtraces: as text, as JSON, on a signal, over a socket.

use crate::context::{Noted, Switch};
use crate::list::list;
use crate::net::{Address, UnixListener, UnixStream};
use crate::park::{Place, Reason, in_callback, place};
use crate::record::{Fiber, State};
use crate::sched::{Core, current_core};
use crate::signal::Signal;
use crate::{FiberInfo, FiberState, Remote, Runtime, spawn_named};
use becket_loop::Next;
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How much of its stack a fiber must have left to be asked for its backtrace. Unwinding takes about a quarter of it.
pub(crate) const ROOM: usize = 16 * 1024;

/// The fibers of a runtime at one time, perhaps with their backtraces: [`report`], [`Runtime::report`],
/// [`Remote::report`].
///
/// It prints as text, a fiber and its frames below each other; [`to_json`](Self::to_json) gives the same to programs.
///
/// ```
/// use becket_fiber::{Runtime, report, sleep, spawn_named, yield_now};
/// use std::time::Duration;
///
/// fn doze() -> std::io::Result<()> {
///     sleep(Duration::from_secs(3600))
/// }
///
/// let mut runtime = Runtime::new()?;
/// let report = runtime.run(|| {
///     let sleeper = spawn_named("sleeper", doze)?;
///     yield_now();
///     let report = report(true)?;
///     sleeper.cancel();
///     Ok::<_, std::io::Error>(report)
/// })??;
/// assert_eq!(report.fibers[1].info.name.as_deref(), Some("sleeper"));
/// let text = report.to_string();
/// assert!(text.contains("fiber 2 sleeper: waits: sleep") && text.contains("doze"), "{text}");
/// assert!(report.to_json().contains(r#""name":"sleeper","state":"waiting""#));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// When it was made.
    pub at: Instant,
    /// The name of the runtime's thread.
    pub thread: Option<String>,
    /// The fibers, in the order of their records.
    pub fibers: Vec<FiberReport>,
}

/// A fiber in a [`Report`].
///
/// ```
/// use becket_fiber::{Runtime, report};
///
/// let report = Runtime::new()?.run(|| report(false))??;
/// assert_eq!(report.fibers[0].info.id, 1);
/// assert!(report.fibers[0].frames.is_none()); // nobody has asked
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FiberReport {
    /// What it does.
    pub info: FiberInfo,
    /// The functions that it is in, the innermost first, with the place in the source where the program has that
    /// information. `None` where they were not asked for, where it has not begun, where less than 16 KiB of its stack
    /// are left, and where it stands in a coroutine of another library.
    pub frames: Option<Vec<String>>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} fibers on thread {}", self.fibers.len(), self.thread.as_deref().unwrap_or("(no name)"))?;
        for fiber in &self.fibers {
            writeln!(f, "{}", fiber.info)?;
            for frame in fiber.frames.iter().flatten() {
                writeln!(f, "    {frame}")?;
            }
        }
        Ok(())
    }
}

impl Report {
    /// As one line of JSON: an object of
    ///
    /// - `process`, its id, and `thread`, its name or `null`;
    /// - `fibers`: an array of objects, each of `id`, `name` (or `null`), `state` (`running`, `runnable` or `waiting`),
    ///   `waits_for` and `descriptor`, `joins` (the id of a fiber), `object` (an address), `waits_ns`, `until_in_ns`,
    ///   `deadline_in_ns`, each `null` where there is none; `cancelled`; `stack_bytes` and `stack_used_bytes` (or
    ///   `null`); and `frames`, an array of strings, or `null`.
    ///
    /// Times that are past are 0.
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = self.write_json(&mut text);
        text
    }

    fn write_json(&self, f: &mut String) -> fmt::Result {
        let optional = |f: &mut String, key: &str, value: Option<u128>| match value {
            Some(value) => write!(f, r#","{key}":{value}"#),
            None => write!(f, r#","{key}":null"#),
        };
        write!(f, r#"{{"process":{},"thread":"#, std::process::id())?;
        text_or_null(f, self.thread.as_deref());
        f.push_str(r#","fibers":["#);
        for (n, FiberReport { info, frames }) in self.fibers.iter().enumerate() {
            write!(f, r#"{}{{"id":{},"name":"#, if n > 0 { "," } else { "" }, info.id)?;
            text_or_null(f, info.name.as_deref());
            let (state, what, fd) = match info.state {
                FiberState::Running => ("running", None, None),
                FiberState::Runnable => ("runnable", None, None),
                FiberState::Waiting(what, fd) => ("waiting", Some(what), fd),
            };
            write!(f, r#","state":"{state}","waits_for":"#)?;
            text_or_null(f, what);
            let ahead = |at: Option<Instant>| at.map(|at| at.saturating_duration_since(self.at).as_nanos());
            optional(f, "descriptor", fd.and_then(|fd| u128::try_from(fd).ok()))?;
            optional(f, "joins", info.joins.map(u128::from))?;
            optional(f, "object", info.object.map(|at| at as u128))?;
            optional(f, "waits_ns", info.since.map(|at| self.at.saturating_duration_since(at).as_nanos()))?;
            optional(f, "until_in_ns", ahead(info.until))?;
            optional(f, "deadline_in_ns", ahead(info.deadline))?;
            write!(f, r#","cancelled":{},"stack_bytes":{}"#, info.cancelled, info.stack_size)?;
            optional(f, "stack_used_bytes", info.stack_used.map(|n| n as u128))?;
            f.push_str(r#","frames":"#);
            match frames {
                None => f.push_str("null"),
                Some(frames) => {
                    f.push('[');
                    for (n, frame) in frames.iter().enumerate() {
                        f.push_str(if n > 0 { "," } else { "" });
                        text_or_null(f, Some(frame));
                    }
                    f.push(']');
                }
            }
            f.push('}');
        }
        f.push_str("]}");
        Ok(())
    }
}

/// A JSON string (RFC 8259, 7).
fn text_or_null(f: &mut String, text: Option<&str>) {
    let Some(text) = text else { return f.push_str("null") };
    f.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => f.extend(['\\', c]),
            '\u{0}'..='\u{1f}' => drop(write!(f, "\\u{:04x}", u32::from(c))),
            _ => f.push(c),
        }
    }
    f.push('"');
}

/// The fibers of the runtime on this thread, with their backtraces if asked for.
///
/// For its backtrace each fiber is switched to once more, captures it where it waits, and goes on waiting; none of them
/// notices. In a fiber this lets others run first; in a callback it does not. See [`fibers`](crate::fibers) for a list
/// without that.
///
/// # Errors
/// [`Cancelled`](crate::Cancelled); `TimedOut`; `Unsupported` where no runtime runs.
pub fn report(backtraces: bool) -> io::Result<Report> {
    match place() {
        Place::Thread => Err(io::Error::new(io::ErrorKind::Unsupported, "no runtime runs on this thread")),
        Place::Callback => {
            // SAFETY: it is entered on this thread.
            let core = current_core().map(|core| unsafe { core.as_ref() });
            // Inside of `with_ctx` this is the stack of a fiber.
            let core = core.filter(|core| core.current().is_none()).ok_or_else(in_callback)?;
            Ok(make(core, backtraces))
        }
        Place::Fiber(here) => {
            here.check()?;
            if !backtraces {
                return Ok(make(here.core(), false));
            }
            // The others can be switched to by the loop, not from this stack.
            let made = Rc::new(RefCell::new(None));
            let (own, result) = (here.fiber().id.get(), Rc::clone(&made));
            let wait = here.wait(Reason::new("report"));
            let token = wait.token();
            let call = move |(): &mut (), _: &mut becket_loop::Ctx<()>| {
                if let Some(core) = current_core() {
                    // SAFETY: its loop dispatches, so it is entered.
                    let mut report = make(unsafe { core.as_ref() }, true);
                    // It is the one that asks.
                    for fiber in report.fibers.iter_mut().filter(|f| f.info.id == own) {
                        fiber.info.state = FiberState::Running;
                    }
                    *result.borrow_mut() = Some(report);
                }
                token.wake(0);
                Ok(())
            };
            here.core().with_ctx(|ctx| ctx.defer(call));
            let woken = wait.park(None);
            here.event(woken)?;
            let report = made.borrow_mut().take();
            report.ok_or_else(|| io::Error::other("the report was not made"))
        }
    }
}

fn make(core: &Core, backtraces: bool) -> Report {
    let mut fibers: Vec<_> = list(core).into_iter().map(|info| FiberReport { info, frames: None }).collect();
    if backtraces {
        let mut all = fibers.iter_mut();
        core.table.for_each(|fiber| {
            if !matches!(fiber.state.get(), State::Free | State::Finished)
                && let Some(report) = all.next()
            {
                report.frames = core.trace(fiber).map(|trace| frames(&trace.to_string()));
            }
        });
    }
    Report { at: Instant::now(), thread: thread::current().name().map(str::to_owned), fibers }
}

/// What is to be asked of a fiber, and its answer.
#[derive(Default)]
pub(crate) struct Tracing {
    asked: std::cell::Cell<bool>,
    answer: RefCell<Option<Backtrace>>,
}

impl Tracing {
    /// Whether a fiber that was resumed is asked for its backtrace, and is to suspend again.
    #[inline(always)]
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.get()
    }

    /// On the stack of that fiber.
    #[cold]
    #[inline(never)]
    pub(crate) fn answer(&self, room: bool) {
        let trace = room.then(Backtrace::force_capture);
        *self.answer.borrow_mut() = trace;
    }
}

impl Core {
    /// Notes of a fiber that it suspends, and from where.
    #[cold]
    pub(crate) fn note_suspended(&self, fiber: &Fiber) {
        let used = fiber.switch().and_then(Switch::used);
        let noted = Noted { id: fiber.id.get(), since: self.with_ctx(|ctx| ctx.now()), used };
        // SAFETY: only `spawn` and `finish` change it, of fibers that do not run.
        if let Some(context) = unsafe { &*fiber.context.get() } {
            context.note(noted);
        }
    }

    /// Switches to a fiber that is suspended, for its backtrace. To be called by the scheduler or in its loop's
    /// callbacks, on the thread's own stack.
    fn trace(&self, fiber: &Fiber) -> Option<Backtrace> {
        if !matches!(fiber.state.get(), State::Parked | State::Queued) {
            return None;
        }
        // SAFETY: only `spawn` and `finish` change it, neither of which happens meanwhile.
        let context = unsafe { &*fiber.context.get() }.as_ref()?;
        if !context.has_begun() {
            return None;
        }
        self.tracing.asked.set(true);
        // SAFETY: a task is suspended there, by `Here::suspend`, which answers and suspends again; the caller is on
        // the thread's own stack.
        let ended = unsafe { context.resume() };
        self.tracing.asked.set(false);
        debug_assert!(!ended);
        self.tracing.answer.borrow_mut().take()
    }
}

/// The frames in the text of a backtrace, without those that took it and those under the fiber's first.
fn frames(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        match line.strip_prefix("at ") {
            Some(place) => all.last_mut().into_iter().for_each(|frame| *frame += &format!(" at {place}")),
            None => all.push(line.split_once(": ").map_or(line, |(_, name)| name).to_owned()),
        }
    }
    let took = all.iter().position(|frame| frame.contains("becket_fiber::report::Tracing"));
    let taken = took.map_or(0, |at| at + 1);
    let first = taken + all[taken..].iter().take_while(|frame| is_of(frame, "becket_fiber::park::", "park.rs")).count();
    all.drain(..if first < all.len() { first } else { 0 });
    above_the_root(all)
}

/// Leaves out the frames under a fiber's first.
pub(crate) fn above_the_root(mut frames: Vec<String>) -> Vec<String> {
    let module = "becket_fiber::context::";
    let end = frames.iter().position(|frame| {
        let name = frame.strip_prefix(module).unwrap_or(frame);
        let is_root = ["root", "run_inline", "run_boxed"].iter().any(|under| name.starts_with(under));
        is_root && is_of(frame, module, "context/mod.rs")
    });
    frames.truncate(end.filter(|end| *end > 0).unwrap_or(frames.len()));
    frames
}

/// Whether a frame is of a module of this crate. Where debug information is of lines alone, what was inlined has lost
/// the path in its name, and only says where it stands.
fn is_of(frame: &str, module: &str, file: &str) -> bool {
    frame.contains(module) || frame.contains(&format!("/src/{file}:"))
}

/// Looking inside; see also [`fibers`](Runtime::fibers).
impl Runtime {
    /// Whether to note since when each fiber waits and how much of its stack it uses then. Off by default; it costs a
    /// few nanoseconds at each wait.
    ///
    /// ```
    /// use becket_fiber::{Runtime, sleep, spawn, yield_now};
    /// use std::time::Duration;
    ///
    /// let mut runtime = Runtime::new()?;
    /// runtime.observe(true);
    /// let all = runtime.run(|| {
    ///     let sleeper = spawn(|| sleep(Duration::from_secs(3600)))?;
    ///     yield_now();
    ///     Ok::<_, std::io::Error>(becket_fiber::fibers())
    /// })??;
    /// assert!(all[1].since.is_some());
    /// assert!(all[1].stack_used.is_some_and(|bytes| bytes < all[1].stack_size));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn observe(&mut self, on: bool) {
        self.core.observed.set(on);
    }

    /// The fibers, with their backtraces if asked for; see [`report`].
    pub fn report(&mut self, backtraces: bool) -> Report {
        make(&self.core, backtraces)
    }

    /// Calls `f` with a [`report`], backtraces included, whenever the process gets `signal`, while the runtime runs.
    /// Begins to [observe](Self::observe).
    ///
    /// The signal is blocked in this thread, and must be blocked in all others: do this before they start. `f` is a
    /// callback of the loop, which cannot wait. A std `Mutex` that some fiber holds while it waits shows here as one
    /// that waits inside of a function that should not; but when another fiber blocks the thread on it, nothing runs
    /// any more, this included: for that there is [`on_stall`](Self::on_stall).
    ///
    /// # Errors
    /// `EINVAL` for SIGKILL and SIGSTOP; `EMFILE`, `ENFILE`, `ENOMEM`.
    ///
    /// ```
    /// use becket_fiber::signal::{Signal, raise};
    /// use becket_fiber::{Runtime, sleep};
    /// use std::time::Duration;
    ///
    /// let mut runtime = Runtime::new()?;
    /// let (sender, reports) = std::sync::mpsc::channel();
    /// runtime.report_on_signal(Signal::USR1, move |report| drop(sender.send(report)))?; // or eprint it
    /// runtime.run(|| {
    ///     raise(Signal::USR1)?;
    ///     sleep(Duration::from_millis(5))
    /// })??;
    /// assert_eq!(reports.recv().unwrap().fibers[0].info.name.as_deref(), Some("main"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "SIGUSR1")]
    pub fn report_on_signal(&mut self, signal: Signal, mut f: impl FnMut(Report) + 'static) -> io::Result<()> {
        let signals = becket_sys::signal::Signals::new(signal)?;
        let call = move |(): &mut (), _: &mut becket_loop::Ctx<()>, _: becket_sys::signal::SigInfo| {
            f(report(true)?);
            Ok(Next::Keep)
        };
        self.ctx().on(signals, call).map_err(|refused| io::Error::other(refused.to_string()))?;
        self.observe(true);
        Ok(())
    }

    /// Serves reports at a unix socket, from a fiber named `inspector`: to each line `fibers` or `backtraces` it
    /// answers with a line of [JSON](Report::to_json), to any other with an object that has an `error`. Begins to
    /// [observe](Self::observe).
    ///
    /// A socket that a dead process has left at `path` is replaced. The socket is removed when the fiber ends, with the
    /// runtime. Who can connect is a matter of the permissions of the file, which umask(2) restricts, and of its
    /// folder; one who can sees the names of fibers and functions, and makes every fiber run for a moment.
    ///
    /// The program `fiber_top` among the examples shows what is served.
    ///
    /// # Errors
    /// Those of binding: `EADDRINUSE` where somebody listens there, `EACCES`, `ENOENT` for the folder; `InvalidInput`
    /// for a path that is too long; a fiber cannot be made.
    ///
    /// ```
    /// use becket_fiber::Runtime;
    /// use becket_fiber::net::{Address, UnixStream};
    /// use std::io::{BufRead, BufReader, Write};
    ///
    /// let path = std::env::temp_dir().join(format!("becket-report-{}", std::process::id()));
    /// let mut runtime = Runtime::new()?;
    /// runtime.serve_reports(&path)?;
    /// let line = runtime.run(|| {
    ///     let mut stream = UnixStream::connect(&Address::pathname(&path)?)?;
    ///     stream.write_all(b"fibers\n")?;
    ///     let mut line = String::new();
    ///     BufReader::new(stream).read_line(&mut line)?;
    ///     Ok::<_, std::io::Error>(line)
    /// })??;
    /// assert!(line.contains(r#""name":"inspector""#));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn serve_reports(&mut self, path: impl AsRef<Path>) -> io::Result<()> {
        let address = Address::pathname(path)?;
        let listener = becket_sys::unix::Listener::builder().replace_stale(true).unlink_on_drop(true).bind(&address)?;
        let listener = UnixListener::try_from(listener)?;
        self.observe(true);
        let inspector = crate::Builder::new().name("inspector");
        inspector.spawn_on(self.core.clone(), move || {
            // A cancel ends it.
            while let Ok((stream, _)) = listener.accept() {
                // One that cannot be had now: the client sees the end.
                let _ = spawn_named("inspector's client", move || answer(&stream));
            }
        })?;
        Ok(())
    }
}

fn answer(stream: &UnixStream) -> io::Result<()> {
    for line in BufReader::new(stream).lines() {
        let mut answer = match line?.trim() {
            "fibers" => report(false)?.to_json(),
            "backtraces" => report(true)?.to_json(),
            _ => r#"{"error":"there are: fibers, backtraces"}"#.to_owned(),
        };
        answer.push('\n');
        { stream }.write_all(answer.as_bytes())?;
    }
    Ok(())
}

impl Remote {
    /// The fibers of the runtime, asked for by another thread, which waits for the answer up to `limit`; see
    /// [`report`].
    ///
    /// # Errors
    /// `BrokenPipe` where the runtime is gone; `TimedOut` where it does not answer, because it does not run or a fiber
    /// does not let go of it.
    ///
    /// ```
    /// use becket_fiber::{Runtime, sleep};
    /// use std::time::Duration;
    ///
    /// let mut runtime = Runtime::new()?;
    /// let remote = runtime.remote();
    /// let other = std::thread::spawn(move || remote.report(true, Duration::from_secs(60)));
    /// runtime.run(|| {
    ///     while !other.is_finished() {
    ///         sleep(Duration::from_millis(1))?;
    ///     }
    ///     Ok::<_, std::io::Error>(())
    /// })??;
    /// assert!(other.join().unwrap()?.to_string().contains("fiber 1 main"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn report(&self, backtraces: bool, limit: Duration) -> io::Result<Report> {
        let (sender, answer) = mpsc::sync_channel(1);
        let posted = self.post(move || {
            // Where nobody waits any more it is dropped.
            let _ = report(backtraces).map(|report| sender.try_send(report));
        });
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the runtime is gone");
        if !posted {
            return Err(gone());
        }
        answer.recv_timeout(limit).map_err(|e| match e {
            mpsc::RecvTimeoutError::Timeout => io::ErrorKind::TimedOut.into(),
            mpsc::RecvTimeoutError::Disconnected => gone(),
        })
    }
}
