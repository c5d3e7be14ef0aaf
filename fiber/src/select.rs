//! Waiting for the first of several things: [`select!`](crate::select!), and [`Select`] for a number that is known at
//! run time only.
//!
//! What is waited for is an [`Arm`], made by a method of what it is about. An arm that is not chosen takes nothing and
//! gives nothing. So dropping the whole at any time loses nothing, and a loop around it may make its arms anew each
//! time. `Option<A>` is an arm, too: `None` is never chosen.
//!
//! # All that waits
//!
//! Each call that waits, whether a cancel and a deadline end it, and the arm that waits for the same.
//!
//! | call | a cancel | a deadline | arm, and what comes out |
//! |---|---|---|---|
//! | `sleep`, `sleep_until` | ends it | ends it | [`after`], [`at`] |
//! | `Interval::tick` | ends it | ends it | [`on_tick`][tick]: the tick |
//! | `Io::wait`, and reads, writes, accepts of all over it | ends it | ends it | [`on_ready`][ready]: what it is ready for |
//! | `process::Child::wait` | ends it | ends it | `on_ready` for reading: then it does not wait |
//! | `timer::Timer::next` | ends it | ends it | `on_ready` for reading |
//! | `JoinHandle::join` | ends it | ends it | [`on_end`](JoinHandle::on_end): then it does not wait |
//! | `ScopedJoinHandle::join` | ends it | ends it | [`on_end`](ScopedJoinHandle::on_end): then it does not wait |
//! | `RemoteJoinHandle::join` | ends it | ends it | [`on_end`][remote]: then it does not wait |
//! | `Sender::send` | ends it | ends it | [`on_send`][send]: whether it was sent |
//! | `Receiver::recv` | ends it | ends it | [`on_recv`][recv]: the value; `None` where no sender is left |
//! | `ThreadSender::send` | ends it | ends it | [`on_send`][thread_send]: whether it was sent |
//! | `ThreadReceiver::recv` | ends it | ends it | [`on_recv`][thread_recv]: the value; `None` where no sender is left |
//! | `OneshotReceiver::recv` | ends it | ends it | [`on_recv`][oneshot]: the answer |
//! | `BroadcastReceiver::recv` | ends it | ends it | [`on_recv`][broadcast]: a value, or a loss |
//! | `WatchReceiver::changed` | ends it | ends it | [`on_change`][watch]: as of `changed` |
//! | `Mutex::lock` | ends it | ends it | [`on_lock`][mutex]: the guard |
//! | `RwLock::read` | ends it | ends it | [`on_read`][read]: the guard |
//! | `RwLock::write` | ends it | ends it | [`on_write`][write]: the guard |
//! | `Condvar::wait` | ends it | ends it | [`on_notify`][condvar] |
//! | `Semaphore::acquire` | ends it | ends it | [`on_permits`][permits]: the permit |
//! | `Event::wait` | ends it | ends it | [`on_set`][set] |
//! | `Notify::wait` | ends it | ends it | [`on_signal`][signal] |
//! | `Barrier::wait` | ends it | ends it | [`on_all`][barrier]: as of `wait` |
//! | `WaitGroup::wait` | ends it | ends it | [`on_done`][group] |
//! | `OnceCell::get_or_init` | ends it | ends it | [`on_value`][cell]: the value, which another fiber makes |
//! | `Once::call_once` | ends it | ends it | [`on_completed`][once] |
//! | a cancel | | | [`on_cancel`](crate::CancelToken::on_cancel) of a token |
//! | `block_on` | ends it | ends it | none: poll both in it |
//! | `net::resolve`, `TcpStream::connect` | ends it | ends it | none: spawn it, and `on_end` |
//! | `File::lock` | ends it | ends it | none: likewise |
//! | `unblock`, calls of `File` and `fs` | ends it where it has not begun | likewise | none: likewise |
//! | the end of a `scope` | reaches the children | each has its own | none |
//!
//! [tick]: crate::Interval::on_tick
//! [ready]: crate::Io::on_ready
//! [remote]: crate::RemoteJoinHandle::on_end
//! [send]: crate::sync::Sender::on_send
//! [recv]: crate::sync::Receiver::on_recv
//! [thread_send]: crate::sync::ThreadSender::on_send
//! [thread_recv]: crate::sync::ThreadReceiver::on_recv
//! [oneshot]: crate::sync::OneshotReceiver::on_recv
//! [broadcast]: crate::sync::BroadcastReceiver::on_recv
//! [watch]: crate::sync::WatchReceiver::on_change
//! [mutex]: crate::sync::Mutex::on_lock
//! [read]: crate::sync::RwLock::on_read
//! [write]: crate::sync::RwLock::on_write
//! [condvar]: crate::sync::Condvar::on_notify
//! [permits]: crate::sync::Semaphore::on_permits
//! [set]: crate::sync::Event::on_set
//! [signal]: crate::sync::Notify::on_signal
//! [barrier]: crate::sync::Barrier::on_all
//! [group]: crate::sync::WaitGroup::on_done
//! [cell]: crate::sync::OnceCell::on_value
//! [once]: crate::sync::Once::on_completed

