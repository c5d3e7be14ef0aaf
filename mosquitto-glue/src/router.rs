//! Which subscriptions a message is for.
//!
//! A tree of topic levels, so that what a message costs depends on the levels of its topic and on the filters that it
//! matches, not on how many there are.

use crate::ffi;
use std::collections::HashMap;

/// The subscription identifier of MQTT 5 that goes with `filter`: the same in every process, since a kept session has
/// that of a process before. Two filters may share one; whoever routes by it looks at the topic, too.
pub(crate) fn identifier(filter: &str) -> u32 {
    /// Identifiers are from 1 to this.
    const MAX: u32 = 268_435_455;
    // FNV-1a.
    let hash = filter
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    1 + (hash % u64::from(MAX)) as u32
}

/// The filter that a shared subscription is for, or the filter itself.
pub(crate) fn inner(filter: &str) -> &str {
    let shared = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
    shared.map_or(filter, |(_, filter)| filter)
}

/// Whether a message to `topic` is for those who subscribed to `filter`, by section 4.7 of the MQTT specification: `+` is
/// any one level, `#` at the end is any further ones and none, and neither, in front, stands for a `$`. A shared
/// subscription counts as the filter in it. Never where `filter` is no filter, or `topic` no topic.
///
/// ```
/// use becket_mosquitto::topic_matches;
///
/// assert!(topic_matches("plant/+/temp", "plant/boiler/temp"));
/// assert!(topic_matches("plant/#", "plant"));
/// assert!(topic_matches("$share/workers/plant/#", "plant/boiler"));
/// assert!(!topic_matches("#", "$SYS/uptime"));
/// ```
#[doc(alias = "mosquitto_topic_matches_sub")]
pub fn topic_matches(filter: &str, topic: &str) -> bool {
    let filter = if ffi::is_filter(filter) && ffi::is_topic(topic) { inner(filter) } else { return false };
    if topic.starts_with('$') && !filter.starts_with('$') {
        return false;
    }
    let mut levels = topic.split('/');
    for part in filter.split('/') {
        match (part, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (part, level) if level == Some(part) => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Values by the filter that they stand under; several may stand under one.
#[derive(Debug)]
pub(crate) struct Router<T> {
    root: Node<T>,
}

#[derive(Debug)]
struct Node<T> {
    /// By the next level, which is this very text.
    children: HashMap<Box<str>, Node<T>>,
    /// By the next level, whatever it is: `+`.
    any: Option<Box<Node<T>>>,
    /// Of filters that end here.
    values: Vec<T>,
    /// Of filters that go on with `#`.
    rest: Vec<T>,
}

impl<T> Default for Node<T> {
    fn default() -> Node<T> {
        Node { children: HashMap::new(), any: None, values: Vec::new(), rest: Vec::new() }
    }
}

impl<T> Default for Router<T> {
    fn default() -> Router<T> {
        Router { root: Node::default() }
    }
}

impl<T> Node<T> {
    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.any.is_none() && self.values.is_empty() && self.rest.is_empty()
    }

    fn insert<'f>(&mut self, mut levels: impl Iterator<Item = &'f str>, value: T) {
        match levels.next() {
            None => self.values.push(value),
            Some("#") => self.rest.push(value),
            Some("+") => self.any.get_or_insert_default().insert(levels, value),
            Some(level) => self.children.entry(level.into()).or_default().insert(levels, value),
        }
    }

    /// Takes out the value that `is_it` knows, and the nodes that are of no use any more.
    fn remove<'f>(&mut self, mut levels: impl Iterator<Item = &'f str>, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let take = |values: &mut Vec<T>| values.iter().position(&is_it).map(|at| values.remove(at));
        match levels.next() {
            None => take(&mut self.values),
            Some("#") => take(&mut self.rest),
            Some("+") => {
                let taken = self.any.as_mut()?.remove(levels, is_it);
                self.any.take_if(|node| node.is_empty());
                taken
            }
            Some(level) => {
                let node = self.children.get_mut(level)?;
                let taken = node.remove(levels, is_it);
                if node.is_empty() {
                    self.children.remove(level);
                }
                taken
            }
        }
    }

    /// Shows `f` the values of all filters that match what is left of a topic. Returns how many nodes it looked at.
    fn visit<'t>(
        &self,
        mut levels: impl Iterator<Item = &'t str> + Clone,
        // The topics of the broker's own are not for a wildcard at the beginning.
        wildcards: bool,
        f: &mut impl FnMut(&T),
    ) -> usize {
        let mut steps = 1;
        if wildcards {
            // The parent level, too.
            self.rest.iter().for_each(&mut *f);
        }
        let Some(level) = levels.next() else {
            self.values.iter().for_each(f);
            return steps;
        };
        if let Some(node) = self.children.get(level) {
            steps += node.visit(levels.clone(), true, f);
        }
        if let Some(node) = self.any.as_ref().filter(|_| wildcards) {
            steps += node.visit(levels, true, f);
        }
        steps
    }
}

impl<T> Router<T> {
    /// Adds a value under a valid filter; a shared subscription counts as the filter in it.
    pub(crate) fn insert(&mut self, filter: &str, value: T) {
        self.root.insert(inner(filter).split('/'), value);
    }

