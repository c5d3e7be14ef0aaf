//! Directories, as by `std::fs`, while other fibers run: the size of all files below a folder. Run it with
//! `cargo run -p becket-fiber --example walk_a_folder -- FOLDER`; without one it makes one for itself.

use becket_fiber::{Runtime, fs};
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| match std::env::args_os().nth(1) {
        Some(folder) => tell(Path::new(&folder)),
        None => {
            let folder = std::env::temp_dir().join(format!("becket-walk-{}", std::process::id()));
            fs::create_dir_all(folder.join("a/b"))?;
            fs::write(folder.join("a/one"), "1")?;
            fs::write(folder.join("a/b/three"), "123")?;
            fs::symlink("a", folder.join("link"))?;
            let told = tell(&folder);
            fs::remove_dir_all(&folder).and(told)
        }
    })?
}

fn tell(folder: &Path) -> io::Result<()> {
    let (mut files, mut bytes) = (0_u64, 0);
    let mut folders = vec![folder.to_owned()]; // rather than recursion: a fiber's stack is small
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?; // of the entry itself: links are not followed
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files += 1;
                bytes += entry.metadata()?.len();
            }
        }
    }
    println!("{files} files, {bytes} bytes");
    Ok(())
}
