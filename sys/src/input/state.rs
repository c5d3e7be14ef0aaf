use super::{CodeSet, Device, Event, Kind, codes};
use std::io;
use std::time::Duration;

/// Where a device is: what is pressed, lit and on, and where its axes are.
///
/// ```
/// use becket_sys::input::{Event, Kind, State, codes};
///
/// let mut state = State::default();
/// state.apply(&Event::new(Kind::KEY, codes::KEY_A, 1));
/// state.apply(&Event::new(Kind::ABS, codes::ABS_X, -20));
/// assert!(state.keys().contains(codes::KEY_A));
/// assert_eq!(state.axis(codes::ABS_X), Some(-20));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    keys: CodeSet,
    leds: CodeSet,
    switches: CodeSet,
    /// The absolute axes that are not of multitouch, by their codes.
    axes: Vec<(u16, i32)>,
    /// The slot that multitouch events are of.
    slot: i32,
    /// The axes of multitouch by their codes, with their values in each slot: all of one length.
    slots: Vec<(u16, Vec<i32>)>,
}

/// Nobody touches.
const NO_TOUCH: i32 = -1;

fn is_multitouch(code: u16) -> bool {
    (codes::ABS_MT_SLOT + 1..=codes::ABS_MT_TOOL_Y).contains(&code)
}

impl State {
    /// Asks a device. Events of keys, lamps and switches that are queued are thrown away, for they are in the answer.
    ///
    /// # Errors
    /// `ENODEV` where it is gone.
    pub fn read(device: &Device) -> io::Result<State> {
        let axes = device.codes(Kind::ABS)?;
        let value = |code| Ok((code, device.axis(code)?.value));
        let slots = |code| Ok((code, device.slots(code)?));
        let with_slots = axes.contains(codes::ABS_MT_SLOT);
        Ok(State {
            keys: device.keys()?,
            leds: device.leds()?,
            switches: device.switches()?,
            axes: axes
                .iter()
                .filter(|code| *code != codes::ABS_MT_SLOT && !is_multitouch(*code))
                .map(value)
                .collect::<io::Result<_>>()?,
            slot: if with_slots { device.axis(codes::ABS_MT_SLOT)?.value } else { 0 },
            // Without slots there is no state: such a device sends all that there is, each time.
            slots: axes
                .iter()
                .filter(|code| with_slots && is_multitouch(*code))
                .map(slots)
                .collect::<io::Result<_>>()?,
        })
    }

    /// The keys and buttons that are held down.
    pub fn keys(&self) -> &CodeSet {
        &self.keys
    }

    /// The lamps that are lit.
    pub fn leds(&self) -> &CodeSet {
        &self.leds
    }

    /// The switches that are on.
    pub fn switches(&self) -> &CodeSet {
        &self.switches
    }

    /// Where an absolute axis is that is not of multitouch; `None` where the device has none such.
    pub fn axis(&self, code: u16) -> Option<i32> {
        self.axes.iter().find(|(known, _)| *known == code).map(|(_, value)| *value)
    }

    /// Where an axis of multitouch is, in each slot; none where the device has none such.
    pub fn slots(&self, code: u16) -> &[i32] {
        self.slots.iter().find(|(known, _)| *known == code).map_or(&[], |(_, values)| values)
    }

    /// Takes an event in.
    pub fn apply(&mut self, event: &Event) {
        let (code, value) = (event.code, event.value);
        match event.kind {
            Kind::KEY => self.keys.set(code, value != 0),
            Kind::LED => self.leds.set(code, value != 0),
            Kind::SW => self.switches.set(code, value != 0),
            Kind::ABS if code == codes::ABS_MT_SLOT => self.slot = value,
            Kind::ABS if is_multitouch(code) => {
                let slot = usize::try_from(self.slot).ok();
                let values = self.slots.iter_mut().find(|(known, _)| *known == code);
                // A slot that the device does not have is none of ours.
                if let (Some(slot), Some((_, values))) = (slot, values)
                    && let Some(place) = values.get_mut(slot)
                {
                    *place = value;
                }
            }
            Kind::ABS => match self.axes.iter_mut().find(|(known, _)| *known == code) {
                Some((_, place)) => *place = value,
                None if code < codes::ABS_MT_SLOT => self.axes.push((code, value)),
                None => {}
            },
            _ => {}
        }
    }