use crate::JoinHandle;
use crate::park::{Here, Place, Reason, Token, Woken, earliest, in_callback, place};
use crate::record::Fiber;
use crate::scope::ScopedJoinHandle;
use crate::sync::list::{List, Node};
use arm::Wait;
use std::cell::Cell;
use std::fmt;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

pub(crate) mod arm {
    use super::{Here, Instant, Token, io};

    /// The way in which an arm's owner is told; only [`run`](super::run) has one.
    #[derive(Clone, Copy, Debug)]
    pub struct Turn {
        pub(crate) here: Option<Here>,
        pub(crate) token: Token,
    }

    /// What an arm can do. Outside of the crate nobody can name this, nor make a [`Turn`].
    pub trait Wait {
        /// Whether it can ever be chosen.
        fn is_enabled(&self) -> bool {
            true
        }

        /// Does it now if that needs no waiting; returns whether it was done.
        fn look(&self, turn: Turn) -> bool;

        /// Asks to be told, by the token of `turn`; returns when to end the wait anyhow.
        ///
        /// # Safety
        /// It must stay where it is until [`leave`](Self::leave) was called.
        unsafe fn enter(&self, turn: Turn) -> io::Result<Option<Instant>>;

        /// Takes that back; returns whether it was done meanwhile.
        fn leave(&self, turn: Turn) -> bool;

        /// It is not looked at again: what it was told of, and has not taken, is for others.
        fn pass_on(&self) {}
    }
}

/// Something that [`select!`](crate::select!) and [`Select`] can wait for; see the [module](self).
pub trait Arm: Wait {
    /// What comes out of it where it was chosen.
    type Output;

    /// What came out of it; `None` where it was not chosen.
    fn finish(self) -> Option<Self::Output>;
}

impl<A: Wait> Wait for Option<A> {
    fn is_enabled(&self) -> bool {
        self.as_ref().is_some_and(Wait::is_enabled)
    }

    fn look(&self, turn: arm::Turn) -> bool {
        self.as_ref().is_some_and(|arm| arm.look(turn))
    }

    unsafe fn enter(&self, turn: arm::Turn) -> io::Result<Option<Instant>> {
        match self {
            // SAFETY: the caller's promise.
            Some(arm) => unsafe { arm.enter(turn) },
            None => Ok(None),
        }
    }

    fn leave(&self, turn: arm::Turn) -> bool {
        self.as_ref().is_some_and(|arm| arm.leave(turn))
    }

    fn pass_on(&self) {
        self.iter().for_each(Wait::pass_on);
    }
}

impl<A: Arm> Arm for Option<A> {
    type Output = A::Output;

    fn finish(self) -> Option<A::Output> {
        self.and_then(Arm::finish)
    }
}

/// Waits for the first of `arms`, does that, and returns which it was; where `waits` is false, `None` instead of
/// waiting.
///
/// The references are exclusive so that no arm is there twice, nor in the hands of two fibers.
#[doc(hidden)]
pub fn run(arms: &[&mut dyn Wait], biased: bool, waits: bool) -> io::Result<Option<usize>> {
    let mut waited = false;
    let chosen = choose(arms, biased, waits, &mut waited);
    if waited {
        // They may stay for long before they are dropped.
        arms.iter().for_each(|arm| arm.pass_on());
    }
    chosen
}

