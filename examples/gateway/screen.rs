//! Standard error: lines, and where it is a terminal one more below them that changes in place.

use becket_sys::tty::{self, Tty};
use becket_sys::{Ready, wait};
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// How long standard error may take nothing before lines are left out. Whoever reads it may have other things to do.
const PATIENCE: Duration = Duration::from_millis(250);

/// Where nobody has told the terminal its size.
const COLUMNS: u16 = 80;

/// Whether standard error is a terminal whose cursor can be moved.
pub fn is_terminal() -> bool {
    let knows_more_than_lines = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    knows_more_than_lines && tty::is_terminal(io::stderr())
}

#[derive(Debug, Default)]
pub struct Screen {
    has_status: bool,
    /// The whole of the status line; what is shown may be less.
    status: String,
    /// Lines that were not printed, since standard error took none.
    left_out: u64,
    /// Standard error where it is a terminal, opened anew: one that is ready for a byte may have no room for a line, and
    /// a write that waits for that would wait for as long as nobody reads.
    terminal: Option<Tty>,
    /// What the terminal has not taken yet of what was begun.
    rest: Vec<u8>,
}

impl Screen {
    pub fn new(has_status: bool) -> Screen {
        // Not where the terminal is another user's, as after su(1).
        Screen { has_status, terminal: Tty::reopen(io::stderr()).ok(), ..Screen::default() }
    }

    /// Prints a line, which ends with its line end, above the status line. Where whoever reads standard error does not,
    /// it is left out: the gateway has other things to do. How many were, `note` says in a line before the next one.
    pub fn print(&mut self, line: &str, note: impl FnOnce(u64) -> String) {
        // Once is enough: what is stuck is not waited for by each line.
        let patience = if self.left_out == 0 { PATIENCE } else { Duration::ZERO };
        let mut text = String::new();
        if !self.status.is_empty() {
            text.push_str(CLEAR);
        }
        if self.left_out > 0 {
            text.push_str(&note(self.left_out));
        }
        text.push_str(line);
        if !self.status.is_empty() {
            text.push_str(shown(&self.status, columns()));
        }
        self.left_out = if self.write(&text, patience) { 0 } else { self.left_out + 1 };
    }

    /// Shows this instead of what the status line was; nothing removes it.
    pub fn set_status(&mut self, text: &str) {
        let nothing_to_do = text.is_empty() && self.status.is_empty();
        if self.has_status
            && !nothing_to_do
            && self.write(&format!("{CLEAR}{}", shown(text, columns())), Duration::ZERO)
        {
            self.status = text.to_owned();
        }
    }

    /// Writes it, unless standard error takes nothing for that long; whether it did. What cannot be written at all is no
    /// reason to stop.
    fn write(&mut self, text: &str, patience: Duration) -> bool {
        let Some(terminal) = &self.terminal else { return write_in_pieces(text, patience) };
        let until = Instant::now() + patience;
        // What was begun comes first: else this would stand within a line, or within an escape sequence.
        if !flush(terminal, &mut self.rest, until) {
            return false;
        }
        self.rest.extend_from_slice(text.as_bytes());
        let is_done = flush(terminal, &mut self.rest, until);
        let has_begun = is_done || self.rest.len() < text.len();
        if !has_begun {
            self.rest.clear();
        }
        has_begun
    }
}

/// To the begin of the line, and nothing behind there.
const CLEAR: &str = "\r\x1b[K";

/// As much as fits: a terminal moves on to the next line by what fills one. Asked each time, since windows change.
fn shown(text: &str, columns: u16) -> &str {
    let end = text.char_indices().nth(usize::from(columns).saturating_sub(1));
    end.map_or(text, |(end, _)| &text[..end])
}

fn columns() -> u16 {
    let size = Tty::new(io::stderr()).and_then(|terminal| terminal.window_size());
    size.ok().map(|size| size.columns).filter(|&columns| columns > 0).unwrap_or(COLUMNS)
}

/// Has the terminal take what it has room for, and more where it makes room in time; whether that was all.
fn flush(terminal: &Tty, rest: &mut Vec<u8>, until: Instant) -> bool {
    let mut has_waited = false;
    while !rest.is_empty() {
        match terminal.try_write(rest) {
            Ok(Some(n)) => {
                rest.drain(..n);
                has_waited = false;
            }
            // Once: it may be ready, and have no room for what comes next.
            Ok(None) if !has_waited && !matches!(terminal.wait_ready(Ready::WRITE, Some(until)), Ok(None)) => {
                has_waited = true;
            }
            Ok(None) => return false,
            Err(_) => rest.clear(),
        }
    }
    true
}

/// As [`Screen::write`], to what may be shared with others, and blocks.
fn write_in_pieces(text: &str, patience: Duration) -> bool {
    // What a pipe takes at once where it takes anything.
    text.as_bytes().chunks(4096).all(|piece| {
        let ready = wait(io::stderr(), Ready::WRITE, Some(Instant::now() + patience));
        let takes = !matches!(ready, Ok(None));
        if takes {
            let _ = io::stderr().write_all(piece);
        }
        takes
    })
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_status_never_fills_its_line() {
        assert_eq!(shown("abc", 80), "abc");
        assert_eq!(shown("aéc", 3), "aé");
        assert_eq!(shown("abc", 4), "abc");
        assert_eq!(shown("abc", 1), "");
    }
}
