use super::name;
use crate::File;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// How a file is opened, as by [`std::fs::OpenOptions`]: the same names, the same meaning.
///
/// ```
/// use becket_fiber::{Runtime, fs};
/// use std::io::Write;
///
/// let path = std::env::temp_dir().join(format!("becket-options-{}", std::process::id()));
/// let mut runtime = Runtime::new()?;
/// let text = runtime.run(|| {
///     for line in ["one\n", "two\n"] {
///         let mut log = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
///         log.write_all(line.as_bytes())?;
///     }
///     let text = fs::read_to_string(&path)?;
///     fs::remove_file(&path)?;
///     Ok::<_, std::io::Error>(text)
/// })??;
/// assert_eq!(text, "one\ntwo\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct OpenOptions {
    options: fs::OpenOptions,
    /// The same, which std does not tell; `None` where it was made of std's.
    known: Option<Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    mode: u32,
    custom: i32,
}

impl Known {
    /// The `O_` flags; `None` where they contradict each other.
    fn flags(self) -> Option<i32> {
        let access = match (self.read, self.write || self.append) {
            (true, false) => libc::O_RDONLY,
            (false, true) => libc::O_WRONLY,
            (true, true) => libc::O_RDWR,
            (false, false) => return None,
        };
        let changes = self.truncate || self.create || self.create_new;
        if access == libc::O_RDONLY && changes || self.append && self.truncate && !self.create_new {
            return None;
        }
        let append = if self.append { libc::O_APPEND } else { 0 };
        let creation = match (self.create_new, self.create, self.truncate) {
            (true, ..) => libc::O_CREAT | libc::O_EXCL,
            (_, create, truncate) => {
                (if create { libc::O_CREAT } else { 0 }) | if truncate { libc::O_TRUNC } else { 0 }
            }
        };
        Some(access | append | creation | self.custom & !libc::O_ACCMODE)
    }
}

impl Default for OpenOptions {
    fn default() -> Self {
        OpenOptions::new()
    }
}

impl OpenOptions {
    /// Nothing is set; a file that is created gets mode 0o666, less the process's umask.
    pub fn new() -> OpenOptions {
        let (read, write, append, truncate, create, create_new) = Default::default();
        let known = Known { read, write, append, truncate, create, create_new, mode: 0o666, custom: 0 };
        OpenOptions { options: fs::OpenOptions::new(), known: Some(known) }
    }

    /// For reading.
    pub fn read(&mut self, yes: bool) -> &mut Self {
        self.options.read(yes);
        self.note(|known| known.read = yes)
    }

    /// For writing.
    pub fn write(&mut self, yes: bool) -> &mut Self {
        self.options.write(yes);
        self.note(|known| known.write = yes)
    }

    /// For writing, always at the end.
    #[doc(alias = "O_APPEND")]
    pub fn append(&mut self, yes: bool) -> &mut Self {
        self.options.append(yes);
        self.note(|known| known.append = yes)
    }

    /// Emptied first.
    #[doc(alias = "O_TRUNC")]
    pub fn truncate(&mut self, yes: bool) -> &mut Self {
        self.options.truncate(yes);
        self.note(|known| known.truncate = yes)
    }

    /// Created where it is missing.
    #[doc(alias = "O_CREAT")]
    pub fn create(&mut self, yes: bool) -> &mut Self {
        self.options.create(yes);
        self.note(|known| known.create = yes)
    }

    /// Created, and an error where it is there; `create` and `truncate` then count for nothing.
    #[doc(alias = "O_EXCL")]
    pub fn create_new(&mut self, yes: bool) -> &mut Self {
        self.options.create_new(yes);
        self.note(|known| known.create_new = yes)
    }

    /// The mode of a file that is created, less the process's umask.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.options.mode(mode);
        self.note(|known| known.mode = mode)
    }

    /// Further `O_` flags, such as `O_DIRECT`. The bits of the access mode count for nothing.
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.options.custom_flags(flags);
        self.note(|known| known.custom = flags)
    }

    /// Opens `path` so.
    ///
    /// # Errors
    /// As [`File::open`]; `InvalidInput` for options that contradict each other.
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        match self.known.and_then(|known| Some((known.flags()?, known.mode))) {
            Some((flags, mode)) => name::open(path.as_ref(), flags, mode),
            None => File::open_with(&self.options, path),
        }
    }

    fn note(&mut self, set: impl FnOnce(&mut Known)) -> &mut Self {
        self.known.as_mut().map(set);
        self
    }
}

impl From<fs::OpenOptions> for OpenOptions {
    fn from(options: fs::OpenOptions) -> OpenOptions {
        OpenOptions { options, known: None }
    }
}
