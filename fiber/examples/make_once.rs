//! The first fiber that needs a value makes it, which may take its time; the others wait for it. Run it with
//! `cargo run -p becket-fiber --example make_once`.

use becket_fiber::sync::OnceCell;
use becket_fiber::{Runtime, scope, sleep};
use std::io;
use std::time::Duration;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let token = OnceCell::new();
        let log_in = |user: &str| {
            println!("{user} logs in");
            sleep(Duration::from_millis(5))?;
            if user == "first" { Err(io::Error::other("refused")) } else { Ok(format!("token of {user}")) }
        };
        scope(|s| {
            for user in ["first", "second", "third"] {
                let (token, log_in) = (&token, &log_in);
                s.spawn(move || match token.get_or_try_init(|| log_in(user)) {
                    Ok(token) => println!("{user} has the {token}"),
                    Err(e) => println!("{user}: {e}"), // the next one tries
                })?;
            }
            Ok::<_, io::Error>(())
        })
    })?
}
