//! What happened, to what: lines on standard error, and on a terminal a status line below them.
//!
//! Text of devices and of whoever else sends us something may stand in them, so control characters are escaped: what is
//! printed here can neither command a terminal nor pass for a line of its own.

use crate::screen::{self, Screen};
use std::cell::{Cell, RefCell};
use std::ffi::OsStr;
use std::fmt::{self, Display, Write as _};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant, SystemTime};

/// How grave it is. The numbers are those of syslog(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub enum Level {
    Error = 3,
    Warning = 4,
    Info = 6,
}

impl Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Info => "info",
        })
    }
}

/// Prints a line: `log!("{name}: hung up")`, or with a level other than `Info`, and with fields for those who read
/// JSON:
/// `log!(Warning, device = name, error = e; "{name}: {e}")`.
macro_rules! log {
    ($level:ident $(, $key:ident = $value:expr)* ; $($message:tt)*) => {
        $crate::log::print(
            $crate::log::Level::$level,
            &[$((stringify!($key), &$value as &dyn std::fmt::Display)),*],
            format_args!($($message)*),
        )
    };
    ($($message:tt)*) => { $crate::log::print($crate::log::Level::Info, &[], format_args!($($message)*)) };
}

pub(crate) use log;

/// What goes with a message.
pub type Fields<'a> = &'a [(&'a str, &'a dyn Display)];

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Form {
    #[default]
    Plain,
    /// On a terminal that shows colours.
    Coloured,
    /// With the level that systemd's journal looks for.
    Journal,
    Json,
}

#[derive(Debug, Default)]
struct Log {
    form: Cell<Form>,
    is_quiet: Cell<bool>,
    screen: RefCell<Screen>,
}

thread_local! {
    static LOG: Log = Log::default();
}

/// Decides how lines look, and whether there is a status line. To be called first of all, with the arguments as they
/// came, so that what is wrong with them is told in the form that they ask for.
pub fn set_up(args: impl IntoIterator<Item = impl AsRef<OsStr>>) {
    let (mut is_json, mut is_quiet) = (false, false);
    for arg in args {
        is_json |= arg.as_ref() == "--json";
        is_quiet |= arg.as_ref() == "--quiet";
    }
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let (has_cursor, has_colours) = (screen::is_terminal(), !is_set("NO_COLOR"));
    LOG.with(|log| {
        log.is_quiet.set(is_quiet);
        log.form.set(match () {
            () if is_json => Form::Json,
            () if has_cursor && has_colours => Form::Coloured,
            () if is_journal() => Form::Journal,
            () => Form::Plain,
        });
        log.screen.replace(Screen::new(has_cursor && !is_json && !is_quiet));
    });
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if LOG.with(|log| log.form.get()) == Form::Json {
            log!(Error; "{panic}");
        } else {
            // What it prints begins on a line of its own.
            end_status();
            default(panic);
        }
    }));
}

/// Whether standard error leads to systemd's journal: systemd.exec(5), `JOURNAL_STREAM`.
fn is_journal() -> bool {
    let Ok(wanted) = std::env::var("JOURNAL_STREAM") else { return false };
    std::fs::metadata("/proc/self/fd/2").is_ok_and(|file| format!("{}:{}", file.dev(), file.ino()) == wanted)
}

/// Prints a line. One that cannot be printed is no reason to stop.
pub fn print(level: Level, fields: Fields<'_>, message: fmt::Arguments<'_>) {
    LOG.with(|log| {
        if log.is_quiet.get() && level == Level::Info {
            return;
        }
        let line = line(log.form.get(), level, fields, message, SystemTime::now());
        // Taken already only where a message's own text logs something.
        if let Ok(mut screen) = log.screen.try_borrow_mut() {
            screen.print(&line, |n| {
                let why = format_args!("{n} lines left out, since nobody read them");
                self::line(log.form.get(), Level::Warning, &[("left_out", &n)], why, SystemTime::now())
            });
        }
    });
}

/// Shows this below the lines from now on, where standard error is a terminal.
pub fn set_status(text: &str) {
    LOG.with(|log| log.screen.borrow_mut().set_status(text));
}

/// Removes the status line.
pub fn end_status() {
    LOG.with(|log| log.screen.try_borrow_mut().map(|mut screen| screen.set_status(""))).unwrap_or_default();
}