fn choose(arms: &[&mut dyn Wait], biased: bool, waits: bool, waited: &mut bool) -> io::Result<Option<usize>> {
    let here = match place() {
        Place::Fiber(here) => {
            here.check()?;
            Some(here)
        }
        Place::Callback | Place::Thread => None,
    };
    if waits && !arms.iter().any(|arm| arm.is_enabled()) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "there is nothing to wait for"));
    }
    loop {
        let turn = arm::Turn { here, token: Token::NONE };
        if let Some(i) = Order::new(arms.len(), biased).find(|i| arms[*i].look(turn)) {
            return Ok(Some(i));
        }
        if !waits {
            return Ok(None);
        }
        let here = here.ok_or_else(|| match place() {
            Place::Callback => in_callback(),
            _ => io::Error::new(ErrorKind::Deadlock, "no fiber runs here that could be waited for"),
        })?;
        let wait = here.wait(Reason::new("the first of several"));
        let turn = arm::Turn { here: Some(here), token: wait.token() };
        *waited = true;
        let mut until = None;
        let mut entered = 0;
        let refused: io::Result<()> = arms.iter().try_for_each(|arm| {
            entered += 1;
            // SAFETY: the arms are borrowed, each once, until this returns, and all that were asked leave below.
            // Nothing in between unwinds; where the fiber is never resumed, its frames stay for ever, and with them
            // what they borrow.
            until = earliest(until, unsafe { arm.enter(turn) }?);
            Ok(())
        });
        let woken = match &refused {
            Ok(()) => wait.park(until),
            Err(_) => Woken::Event(0),
        };
        // All of them leave. One wake-up ends the wait, so that one at most was done.
        let mut done = None;
        for (i, arm) in arms.iter().enumerate().take(entered) {
            if arm.leave(turn) {
                done = Some(i);
            }
        }
        if done.is_some() {
            return Ok(done);
        }
        refused?;
        let arms_time = |at| here.fiber().deadline.get().is_none_or(|limit| at <= limit);
        if woken != Woken::Deadline || !until.is_some_and(arms_time) {
            here.event(woken)?;
        }
    }
}

/// The numbers below `n`, each once: shuffled where there are few, else from one on that chance chooses.
struct Order {
    n: usize,
    at: usize,
    first: usize,
    few: [u8; Order::FEW],
}

impl Order {
    const FEW: usize = 16;

    fn new(n: usize, biased: bool) -> Order {
        let mut order = Order { n, at: 0, first: 0, few: std::array::from_fn(|i| i as u8) };
        if biased || n < 2 {
        } else if n <= Order::FEW {
            (1..n).for_each(|i| order.few.swap(i, random(i + 1)));
        } else {
            order.first = random(n);
        }
        order
    }
}

impl Iterator for Order {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let at = self.at;
        self.at += 1;
        let rotated = || (at + self.first) % self.n;
        (at < self.n).then(|| if self.n <= Order::FEW { self.few[at].into() } else { rotated() })
    }
}

/// A number below `n`, for fairness.
fn random(n: usize) -> usize {
    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0x9E37_79B9_7F4A_7C15) };
    }
    let mut x = STATE.get();
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    STATE.set(x);
    (x >> 33) as usize % n
}

/// Waits for the first of any number of arms of any kinds.
///
/// Where several are ready one of them is chosen by chance. The arms are lent to it, each once, until it has waited:
/// then take out of the chosen one what came ([`Arm::finish`]).
///
/// ```
/// use becket_fiber::select::{Arm, Select};
/// use becket_fiber::{Runtime, spawn, sync::channel};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let (senders, receivers): (Vec<_>, Vec<_>) = (0..10).map(|_| channel(0)).unzip();
///     spawn(move || senders[7].send("seven").unwrap())?;
///     let mut arms: Vec<_> = receivers.iter().map(|receiver| receiver.on_recv()).collect();
///     let mut select = Select::new();
///     arms.iter_mut().for_each(|arm| drop(select.add(arm)));
///     let chosen = select.wait()?;
///     assert_eq!((chosen, arms.swap_remove(chosen).finish()), (7, Some(Some("seven"))));
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Nothing is added twice:
///
/// ```compile_fail,E0499
/// let mut arm = becket_fiber::select::after(std::time::Duration::ZERO);
/// let mut select = becket_fiber::select::Select::new();
/// select.add(&mut arm);
/// select.add(&mut arm);
/// select.wait().unwrap();
/// ```
#[derive(Default)]
pub struct Select<'a> {
    arms: Vec<&'a mut dyn Wait>,
    biased: bool,
}