    /// The events that lead from this state to `now`, all at `time`, with a report at the end, also where there is
    /// nothing to report. A touch that has ended and another that has begun in its slot are two frames.
    pub fn changes(&self, now: &State, time: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        let mut push = |kind, code, value| events.push(Event { time, kind, code, value });
        let report = |push: &mut dyn FnMut(Kind, u16, i32)| push(Kind::SYN, codes::SYN_REPORT, 0);

        // First every touch ends that is not there any more.
        let mut slot = self.slot;
        let (old_ids, new_ids) = (self.slots(codes::ABS_MT_TRACKING_ID), now.slots(codes::ABS_MT_TRACKING_ID));
        let ended = |i: usize| old_ids.get(i).is_some_and(|id| *id != NO_TOUCH && new_ids.get(i) != Some(id));
        for i in (0..old_ids.len()).filter(|i| ended(*i)) {
            push(Kind::ABS, codes::ABS_MT_SLOT, i as i32);
            push(Kind::ABS, codes::ABS_MT_TRACKING_ID, NO_TOUCH);
            slot = i as i32;
        }
        if (0..old_ids.len()).any(|i| ended(i) && new_ids.get(i).is_some_and(|id| *id != NO_TOUCH)) {
            report(&mut push);
        }

        for (kind, old, new) in [
            (Kind::KEY, &self.keys, &now.keys),
            (Kind::SW, &self.switches, &now.switches),
            (Kind::LED, &self.leds, &now.leds),
        ] {
            for code in old.symmetric_difference(new).iter() {
                push(kind, code, new.contains(code).into());
            }
        }
        for (code, value) in now.axes.iter().filter(|(code, value)| self.axis(*code) != Some(*value)) {
            push(Kind::ABS, *code, *value);
        }
        let count = now.slots.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
        for i in 0..count {
            for (code, values) in &now.slots {
                let old = match self.slots(*code).get(i) {
                    // The end of it is told.
                    Some(_) if *code == codes::ABS_MT_TRACKING_ID && ended(i) => Some(&NO_TOUCH),
                    old => old,
                };
                if let Some(value) = values.get(i).filter(|value| Some(*value) != old) {
                    if slot != i as i32 {
                        push(Kind::ABS, codes::ABS_MT_SLOT, i as i32);
                        slot = i as i32;
                    }
                    push(Kind::ABS, *code, *value);
                }
            }
        }
        if slot != now.slot {
            push(Kind::ABS, codes::ABS_MT_SLOT, now.slot);
        }
        report(&mut push);
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(events: &[Event]) -> Vec<String> {
        events.iter().map(|event| event.to_string()).collect()
    }

    fn touches(slot: i32, ids: [i32; 3], xs: [i32; 3]) -> State {
        let slots = vec![(codes::ABS_MT_POSITION_X, xs.to_vec()), (codes::ABS_MT_TRACKING_ID, ids.to_vec())];
        State { slot, slots, ..State::default() }
    }

    /// Whoever follows the changes comes to where they lead.
    fn follow(from: &State, to: &State) -> Vec<String> {
        let events = from.changes(to, Duration::from_secs(7));
        assert!(events.iter().all(|event| event.time == Duration::from_secs(7)));
        let mut state = from.clone();
        events.iter().for_each(|event| state.apply(event));
        assert_eq!(state, *to);
        words(&events)
    }

    #[test]
    fn keys_switches_lamps_and_axes_are_told_where_they_differ() {
        let from = State {
            keys: CodeSet::from_iter([codes::KEY_A, codes::KEY_B]),
            axes: vec![(codes::ABS_X, 1), (codes::ABS_Y, 2)],
            ..State::default()
        };
        let to = State {
            keys: CodeSet::from_iter([codes::KEY_B, codes::BTN_LEFT]),
            leds: CodeSet::from_iter([codes::LED_CAPSL]),
            switches: CodeSet::from_iter([codes::SW_LID]),
            axes: vec![(codes::ABS_X, 1), (codes::ABS_Y, -2)],
            ..State::default()
        };
        let told = ["KEY_A 0", "BTN_LEFT 1", "SW_LID 1", "LED_CAPSL 1", "ABS_Y -2", "SYN_REPORT 0"];
        assert_eq!(follow(&from, &to), told);
        assert_eq!(follow(&to, &to), ["SYN_REPORT 0"]);
    }

    #[test]
    fn touches_end_before_others_begin_in_their_place() {
        let from = touches(1, [7, 8, -1], [10, 20, 0]);
        // The first is another now, the second has moved, the third is new.
        let to = touches(2, [9, 8, 10], [11, 21, 30]);
        let told = [
            "ABS_MT_SLOT 0",
            "ABS_MT_TRACKING_ID -1",
            "SYN_REPORT 0",
            "ABS_MT_POSITION_X 11",
            "ABS_MT_TRACKING_ID 9",
            "ABS_MT_SLOT 1",
            "ABS_MT_POSITION_X 21",
            "ABS_MT_SLOT 2",
            "ABS_MT_POSITION_X 30",
            "ABS_MT_TRACKING_ID 10",
            "SYN_REPORT 0",
        ];
        assert_eq!(follow(&from, &to), told);
        let nobody = touches(0, [-1; 3], [11, 21, 30]);
        let told = [
            "ABS_MT_SLOT 0",
            "ABS_MT_TRACKING_ID -1",
            "ABS_MT_SLOT 1",
            "ABS_MT_TRACKING_ID -1",
            "ABS_MT_SLOT 2",
            "ABS_MT_TRACKING_ID -1",
            "ABS_MT_SLOT 0",
            "SYN_REPORT 0",
        ];
        assert_eq!(follow(&to, &nobody), told);
    }

    #[test]
    fn slots_that_are_not_there_are_passed_over() {
        let mut state = touches(0, [-1; 3], [0; 3]);
        for slot in [-1, 3, i32::MAX, i32::MIN] {
            state.apply(&Event::new(Kind::ABS, codes::ABS_MT_SLOT, slot));
            state.apply(&Event::new(Kind::ABS, codes::ABS_MT_TRACKING_ID, 5));
        }
        assert_eq!(state.slots(codes::ABS_MT_TRACKING_ID), [-1; 3]);
        state.apply(&Event::new(Kind::ABS, u16::MAX, 1));
        assert_eq!(state.axis(u16::MAX), None);
    }
}
