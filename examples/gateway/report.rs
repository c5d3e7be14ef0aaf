//! The sums that the gateway ends with.

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
    acknowledged: bool,
}

impl Pending {
    /// Counts a new reading.
    pub fn new(report: &Rc<Report>) -> Pending {
        count(&report.readings);
        Pending { report: report.clone(), acknowledged: false }
    }

    /// The broker has all fields of it.
    pub fn acknowledge(mut self) {
        self.acknowledged = true;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        count(if self.acknowledged { &self.report.acknowledged } else { &self.report.dropped });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reading_meets_one_end() {
        let report = Rc::new(Report::default());
        let [first, second] = [Pending::new(&report), Pending::new(&report)];
        assert!(!report.adds_up());
        first.acknowledge();
        drop(second);
        assert!(report.adds_up());
        assert_eq!(
            report.to_string(),
            r#"{"readings":2,"acknowledged":1,"dropped":1,"published":0,"commands":0,"reconnects":0}"#
        );
    }
}
