use std::{error, fmt, io};

/// A constructor of several steps failed: which step, on what, and why.
///
/// Prints as one line. Converting it into [`io::Error`] keeps the operating system's code and drops the rest.
///
/// ```
/// use becket_sys::SetupError;
/// use std::io;
///
/// let e = SetupError::new("open", "/dev/ttyS99", io::Error::from_raw_os_error(2));
/// assert_eq!(e.to_string(), "open /dev/ttyS99: No such file or directory (os error 2)");
/// assert_eq!(io::Error::from(e).raw_os_error(), Some(2));
/// ```
#[derive(Debug)]
pub struct SetupError {
    step: &'static str,
    subject: String,
    source: io::Error,
}

impl SetupError {
    /// Says that `step` failed on `subject` because of `source`.
    pub fn new(step: &'static str, subject: impl Into<String>, source: impl Into<io::Error>) -> Self {
        SetupError { step, subject: subject.into(), source: source.into() }
    }

    /// The step that failed: the name of a system call or of an action, such as `open`.
    pub fn step(&self) -> &'static str {
        self.step
    }

    /// What the step was done to: a path, an address, a line number.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The kind of the underlying error.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// The operating system's code of the underlying error, if it has one.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.source.raw_os_error()
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.step, self.subject, self.source)
    }
}

impl error::Error for SetupError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.source)
    }
}

impl From<SetupError> for io::Error {
    fn from(e: SetupError) -> Self {
        e.source
    }
}
