//! The sums that the gateway ends with.

use crate::records::{DeviceRecord, Records};
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

/// What has happened so far. One thread counts, so cells do.
#[derive(Debug, Default)]
pub struct Report {
    /// Lines of devices with at least one field.
    pub readings: Cell<u64>,
    /// Readings of which the broker has acknowledged every field.
    pub acknowledged: Cell<u64>,
    /// Readings given up: they did not fit the queue, or were still under way at the end.
    pub dropped: Cell<u64>,
    /// Messages that went out: acknowledged by the broker where they are of QoS 1.
    pub published: Cell<u64>,
    /// Commands written to devices.
    pub commands: Cell<u64>,
    /// How often the connection to the broker came back after it was lost.
    pub reconnects: Cell<u64>,
    /// Packets of the broker that brought something. Not printed with the others.
    pub packets: Cell<u64>,
    /// Lines received, by the simulated device too. Not printed with the others.
    pub lines: Cell<u64>,
    /// Of what the sums are made.
    pub records: Records,
}

/// Adds one to a sum.
pub fn count(sum: &Cell<u64>) {
    sum.set(sum.get() + 1);
}

impl Report {
    /// Whether each reading met exactly one end.
    pub fn adds_up(&self) -> bool {
        self.readings.get() == self.acknowledged.get() + self.dropped.get()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { readings, acknowledged, dropped, published, commands, reconnects, .. } = self;
        write!(
            f,
            r#"{{"readings":{},"acknowledged":{},"dropped":{},"#,
            readings.get(),
            acknowledged.get(),
            dropped.get()
        )?;
        write!(
            f,
            r#""published":{},"commands":{},"reconnects":{}}}"#,
            published.get(),
            commands.get(),
            reconnects.get()
        )
    }
}

/// One reading on its way. It counts as dropped when it is dropped, unless it was acknowledged before: whatever
/// becomes of the queues and fibers that hold it, it is counted once.
#[derive(Debug)]
pub struct Pending {
    report: Rc<Report>,
    device: Rc<DeviceRecord>,
    stage: Stage,
}

/// How far a reading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Queued,
    UnderWay,
    Acknowledged,
}

impl Pending {
    /// Counts a new reading of a device, which goes to its queue.
    pub fn new(report: &Rc<Report>, device: &Rc<DeviceRecord>) -> Pending {
        count(&report.readings);
        count(&device.readings);
        count(&device.queued);
        device.rate.count();
        Pending { report: report.clone(), device: device.clone(), stage: Stage::Queued }
    }

    /// It has left the queue.
    pub fn go(&mut self) {
        self.leave();
        count(&self.device.under_way);
        self.stage = Stage::UnderWay;
    }

    /// The broker has all fields of it.
    pub fn acknowledge(mut self) {
        self.leave();
        self.stage = Stage::Acknowledged;
    }

    fn leave(&self) {
        let sum = match self.stage {
            Stage::Queued => &self.device.queued,
            Stage::UnderWay => &self.device.under_way,
            Stage::Acknowledged => return,
        };
        sum.set(sum.get() - 1);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.leave();
        let (report, device) = (&self.report, &self.device);
        let [all, own] = match self.stage {
            Stage::Acknowledged => [&report.acknowledged, &device.acknowledged],
            Stage::Queued | Stage::UnderWay => [&report.dropped, &device.dropped],
        };
        count(all);
        count(own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn each_reading_meets_one_end() {
        let report = Rc::new(Report::default());
        let device = report.records.device("a".into(), Path::new("/dev/a"));
        let [mut first, mut second, third] = std::array::from_fn(|_| Pending::new(&report, &device));
        let stages = || (device.queued.get(), device.under_way.get());
        assert!(!report.adds_up());
        assert_eq!(stages(), (3, 0));
        first.go();
        second.go();
        assert_eq!(stages(), (1, 2));
        first.acknowledge();
        drop((second, third));
        assert!(report.adds_up());
        assert_eq!(stages(), (0, 0));
        assert_eq!((device.readings.get(), device.acknowledged.get(), device.dropped.get()), (3, 1, 2));
        assert_eq!(
            report.to_string(),
            r#"{"readings":3,"acknowledged":1,"dropped":2,"published":0,"commands":0,"reconnects":0}"#
        );
    }
}