impl<'a> Select<'a> {
    /// One without arms.
    pub fn new() -> Select<'a> {
        Select::default()
    }

    /// Where several arms are ready the one that was added first is chosen.
    pub fn biased(mut self) -> Select<'a> {
        self.biased = true;
        self
    }

    /// Adds an arm; returns its number, counted from 0.
    pub fn add(&mut self, arm: &'a mut impl Arm) -> usize {
        self.arms.push(arm);
        self.arms.len() - 1
    }

    /// Waits for the first; returns its number.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled); `TimedOut` for a deadline around; `InvalidInput` where no arm can ever be
    /// chosen; `Deadlock` where it would have to wait outside of a fiber; what waiting for a descriptor may fail with.
    /// None of the arms is chosen then.
    pub fn wait(self) -> io::Result<usize> {
        run(&self.arms, self.biased, true).map(|chosen| chosen.unwrap_or(usize::MAX))
    }

    /// The number of one that is ready, if one is.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled); `TimedOut`.
    pub fn try_wait(self) -> io::Result<Option<usize>> {
        run(&self.arms, self.biased, false)
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select").field("arms", &self.arms.len()).field("biased", &self.biased).finish()
    }
}

/// An arm that is chosen when a point in time is reached; see [`at`].
#[derive(Debug)]
pub struct At {
    /// `None` is never.
    at: Option<Instant>,
    reached: Cell<bool>,
}

impl At {
    pub(crate) fn new(at: Option<Instant>) -> At {
        At { at, reached: Cell::new(false) }
    }
}

/// The arm of a point in time: never before that.
pub fn at(at: Instant) -> At {
    At::new(Some(at))
}

/// As [`at`], counted from now. A duration beyond what an [`Instant`] can hold is never.
///
/// ```
/// use becket_fiber::{Runtime, select, sync::channel};
/// use std::time::{Duration, Instant};
///
/// let mut runtime = Runtime::new()?;
/// let start = Instant::now();
/// let got = runtime.run(|| {
///     let (_sender, receiver) = channel::<u8>(1);
///     select! {
///         value = receiver.on_recv() => value,
///         _ = select::after(Duration::from_millis(5)) => None,
///     }
/// })??;
/// assert!(got.is_none() && start.elapsed() >= Duration::from_millis(5));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn after(duration: Duration) -> At {
    let now = match place() {
        Place::Fiber(here) => here.now(),
        _ => Instant::now(),
    };
    At::new(now.checked_add(duration))
}

impl Wait for At {
    fn is_enabled(&self) -> bool {
        self.at.is_some()
    }

    fn look(&self, turn: arm::Turn) -> bool {
        let now = turn.here.map_or_else(Instant::now, Here::now);
        self.reached.set(self.at.is_some_and(|at| now >= at));
        self.reached.get()
    }

    unsafe fn enter(&self, _: arm::Turn) -> io::Result<Option<Instant>> {
        Ok(self.at)
    }

    fn leave(&self, _: arm::Turn) -> bool {
        false
    }
}

impl Arm for At {
    type Output = ();

    fn finish(self) -> Option<()> {
        self.reached.get().then_some(())
    }
}

/// What [`listed`] waits for.
pub(crate) trait Lists {
    fn list(&self) -> &List<()>;

    /// Whether it holds now; takes what there is to take.
    fn holds(&self) -> bool;
}

/// An arm for what a list of fibers is woken for, without anything that is handed over.
pub(crate) fn listed(of: &impl Lists) -> impl Arm<Output = ()> + '_ {
    Handed::new(of.list(), (), || of.holds().then_some(()), |()| (), || ())
}

/// An arm for what a list of fibers hands over with the wake-up, in order, with `D` for what each of them wants.
pub(crate) struct Handed<'a, D, T, Look, Take, Leave> {
    list: &'a List<D>,
    node: Node<D>,
    /// Takes it without waiting, if that is to be had.
    look: Look,
    /// Makes of it what comes out, once it was handed over.
    take: Take,
    /// Who left without it may have stood before somebody who can have it.
    leave: Leave,
    got: Cell<Option<T>>,
}

impl<'a, D, T, Look, Take, Leave> Handed<'a, D, T, Look, Take, Leave>
where
    Look: Fn() -> Option<T>,
    Take: Fn(&D) -> T,
    Leave: Fn(),
{
    pub(crate) fn new(list: &'a List<D>, want: D, look: Look, take: Take, leave: Leave) -> Self {
        Handed { list, node: Node::new(want), look, take, leave, got: Cell::new(None) }
    }
}

