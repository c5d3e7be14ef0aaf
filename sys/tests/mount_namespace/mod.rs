//! A table of mounts that a test has for itself.

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use std::path::Path;

/// Runs `f` on a thread of its own whose mounts nobody else sees, with a directory on which a tmpfs is mounted. Says
/// SKIP where that is not allowed. The threads that `f` makes see these mounts, too.
pub(crate) fn in_own(test: &'static str, f: impl FnOnce(&Path) + Send + 'static) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mounts-{test}-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    let place = dir.clone();
    let done = std::thread::spawn(move || {
        #[allow(unsafe_code, reason = "the namespace is this thread's alone")]
        // SAFETY: no memory is passed, and this thread, whose directory is now its own as well, ends soon.
        if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
            return println!("SKIP: {test}: no mount namespace: {}", std::io::Error::last_os_error());
        }
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).unwrap();
        mount("becket", &place, "tmpfs", MountFlags::NOSUID, c"size=1m").unwrap();
        f(&place);
    })
    .join();
    std::fs::remove_dir(&dir).unwrap();
    done.unwrap();
}
