//! The backend that the environment names.

use becket_loop::Loop;
use std::process::Command;

/// What [`it_names_the_backend`] starts.
#[test]
fn says_over_what() {
    match Loop::<()>::new() {
        Ok(event_loop) => println!("over {}", event_loop.caps().name),
        Err(e) => println!("over none: {:?}: {e}", e.kind()),
    }
}

#[test]
fn it_names_the_backend() {
    let over = |name: Option<&str>| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "says_over_what", "--nocapture"]).env_remove("BECKET_BACKEND");
        name.map(|name| command.env("BECKET_BACKEND", name));
        let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let says = output.lines().find_map(|line| line.split_once("over ")).map(|(_, over)| over.to_owned());
        says.unwrap_or_else(|| panic!("{output}"))
    };
    assert_eq!([over(None), over(Some(""))], ["epoll"; 2]);
    assert_eq!((over(Some("epoll")), over(Some("poll"))), ("epoll".to_owned(), "poll".to_owned()));
    let nonsense = over(Some("kevent"));
    assert!(nonsense.contains("InvalidInput") && nonsense.contains("kevent"), "{nonsense}");
    for (name, built) in [("uring", cfg!(feature = "uring")), ("polling", cfg!(feature = "polling"))] {
        let over = over(Some(name));
        if !built {
            assert!(over.contains("Unsupported") && over.contains(&format!("feature {name}")), "{over}");
        } else if name == "uring" && over.starts_with("none") {
            println!("SKIP: it_names_the_backend: no io_uring here: {over}");
        } else {
            assert_eq!(over, name);
        }
    }
}