impl<D, T, Look, Take, Leave> Wait for Handed<'_, D, T, Look, Take, Leave>
where
    Look: Fn() -> Option<T>,
    Take: Fn(&D) -> T,
    Leave: Fn(),
{
    fn look(&self, _: arm::Turn) -> bool {
        let got = (self.look)();
        let done = got.is_some();
        self.got.set(got);
        done
    }

    unsafe fn enter(&self, turn: arm::Turn) -> io::Result<Option<Instant>> {
        // SAFETY: the caller's promise, for the node; the list is borrowed.
        unsafe { self.list.push(&self.node, turn.token) };
        Ok(None)
    }

    fn leave(&self, _: arm::Turn) -> bool {
        self.list.remove(&self.node);
        let done = self.node.fired();
        if done {
            self.got.set(Some((self.take)(&self.node.data)));
        } else {
            (self.leave)();
        }
        done
    }
}

impl<D, T, Look, Take, Leave> Arm for Handed<'_, D, T, Look, Take, Leave>
where
    Look: Fn() -> Option<T>,
    Take: Fn(&D) -> T,
    Leave: Fn(),
{
    type Output = T;

    fn finish(self) -> Option<T> {
        self.got.into_inner()
    }
}

/// An arm for what a list of fibers is told of, and each of them looks at by `look` when it runs.
pub(crate) struct Told<'a, F, T> {
    list: &'a List<()>,
    node: Node<()>,
    look: Cell<Option<F>>,
    got: Cell<Option<T>>,
}

impl<'a, F: FnMut() -> Option<T>, T> Told<'a, F, T> {
    pub(crate) fn new(list: &'a List<()>, look: F) -> Self {
        Told { list, node: Node::new(()), look: Cell::new(Some(look)), got: Cell::new(None) }
    }
}

impl<F: FnMut() -> Option<T>, T> Wait for Told<'_, F, T> {
    fn look(&self, _: arm::Turn) -> bool {
        let Some(mut look) = self.look.take() else { return false };
        let got = look();
        self.look.set(Some(look));
        let done = got.is_some();
        self.got.set(got);
        done
    }

    unsafe fn enter(&self, turn: arm::Turn) -> io::Result<Option<Instant>> {
        // SAFETY: the caller's promise, for the node; the list is borrowed.
        unsafe { self.list.push(&self.node, turn.token) };
        Ok(None)
    }

    fn leave(&self, turn: arm::Turn) -> bool {
        self.list.remove(&self.node);
        self.node.fired() && self.look(turn)
    }
}

impl<F: FnMut() -> Option<T>, T> Arm for Told<'_, F, T> {
    type Output = T;

    fn finish(self) -> Option<T> {
        self.got.into_inner()
    }
}

impl Lists for Fiber {
    fn list(&self) -> &List<()> {
        &self.joiners
    }

    fn holds(&self) -> bool {
        self.state.get() == crate::record::State::Finished
    }
}

impl<T> JoinHandle<T> {
    /// An arm that is chosen when the fiber has ended; [`join`](Self::join) does not wait then.
    ///
    /// ```
    /// use becket_fiber::{Runtime, select, sleep, spawn};
    /// use std::time::Duration;
    ///
    /// let mut runtime = Runtime::new()?;
    /// runtime.run(|| {
    ///     let (quick, slow) = (spawn(|| 1)?, spawn(|| sleep(Duration::from_secs(3600)))?);
    ///     select! {
    ///         () = quick.on_end() => assert_eq!(quick.join()?, 1),
    ///         () = slow.on_end() => unreachable!("it sleeps for an hour"),
    ///     }
    /// })??;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_end(&self) -> impl Arm<Output = ()> + '_ {
        listed(self.fiber())
    }
}

impl<T> ScopedJoinHandle<'_, T> {
    /// An arm that is chosen when the child has ended; [`join`](Self::join) does not wait then.
    pub fn on_end(&self) -> impl Arm<Output = ()> + '_ {
        listed(self.fiber())
    }
}

