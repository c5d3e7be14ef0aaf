//! Questions of fibers, which wait for the answers.

use super::{Client, until};
use crate::PublishRefusal;
use crate::message::{Message, Publish};
use crate::request::{RequestError, RequestId};
use becket_fiber::sync::Condvar;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;

/// Where the answer is put.
#[derive(Default)]
struct Slot {
    answer: RefCell<Option<Result<Message, RequestError>>>,
    ready: Condvar,
}

/// Gives the request up when nobody waits any more.
struct Asked<'a> {
    client: &'a crate::Client,
    id: RequestId,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.client.cancel_request(self.id);
    }
}

impl Client {
    /// Publishes a request, and waits for the answer: as [`Client::request`](crate::Client::request), where the time is
    /// that of the [deadlines](becket_fiber::deadline) that the fiber is in, without any as long as the client lives.
    /// The request expires at the broker only if its properties say so. MQTT 5 only.
    ///
    /// To answer requests, [subscribe](Self::subscribe) to them, and publish the [`response`](Message::response) of
    /// each.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish). `Unsupported` with MQTT 3.1.1; `NotFound` where the broker says that nobody
    /// subscribes to the topic; `PermissionDenied` where it refuses the response topic, or the client for good;
    /// `ConnectionAborted` where the request was not delivered, or the session was lost with the answer; `BrokenPipe`
    /// for a client that is closed: these with a [`RequestError`] inside. [`Cancelled`](becket_fiber::Cancelled) and
    /// `TimedOut`: an answer that comes all the same is [late](crate::Client::late_answers).
    ///
    /// ```no_run
    /// use becket_fiber::{Runtime, spawn, timeout};
    /// use becket_mosquitto::{Options, Protocol, Publish, QoS, fiber::Client};
    /// use std::time::Duration;
    ///
    /// Runtime::new()?.run(|| {
    ///     let options = Options::new("mqtt://localhost".parse().unwrap()).protocol(Protocol::V5);
    ///     let client = Client::connect(options)?;
    ///     let questions = client.subscribe("time/+", QoS::AtLeastOnce)?;
    ///     let clock = client.clone();
    ///     spawn(move || {
    ///         while let Ok(Some(question)) = questions.next() {
    ///             if let Some(answer) = question.response(question.topic.as_str()) {
    ///                 clock.publish(answer)?;
    ///             }
    ///         }
    ///         Ok::<_, std::io::Error>(())
    ///     })?;
    ///     let answer = timeout(Duration::from_secs(5), || client.request(Publish::new("time/utc", "")))?;
    ///     assert_eq!(answer.payload, b"time/utc");
    ///     client.close()
    /// })??;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn request(&self, publish: Publish) -> io::Result<Message> {
        let slot = Rc::new(Slot::default());
        let asked = self.ask(publish, &slot)?;
        slot.ready.wait_while(|| slot.answer.borrow().is_none())?;
        drop(asked);
        let answer = slot.answer.take().expect("waited for");
        Ok(answer?)
    }

    /// Sends a request, or waits until there is room for it in the queue.
    fn ask(&self, publish: Publish, slot: &Rc<Slot>) -> io::Result<Asked<'_>> {
        let client = self.handle();
        let mut publish = publish;
        let deadline = publish.deadline;
        let turn = until(deadline, || self.shared.turn.lock())?;
        loop {
            let to = Rc::clone(slot);
            let answer = move |_: &mut (), _: &mut _, _: &_, answer| {
                *to.answer.borrow_mut() = Some(answer);
                to.ready.notify_all();
                Ok(())
            };
            publish = match client.ask(publish, Box::new(answer)) {
                Ok(id) => return Ok(Asked { client, id }),
                Err(RequestError::Publish(e))
                    if e.refusal() == PublishRefusal::QueueFull && self.waits && turn.is_some() =>
                {
                    e.into_publish()
                }
                Err(e) => return Err(e.into()),
            };
            until(deadline, || self.shared.room.wait())?;
        }
    }
}
