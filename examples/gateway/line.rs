//! What a device says: lines of fields.

/// A line longer than this is given up, up to its end: a device at the wrong rate sends no line ends at all. What
/// devices and commands may hold in memory follows from it.
pub const MAX_LINE: usize = 4096;

/// The fields of a line, `name=value` separated by blanks; what is not of that form is passed over.
///
/// A name becomes the last level of a topic, so it must be one, and not `set`, which is the topic of the commands to
/// the device.
pub fn fields(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = line.split_ascii_whitespace().filter_map(|word| word.split_once('='));
    pairs.filter(|(name, _)| is_level(name) && *name != "set")
}

/// Whether `name` can be one level of a topic: not empty, and without what cannot stand there.
pub fn is_level(name: &str) -> bool {
    !name.is_empty() && !name.contains(is_forbidden)
}

/// Whether no level of a topic can hold the character: separators, wildcards, controls, and Unicode's noncharacters.
pub fn is_forbidden(c: char) -> bool {
    "/+#".contains(c) || c.is_control() || matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe
}

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
pub struct Lines {
    held: Vec<u8>,
    /// The line under way is too long: its rest is passed over.
    skipping: bool,
}

impl Lines {
    /// Takes in `bytes`, and calls `each` with every line that they end, without its line end. Lines that are not
    /// UTF-8, or longer than [`MAX_LINE`], are passed over: noise on the wire.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ended) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            self.skipping |= self.held.len() + text.len() > MAX_LINE;
            if self.skipping {
                self.held.clear();
            } else {
                self.held.extend_from_slice(text);
            }
            if ended {
                if let Ok(line) = str::from_utf8(&self.held).map(str::trim_ascii)
                    && !line.is_empty()
                {
                    each(line);
                }
                self.held.clear();
                self.skipping = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_pairs_that_can_be_topics() {
        let of = |line| fields(line).collect::<Vec<_>>();
        assert_eq!(of("temp=21.53 hum=40"), [("temp", "21.53"), ("hum", "40")]);
        assert_eq!(of("a==b c= d"), [("a", "=b"), ("c", "")]);
        assert_eq!(of("ok"), []);
        assert_eq!(of("set=1 a/b=1 +=1 #=1 =1 x\u{7}=1"), []);
        assert_eq!(of("\u{fdd0}=1 \u{1fffe}=1 \u{ffff}=1 \u{fffd}=1"), [("\u{fffd}", "1")]);
    }

    #[test]
    fn lines_come_whole_however_the_bytes_are_cut() {
        let text = b"one\r\n\n  two \nbad\xff\nthree\nrest";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let mut got = Vec::new();
            for bytes in text.chunks(size) {
                lines.feed(bytes, |line| got.push(line.to_owned()));
            }
            assert_eq!(got, ["one", "two", "three"], "in pieces of {size}");
        }
    }

    #[test]
    fn a_line_without_end_holds_no_memory_and_the_next_one_is_whole() {
        let mut lines = Lines::default();
        let mut got = Vec::new();
        for _ in 0..100 {
            lines.feed(&[b'x'; 1000], |line| got.push(line.to_owned()));
            assert!(lines.held.len() <= MAX_LINE);
        }
        lines.feed(b"x\nfine=1\n", |line| got.push(line.to_owned()));
        assert_eq!(got, ["fine=1"]);
    }
}
