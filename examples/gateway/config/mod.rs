//! The configuration file: what it says, checked, or what is wrong with it and where.

mod broker;
mod device;
mod gpio;
mod tables;

use crate::settings::{BrokerSettings, DeviceSettings, GpioSettings};
use serde::Deserialize;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tables::{File, Key};

/// How many readings of a device wait where nothing is said.
pub const QUEUE: usize = 1000;

/// What the file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub devices: Vec<DeviceSettings>,
    pub gpio: Vec<GpioSettings>,
    pub broker: BrokerSettings,
    pub queue: usize,
    pub store: Option<PathBuf>,
    /// The port of the page; `None` for no page.
    pub http: Option<u16>,
}

/// A file that was read, whatever is wrong with it.
pub struct Read {
    /// Or one line that says what is wrong, beginning with the file's name and the number of the line.
    pub config: Result<Config, String>,
    /// The files that it names and that were read with it, and itself.
    pub files: Vec<PathBuf>,
}

/// What is wrong, and where it begins, in bytes.
struct Problem {
    at: usize,
    what: String,
}

impl Problem {
    /// The number of its line, and what is wrong.
    fn in_line_of(&self, bytes: &[u8]) -> String {
        let before = &bytes[..self.at.min(bytes.len())];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        format!("{line}: {}", self.what)
    }
}

type Checked<T> = Result<T, Problem>;

/// That something is wrong with the value of a key.
fn wrong<T, V>(key: &Key<V>, what: impl ToString) -> Checked<T> {
    Err(Problem { at: key.span().start, what: what.to_string() })
}

/// The files below which relative paths begin, and those that were read.
struct Files {
    folder: PathBuf,
    read: Vec<PathBuf>,
}

impl Files {
    fn path(&self, path: &Key<PathBuf>) -> PathBuf {
        self.folder.join(path.as_ref())
    }

    /// What is in a file that the configuration names.
    fn read(&mut self, path: &Key<PathBuf>) -> Checked<Vec<u8>> {
        let full = self.path(path);
        self.read.push(full.clone());
        content(&full).or_else(|e| wrong(path, format!("{}: {e}", full.display())))
    }
}

/// What is in a file. A pipe or a device may never end, or have something else each time: everything would stand still,
/// or be taken over from nothing.
fn content(path: &Path) -> io::Result<Vec<u8>> {
    let kind = fs::metadata(path)?.file_type();
    if !kind.is_file() && !kind.is_dir() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    fs::read(path)
}

/// Reads the file at `path`.
pub fn read(path: &Path) -> Read {
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    let mut files = Files { folder, read: vec![path.to_owned()] };
    let config = match content(path) {
        Ok(bytes) => parse(&bytes, &mut files).map_err(|e| format!("{}:{}", path.display(), e.in_line_of(&bytes))),
        Err(e) => Err(format!("{}: {e}", path.display())),
    };
    Read { config, files: files.read }
}

fn parse(bytes: &[u8], files: &mut Files) -> Checked<Config> {
    let text =
        str::from_utf8(bytes).map_err(|e| Problem { at: e.valid_up_to(), what: "this is not UTF-8".to_owned() })?;
    let file = File::deserialize(toml::Deserializer::new(text)).map_err(|e| {
        let what = match e.message() {
            "" => "this is not TOML: a value is missing, or has no quotes".to_owned(),
            what => what.replace('\n', ", "),
        };
        Problem { at: e.span().map_or(0, |span| span.start), what }
    })?;
    let broker = broker::check(file.broker, files)?;
    let mut names = HashSet::from(["gateway".to_owned(), "gpio".to_owned()]);
    let mut topics = HashSet::new();
    let mut devices = Vec::<DeviceSettings>::new();
    for table in file.device {
        let path = table.get_ref().path.clone();
        let device = device::check(table, &broker.prefix, files)?;
        if devices.iter().any(|other| other.port.path == device.port.path) {
            return wrong(&path, format!("the device {} is there twice", device.port.path.display()));
        }
        if !names.insert(device.name.clone()) {
            let what = format!("the name {:?} is taken: a `name` of its own tells them apart", device.name);
            return wrong(&path, what);
        }
        if !topics.insert(device.topic.clone()) {
            return wrong(&path, format!("the topic {:?} is another device's", device.topic));
        }
        devices.push(device);
    }
    let mut lines = Vec::<GpioSettings>::new();
    for table in file.gpio {
        let at = Key::new(table.span(), ());
        let line = gpio::check(table, &broker.prefix)?;
        if lines.iter().any(|other| other.line == line.line) {
            return wrong(&at, "this GPIO line is there twice");
        }
        if lines.iter().any(|other| other.name == line.name) {
            return wrong(&at, format!("the name {:?} is another line's", line.name));
        }
        lines.push(line);
    }
    let queue = match file.queue {
        Some(queue) if !(1..=1_000_000).contains(queue.as_ref()) => return wrong(&queue, "not within 1 to 1000000"),
        queue => queue.map_or(QUEUE, Key::into_inner),
    };
    let store = file.store.map(|store| files.path(&store));
    Ok(Config { devices, gpio: lines, broker, queue, store, http: file.http })
}

#[cfg(test)]
mod tests;
