use super::list::List;
use super::{check, fiber};
use crate::park::{Place, Woken, place};
use crate::select::{Arm, Told};
use std::cell::{self, Cell};
use std::convert::Infallible;
use std::{fmt, io};

/// A value that the first fiber who needs it makes, while the others wait for it.
///
/// Making it may wait. Where that fails or panics, the next one tries.
///
/// ```
/// use becket_fiber::{Runtime, scope, sleep, sync::OnceCell};
/// use std::{io, time::Duration};
///
/// let mut runtime = Runtime::new()?;
/// let address = OnceCell::new();
/// let look_up = || sleep(Duration::from_millis(1)).map(|()| "192.0.2.1");
/// runtime.run(|| {
///     scope(|s| {
///         let first = s.spawn(|| address.get_or_try_init(look_up).copied())?;
///         let second = s.spawn(|| address.get_or_try_init(|| Err(io::Error::other("one is enough"))).copied())?;
///         assert_eq!((first.join()??, second.join()??), ("192.0.2.1", "192.0.2.1"));
///         Ok::<_, io::Error>(())
///     })
/// })??;
/// assert_eq!(address.get(), Some(&"192.0.2.1"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct OnceCell<T> {
    value: cell::OnceCell<T>,
    maker: Cell<Option<Maker>>,
    /// Who can make it where the maker fails.
    waiting: List<()>,
    /// Who cannot.
    watching: List<()>,
}

/// The scheduler and the number of a fiber; zeros are code that runs in none.
type Maker = (u32, u64);

fn me() -> Maker {
    match place() {
        Place::Fiber(here) => (here.core().id, here.fiber().id.get()),
        Place::Callback | Place::Thread => (0, 0),
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        let (waiting, watching) = (List::default(), List::default());
        OnceCell { value: cell::OnceCell::new(), maker: Cell::new(None), waiting, watching }
    }
}

impl<T> OnceCell<T> {
    /// One without a value.
    pub fn new() -> OnceCell<T> {
        OnceCell::default()
    }

    /// The value, if it was made.
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, if it was made.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// The value, if it was made.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Puts a value in; those who wait get it. The value that somebody just makes is dropped then.
    ///
    /// # Errors
    /// The value, back, where there is one.
    pub fn set(&self, value: T) -> Result<(), T> {
        self.value.set(value)?;
        self.tell();
        Ok(())
    }

    /// An arm of [`select!`](crate::select!) that is chosen when there is a value; out comes that. It makes none, and
    /// waits on where making it fails.
    pub fn on_value(&self) -> impl Arm<Output = &T> + '_ {
        Told::new(&self.watching, || self.get())
    }

    fn tell(&self) {
        self.waiting.wake_all();
        self.watching.wake_all();
    }

    /// The value, which `f` makes where there is none. While another fiber makes it, waits for that.
    ///
    /// # Errors
    /// Those of the wait: [`Cancelled`](crate::Cancelled); `TimedOut`; `Deadlock` where `f` itself asks for the value,
    /// or outside of a fiber.
    pub fn get_or_init(&self, f: impl FnOnce() -> T) -> io::Result<&T> {
        self.get_or_make(|| Ok::<T, Infallible>(f())).map(|made| match made {
            Ok(value) => value,
            Err(never) => match never {},
        })
    }

    /// As [`get_or_init`](Self::get_or_init), where `f` can fail: then the next who waits tries its own.
    ///
    /// # Errors
    /// Those of `f`, and those of [`get_or_init`](Self::get_or_init).
    pub fn get_or_try_init<E: From<io::Error>>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        self.get_or_make(f)?
    }

    fn get_or_make<E>(&self, f: impl FnOnce() -> Result<T, E>) -> io::Result<Result<&T, E>> {
        check()?;
        loop {
            if let Some(value) = self.get() {
                return Ok(Ok(value));
            }
            let me = me();
            match self.maker.get() {
                None => {
                    self.maker.set(Some(me));
                    let _makes = Makes(self);
                    return Ok(f().map(|value| self.value.get_or_init(|| value)));
                }
                Some(maker) if maker == me => {
                    let recursion = "the value is needed to make it";
                    return Err(io::Error::new(io::ErrorKind::Deadlock, recursion));
                }
                Some(_) => {
                    let here = fiber()?;
                    let (woken, ()) = self.waiting.wait(here, "a value that another fiber makes", ());
                    if self.get().is_none() && !matches!(woken, Woken::Event(_)) {
                        here.event(woken)?;
                    }
                }
            }
        }
    }
}

/// However making it ends, the next may have a look.
struct Makes<'a, T>(&'a OnceCell<T>);

impl<T> Drop for Makes<'_, T> {
    fn drop(&mut self) {
        self.0.maker.set(None);
        if self.0.get().is_some() {
            self.0.tell();
        } else {
            self.0.waiting.wake_one();
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceCell").field(&self.get()).finish()
    }
}

/// Something that is done once; who comes while it is being done waits for it.
///
/// ```
/// use becket_fiber::{Runtime, sync::Once};
///
/// let mut runtime = Runtime::new()?;
/// let (once, mut calls) = (Once::new(), 0);
/// runtime.run(|| (0..3).try_for_each(|_| once.call_once(|| calls += 1)))??;
/// assert!(once.is_completed() && calls == 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Once {
    done: OnceCell<()>,
}

impl Once {
    /// One that is still to be done.
    pub fn new() -> Once {
        Once::default()
    }

    /// Calls `f`, unless that was done; where another fiber does it, waits until it is done. A panic of `f` counts as
    /// not done.
    ///
    /// # Errors
    /// As [`OnceCell::get_or_init`].
    pub fn call_once(&self, f: impl FnOnce()) -> io::Result<()> {
        self.done.get_or_init(f).copied()
    }

    /// An arm of [`select!`](crate::select!) that is chosen when it was done.
    pub fn on_completed(&self) -> impl Arm<Output = &()> + '_ {
        self.done.on_value()
    }

    /// Whether it was done.
    pub fn is_completed(&self) -> bool {
        self.done.get().is_some()
    }
}
