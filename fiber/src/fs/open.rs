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
}

impl Default for OpenOptions {
    fn default() -> Self {
        OpenOptions::new()
    }
}

impl OpenOptions {
    /// Nothing is set; a file that is created gets mode 0o666, less the process's umask.
    pub fn new() -> OpenOptions {
        OpenOptions { options: fs::OpenOptions::new() }
    }

    /// For reading.
    pub fn read(&mut self, yes: bool) -> &mut Self {
        self.options.read(yes);
        self
    }

    /// For writing.
    pub fn write(&mut self, yes: bool) -> &mut Self {
        self.options.write(yes);
        self
    }

    /// For writing, always at the end.
    #[doc(alias = "O_APPEND")]
    pub fn append(&mut self, yes: bool) -> &mut Self {
        self.options.append(yes);
        self
    }

    /// Emptied first.
    #[doc(alias = "O_TRUNC")]
    pub fn truncate(&mut self, yes: bool) -> &mut Self {
        self.options.truncate(yes);
        self
    }

    /// Created where it is missing.
    #[doc(alias = "O_CREAT")]
    pub fn create(&mut self, yes: bool) -> &mut Self {
        self.options.create(yes);
        self
    }

    /// Created, and an error where it is there; `create` and `truncate` then count for nothing.
    #[doc(alias = "O_EXCL")]
    pub fn create_new(&mut self, yes: bool) -> &mut Self {
        self.options.create_new(yes);
        self
    }

    /// The mode of a file that is created, less the process's umask.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.options.mode(mode);
        self
    }

    /// Further `O_` flags, such as `O_DIRECT`. The bits of the access mode count for nothing.
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.options.custom_flags(flags);
        self
    }

    /// Opens `path` so.
    ///
    /// # Errors
    /// As [`File::open`]; `InvalidInput` for options that contradict each other.
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        File::open_with(&self.options, path)
    }
}

impl From<fs::OpenOptions> for OpenOptions {
    fn from(options: fs::OpenOptions) -> OpenOptions {
        OpenOptions { options }
    }
}