fn line(form: Form, level: Level, fields: Fields<'_>, message: fmt::Arguments<'_>, now: SystemTime) -> String {
    let text = message.to_string();
    match form {
        Form::Plain => format!("gateway: {}\n", Escaped(&text)),
        Form::Journal => format!("<{}>gateway: {}\n", level as u8, Escaped(&text)),
        Form::Coloured => match level {
            Level::Error => format!("\x1b[31mgateway: {}\x1b[m\n", Escaped(&text)),
            Level::Warning => format!("\x1b[33mgateway: {}\x1b[m\n", Escaped(&text)),
            Level::Info => format!("gateway: {}\n", Escaped(&text)),
        },
        Form::Json => {
            let time = humantime::format_rfc3339_millis(now);
            let mut line = format!(r#"{{"time":"{time}","level":"{level}","message":{}"#, Quoted(&text));
            for (key, value) in fields {
                let _ = write!(line, r#","{key}":{}"#, Quoted(&value.to_string()));
            }
            line + "}\n"
        }
    }
}

/// Whether a terminal may take the character for a command, or for leave to show the others in another order.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text with what is unsafe escaped, and all else as it is.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if is_unsafe(c) { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
        }
        Ok(())
    }
}

/// Text as a string of JSON, in which nothing is unsafe either.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                // None of them lies beyond what four digits say.
                c if is_unsafe(c) => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// How many lines a second [`Limited`] prints.
const MOST: u32 = 10;

/// A log of what others may cause as often as they like, such as a device that sends nonsense: it prints ten lines a
/// second at most, and says how many it has left out.
#[derive(Debug)]
pub struct Limited {
    /// Of what, as its lines begin; and what kind of thing that is, as the name of a field.
    name: String,
    kind: &'static str,
    /// Where the present second began.
    since: Cell<Instant>,
    printed: Cell<u32>,
    left_out: Cell<u64>,
}

impl Limited {
    /// Of anything.
    pub fn new(name: impl Into<String>) -> Limited {
        Self::of("about", name)
    }

    pub fn of_device(name: impl Into<String>) -> Limited {
        Self::of("device", name)
    }

    fn of(kind: &'static str, name: impl Into<String>) -> Limited {
        Limited {
            name: name.into(),
            kind,
            since: Cell::new(Instant::now()),
            printed: Cell::new(0),
            left_out: Cell::new(0),
        }
    }

    /// Prints a line at level `Warning`.
    pub fn log(&self, message: fmt::Arguments<'_>) {
        self.log_at(Level::Warning, message);
    }

    pub fn log_at(&self, level: Level, message: fmt::Arguments<'_>) {
        if self.since.get().elapsed() >= Duration::from_secs(1) {
            self.say_left_out();
            self.since.set(Instant::now());
            self.printed.set(0);
        }
        if self.printed.get() < MOST {
            self.printed.set(self.printed.get() + 1);
            print(level, &[(self.kind, &self.name)], format_args!("{}: {message}", self.name));
        } else {
            self.left_out.set(self.left_out.get() + 1);
        }
    }

    fn say_left_out(&self) {
        match self.left_out.take() {
            0 => {}
            n => {
                let fields: Fields<'_> = &[(self.kind, &self.name), ("left_out", &n)];
                print(Level::Warning, fields, format_args!("{}: {n} lines left out here", self.name));
            }
        }
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        self.say_left_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\x1b[2J\r\n\u{9b}31m\u{202e}\"é\\";

    fn of(form: Form, level: Level) -> String {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        line(form, level, &[("device", &"d\n\"1"), ("n", &7)], format_args!("{HOSTILE}"), now)
    }

    #[test]
    fn a_line_stays_one_line_whatever_is_in_it() {
        let plain = r#"gateway: a\u{1b}[2J\r\n\u{9b}31m\u{202e}"é\"#;
        assert_eq!(of(Form::Plain, Level::Info), format!("{plain}\n"));
        assert_eq!(of(Form::Journal, Level::Warning), format!("<4>{plain}\n"));
        assert_eq!(of(Form::Coloured, Level::Error), format!("\x1b[31m{plain}\x1b[m\n"));
    }

    #[test]
    fn json_holds_what_was_said() {
        let line = of(Form::Json, Level::Error);
        assert!(line.ends_with("}\n") && !line.trim_end().contains(is_unsafe), "{line}");
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expected = serde_json::json!({
            "time": "2023-11-14T22:13:20.123Z", "level": "error", "message": HOSTILE, "device": "d\n\"1", "n": "7",
        });
        assert_eq!(object, expected);
    }
}
