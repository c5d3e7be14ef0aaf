//! Lines on standard error, which carries no more than these: what happened, to what.

/// Prints a line on standard error. One that cannot be printed is no reason to stop.
macro_rules! log {
    ($($message:tt)*) => {{
        use std::io::Write;
        let _ = std::io::stderr().write_all(format!("gateway: {}\n", format_args!($($message)*)).as_bytes());
    }};
}

pub(crate) use log;