    /// Takes out the first value under `filter` that `is_it` knows.
    pub(crate) fn remove(&mut self, filter: &str, is_it: impl Fn(&T) -> bool) -> Option<T> {
        self.root.remove(inner(filter).split('/'), is_it)
    }

    /// Shows `f` the values of all filters that match `topic`. Returns how many nodes of the tree it looked at.
    pub(crate) fn visit(&self, topic: &str, mut f: impl FnMut(&T)) -> usize {
        self.root.visit(topic.split('/'), !topic.starts_with('$'), &mut f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi;
    use std::ffi::CString;

    fn found(router: &Router<String>, topic: &str) -> Vec<String> {
        let mut found = Vec::new();
        router.visit(topic, |filter| found.push(filter.clone()));
        found.sort();
        found
    }

    #[test]
    fn filters_match_topics() {
        for (filter, topic, expected) in [
            ("a", "a", true),
            ("a", "a/b", false),
            ("a/b", "a", false),
            ("a/+", "a/b", true),
            ("a/+", "a/", true),
            ("a/+", "a", false),
            ("a/+", "a/b/c", false),
            ("+/+", "/b", true),
            ("+/b/#", "a/b/c/d", true),
            ("a/#", "a", true),
            ("a/#", "ab", false),
            ("#", "a/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("$SYS/+", "$SYS/x", true),
            ("$share/g/a/+", "a/b", true),
            ("$share/g/a/+", "b/b", false),
            ("$share/g/#", "$SYS/x", false),
            ("$share/g//a", "/a", true),
        ] {
            let mut router = Router::default();
            router.insert(filter, filter.to_owned());
            assert_eq!(!found(&router, topic).is_empty(), expected, "{filter} {topic}");
            assert_eq!(topic_matches(filter, topic), expected, "{filter} {topic}");
            assert!(router.remove(filter, |value| value == filter).is_some());
            assert!(router.root.is_empty(), "{filter}");
        }
    }

    /// Numbers that look random, the same each time.
    struct Random(u64);

    impl Random {
        fn below(&mut self, n: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % n
        }

        fn path(&mut self, levels: &[&str]) -> String {
            let path: Vec<_> = (0..=self.below(4)).map(|_| levels[self.below(levels.len())]).collect();
            path.join("/")
        }
    }

    #[test]
    fn it_says_what_the_library_says() {
        let mut random = Random(1);
        let mut router = Router::default();
        let mut filters = Vec::new();
        while filters.len() < 600 {
            let mut filter = random.path(&["a", "b", "", "+", "$x", "ab"]);
            if random.below(3) == 0 {
                filter = if filter == "+" { "#".to_owned() } else { format!("{filter}/#") };
            }
            if !ffi::is_filter(&filter) {
                continue;
            }
            let shared = if random.below(4) == 0 { "$share/group/" } else { "" };
            filters.push(format!("{shared}{filter}"));
            router.insert(filters.last().unwrap(), filters.last().unwrap().clone());
            // Some go again, at once or later.
            if random.below(3) == 0 {
                let gone = filters.remove(random.below(filters.len()));
                assert_eq!(router.remove(&gone, |value| *value == gone), Some(gone));
            }
        }
        let mut matched = 0;
        for _ in 0..2000 {
            let topic = random.path(&["a", "b", "", "c", "$x", "ab"]);
            if !ffi::is_topic(&topic) {
                continue;
            }
            let c = |text: &str| CString::new(text).unwrap();
            let is_match = |filter: &&String| ffi::matches(&c(inner(filter)), &c(&topic));
            let mut expected: Vec<_> = filters.iter().filter(is_match).cloned().collect();
            expected.sort();
            assert_eq!(found(&router, &topic), expected, "{topic}");
            for filter in &filters {
                assert_eq!(topic_matches(filter, &topic), expected.contains(filter), "{filter} {topic}");
            }
            matched += expected.len();
        }
        assert!(matched > 10_000, "{matched}");
        for filter in filters {
            assert!(router.remove(&filter, |value| *value == filter).is_some());
        }
        assert!(router.root.is_empty());
    }

    #[test]
    fn what_a_message_costs_does_not_grow_with_the_filters() {
        let mut router = Router::default();
        let mut steps = Vec::new();
        for n in 0..10_000 {
            router.insert(&format!("plant/{}/sensor/{n}/#", n % 100), n);
            router.insert(&format!("plant/{}/+/{n}/temp", n % 100), n);
            if [100, 9_999].contains(&n) {
                let mut found = Vec::new();
                steps.push(router.visit("plant/7/sensor/7/temp", |n| found.push(*n)));
                assert_eq!(found, [7, 7]);
                router.visit("plant/7/sensor/8/temp", |n| panic!("{n}"));
            }
        }
        assert_eq!(steps[0], steps[1]);
        assert!(steps[0] <= 2 * 6, "{steps:?}");
    }

    #[test]
    fn identifiers_are_in_range_and_stay() {
        assert_eq!(identifier("a/b"), identifier("a/b"));
        assert_eq!(identifier(""), 1 + (0xcbf2_9ce4_8422_2325_u64 % 268_435_455) as u32);
        let all: std::collections::HashSet<_> = (0..1000).map(|n| identifier(&format!("a/{n}"))).collect();
        assert_eq!(all.len(), 1000);
        assert!(all.iter().all(|id| (1..=268_435_455).contains(id)));
    }
}
