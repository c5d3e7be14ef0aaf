//! Lists a folder and asks for the size of each file in it, all at once: operations that are under way together end in any
//! order.
//!
//! `cargo run -p becket-loop --example folder_sizes [FOLDER]`

use becket_loop::op::{Stat, read_dir};
use becket_loop::{Loop, RunError};
use std::collections::BTreeMap;

fn main() -> Result<(), RunError> {
    let folder = std::env::args().nth(1).unwrap_or("/proc/sys/kernel/random".into());
    let mut event_loop: Loop<BTreeMap<String, u64>> = Loop::new()?;
    // Reading a folder is a call that blocks, on a helper thread: the outer error is that of the call.
    event_loop.submit(read_dir(folder), |_, ctx, entries| {
        for entry in entries?? {
            let name = entry.file_name().to_string_lossy().into_owned();
            ctx.submit(Stat::link(entry.path())?, move |sizes: &mut BTreeMap<_, _>, _, metadata| {
                // Gone in between: that happens to folders that others write to.
                if let Ok(metadata) = metadata {
                    sizes.insert(name, metadata.len());
                }
                Ok(())
            });
        }
        Ok(())
    });
    let mut sizes = BTreeMap::new();
    event_loop.run(&mut sizes)?; // until no operation is left
    sizes.iter().for_each(|(name, size)| println!("{size:>8} {name}"));
    println!("{} entries", sizes.len());
    Ok(())
}
