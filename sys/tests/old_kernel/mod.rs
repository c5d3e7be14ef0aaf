//! What tests leave out on a kernel that is too old for it.

/// Whether a socket refused an option that its kernel does not know, and a word on that.
#[allow(dead_code, reason = "some only ask for the release")]
pub(crate) fn too_old<T>(test: &str, asked: std::io::Result<T>) -> bool {
    match asked {
        Err(e) if e.raw_os_error() == Some(libc::ENOPROTOOPT) => {
            println!("SKIP: {test}: this kernel does not know the option");
            true
        }
        asked => asked.map(|_| false).unwrap(),
    }
}

/// Whether the kernel is that new; a word on it where it is not.
#[allow(dead_code, reason = "some only ask for an option")]
pub(crate) fn since(test: &str, major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().unwrap_or(0));
    let here = (numbers.next().unwrap(), numbers.next().unwrap());
    if here < (major, minor) {
        println!("SKIP: {test}: needs Linux {major}.{minor}");
    }
    here >= (major, minor)
}