/// Waits for the first of several things, takes that, and goes on with what belongs to it.
///
/// Each arm is `pattern = arm => expression,` (no comma is needed after a block), where [arms](mod@crate::select) are
/// made by methods such as [`Receiver::on_recv`](crate::sync::Receiver::on_recv). The whole is an
/// [`io::Result`](std::io::Result) of what the chosen expression is: an error says that the fiber was cancelled or its
/// deadline is reached, and no arm was chosen.
///
/// - Where several are ready one of them is chosen by chance; after `biased;` at the beginning, the first of them.
/// - `pattern = arm, if condition => expression`: not considered where the condition does not hold.
/// - `default => expression` at the end is chosen where no arm is ready: then nothing is waited for.
/// - An arm that is not chosen takes nothing: no value is lost. All of them are dropped before the expression runs.
///
/// # Errors
/// As [`Select::wait`](crate::select::Select::wait).
///
/// ```
/// use becket_fiber::{Runtime, select, spawn, sync::channel};
/// use std::time::Duration;
///
/// let mut runtime = Runtime::new()?;
/// let sum = runtime.run(|| {
///     let (numbers, more) = channel(1);
///     let (stop, stopped) = channel(0);
///     spawn(move || {
///         (1..=4).for_each(|n| numbers.send(n).unwrap());
///         stop.send(()).unwrap();
///         numbers.send(5)
///     })?;
///     let mut sum = 0;
///     loop {
///         select! {
///             biased;
///             number = more.on_recv() => sum += number.unwrap_or(0),
///             _ = stopped.on_recv() => break,
///             _ = select::after(Duration::from_secs(20)) => unreachable!("nobody is as slow"),
///         }?;
///     }
///     Ok::<_, std::io::Error>(sum)
/// })??;
/// assert_eq!(sum, 10);
/// # Ok::<(), std::io::Error>(())
/// ```
#[macro_export]
macro_rules! select {
    (@arms $biased:tt [$($done:tt)*]) => {
        $crate::select!(@build $biased true [$($done)*] { ::core::unreachable!("an arm was chosen") })
    };
    (@arms $biased:tt [$($done:tt)*] default => $body:expr $(,)?) => {
        $crate::select!(@build $biased false [$($done)*] { $body })
    };
    (@arms $biased:tt [$($done:tt)*] $pattern:pat = $arm:expr, if $when:expr => $($rest:tt)+) => {
        $crate::select!(@body $biased [$($done)*] ($pattern) (if $when { Some($arm) } else { None }) $($rest)+)
    };
    (@arms $biased:tt [$($done:tt)*] $pattern:pat = $arm:expr => $($rest:tt)+) => {
        $crate::select!(@body $biased [$($done)*] ($pattern) ($arm) $($rest)+)
    };
    // A block ends an arm, as in a `match`.
    (@body $biased:tt [$($done:tt)*] $pattern:tt $arm:tt $body:block, $($rest:tt)*) => {
        $crate::select!(@arms $biased [$($done)* { arm out $pattern $arm ($body) }] $($rest)*)
    };
    (@body $biased:tt [$($done:tt)*] $pattern:tt $arm:tt $body:block $($rest:tt)*) => {
        $crate::select!(@arms $biased [$($done)* { arm out $pattern $arm ($body) }] $($rest)*)
    };
    (@body $biased:tt [$($done:tt)*] $pattern:tt $arm:tt $body:expr $(, $($rest:tt)*)?) => {
        $crate::select!(@arms $biased [$($done)* { arm out $pattern $arm ($body) }] $($($rest)*)?)
    };
    (
        @build $biased:tt $waits:tt
        [$({ $arm:ident $out:ident ($pattern:pat) ($make:expr) ($body:expr) })*]
        $default:block
    ) => {{
        $(let $out;)*
        let chosen = {
            $(let mut $arm = $make;)*
            let chosen = $crate::select::run(&[$(&mut $arm),*], $biased, $waits);
            $($out = $crate::select::Arm::finish($arm);)*
            chosen
        };
        #[allow(unreachable_code)]
        let result: ::std::io::Result<_> = match chosen {
            Err(error) => Err(error),
            Ok(_) => Ok($(if let Some(out) = $out { match out { $pattern => $body } } else)* $default),
        };
        result
    }};
    (@$($what:tt)*) => {
        ::core::compile_error!(
            "an arm of `select!` is `pattern = arm => expression,`; `default => expression` is the last"
        )
    };
    (biased; $($arms:tt)+) => { $crate::select!(@arms true [] $($arms)+) };
    ($($arms:tt)+) => { $crate::select!(@arms false [] $($arms)+) };
}
