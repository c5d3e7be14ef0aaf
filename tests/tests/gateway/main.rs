//! The gateway, run as its users run it.

mod bad_input;
mod broker_trouble;
mod browser;
mod config;
mod default_run;
mod devices;
mod hardware;
mod limits;
mod page;
mod reload;
mod signals;
mod system_calls;
mod systemd;
mod terminal;

use becket_tests::{examples, program::Finished, program::Program};
use serde_json::Value;
use std::time::Duration;

/// How much longer than it must a run may take, on a machine that is busy with other tests.
const MARGIN: Duration = Duration::from_secs(30);

fn start(args: &[&str]) -> Program {
    Program::start(examples::path("gateway"), args)
}

/// The sums of the last line on standard output.
#[derive(Debug)]
struct Sums {
    readings: u64,
    acknowledged: u64,
    dropped: u64,
    published: u64,
    commands: u64,
    reconnects: u64,
}

impl Sums {
    /// The sums of a run that ended well; panics where it did not.
    fn of(finished: &Finished) -> Sums {
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
        let object: Value = serde_json::from_str(finished.last_line()).unwrap_or_else(|e| panic!("{e}: {finished:?}"));
        let sum = |name: &str| object[name].as_u64().unwrap_or_else(|| panic!("no {name} in {object}"));
        let sums = Sums {
            readings: sum("readings"),
            acknowledged: sum("acknowledged"),
            dropped: sum("dropped"),
            published: sum("published"),
            commands: sum("commands"),
            reconnects: sum("reconnects"),
        };
        assert_eq!(object.as_object().unwrap().len(), 6, "{object}");
        assert_eq!(sums.readings, sums.acknowledged + sums.dropped, "{sums:?}");
        sums
    }

    /// Panics unless the messages that were acknowledged are those of the readings, two fields each, and at most
    /// one heartbeat a second beside them. The gateway itself fails at a delivery that is
    /// reported twice.
    fn assert_no_delivery_twice(&self, seconds: u64) {
        let of_readings = 2 * self.acknowledged;
        let partly = 2 * self.dropped;
        assert!((of_readings..=of_readings + partly + seconds + 1).contains(&self.published), "{self:?}");
    }
}
