//! The one suite that every backend passes: epoll (with an io_uring where that is offered, and without), poll(2), the
//! scripted one, and those that are features. They differ by what their `caps` say alone.

mod chaos;
mod externals;
mod fairness;
mod guards;
mod life;
mod operations;
mod programs;
mod sources;
mod timers;
mod turns;

#[cfg(feature = "polling")]
use becket_loop::backend::Polling;
#[cfg(feature = "uring")]
use becket_loop::backend::Uring;
use becket_loop::backend::{Backend, Completions, Epoll, Poll, Script, Scripted};
use becket_loop::{Loop, Ready};
use becket_sys::event::Event;
use std::rc::Rc;
use std::time::Duration;

/// Longer than anything here takes: a test that would wait for ever fails instead.
const LONG: Duration = Duration::from_secs(20);

/// A loop over one of the backends, and what makes descriptors ready on it.
struct World<S> {
    event_loop: Loop<S>,
    script: Option<Script>,
    /// Whether a look without a wait may miss, until the next one, what became ready just before.
    misses: bool,
}

impl<S: 'static> World<S> {
    fn real(backend: impl Backend + 'static) -> Self {
        World { event_loop: Loop::with_backend(backend), script: None, misses: false }
    }

    fn scripted() -> Self {
        let (backend, script) = Scripted::new();
        World { event_loop: Loop::with_backend(backend), script: Some(script), misses: false }
    }

    /// `None`, and says so, where io_uring is not to be had.
    #[cfg(feature = "uring")]
    fn uring(test: &str, exposed: bool) -> Option<Self> {
        let made = Uring::new().and_then(|mut uring| {
            if exposed {
                uring.expose()?;
            }
            Ok(uring)
        });
        match made {
            Ok(uring) => Some(World { misses: exposed, ..Self::real(uring) }),
            Err(e) => {
                println!("SKIP: {test}: no io_uring here: {e}");
                None
            }
        }
    }

    fn probe(&self) -> Probe {
        Probe { event: Rc::new(Event::new().unwrap()), script: self.script.clone() }
    }
}

/// A source that the test makes ready and unready.
#[derive(Debug, Clone)]
struct Probe {
    event: Rc<Event>,
    script: Option<Script>,
}

impl Probe {
    fn raise(&self) {
        self.event.add(1).unwrap();
        if let Some(script) = &self.script {
            script.raise(&*self.event, Ready::READ);
        }
    }

    fn lower(&self) {
        self.event.try_read().unwrap();
        if let Some(script) = &self.script {
            script.lower(&*self.event, Ready::READ);
        }
    }

    /// What is registered: the loop keeps one handle, the test another.
    fn source(&self) -> Rc<Event> {
        Rc::clone(&self.event)
    }
}

/// Runs a test's function, generic over the state, on each backend.
macro_rules! on_every_backend {
    ($($(#[$attribute:meta])* fn $name:ident($world:ident: $type:ty) $body:block)*) => {$(
        mod $name {
            use super::*;

            #[allow(unused_mut, reason = "some bodies give the loop away whole")]
            fn body(mut $world: $type) $body

            #[test]
            $(#[$attribute])*
            fn epoll() {
                body(World::real(Epoll::new().unwrap()));
            }

            #[test]
            $(#[$attribute])*
            fn epoll_and_threads() {
                body(World::real(Epoll::with_completions(Completions::HelperThreads).unwrap()));
            }

            #[test]
            $(#[$attribute])*
            fn poll() {
                body(World::real(Poll::new().unwrap()));
            }

            #[test]
            #[cfg(feature = "uring")]
            $(#[$attribute])*
            fn uring() {
                World::uring(concat!(module_path!(), "::uring"), false).into_iter().for_each(body);
            }

            // With the ring that it has inside another loop, and before Linux 6.1.
            #[test]
            #[cfg(feature = "uring")]
            $(#[$attribute])*
            fn uring_exposed() {
                World::uring(concat!(module_path!(), "::uring_exposed"), true).into_iter().for_each(body);
            }

            #[test]
            #[cfg(feature = "polling")]
            $(#[$attribute])*
            fn polling() {
                body(World::real(Polling::new().unwrap()));
            }

            #[test]
            $(#[$attribute])*
            fn scripted() {
                body(World::scripted());
            }
        }
    )*};
}

use on_every_backend;
