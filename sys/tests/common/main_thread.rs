//! A harness for tests that must run in the main thread, one after the other: signals sent to the process would
//! otherwise act in another thread. It speaks what `cargo test` and nextest ask of a harness.

pub(crate) fn run(tests: &[(&str, fn())]) {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|a| a == flag);
    // Options of libtest that take a value, which is then no filter.
    let valued = ["--format", "--skip", "--test-threads", "--color", "--logfile", "-Z", "--report-time"];
    let is_filter = |i: &usize| !args[*i].starts_with('-') && (*i == 0 || !valued.contains(&args[*i - 1].as_str()));
    let filters: Vec<&str> = (0..args.len()).filter(is_filter).map(|i| args[i].as_str()).collect();
    let chosen = |name: &str| {
        filters.is_empty() || filters.iter().any(|f| if has("--exact") { name == *f } else { name.contains(f) })
    };
    // None of the tests is an ignored one.
    let tests = tests.iter().filter(|(name, _)| chosen(name) && !has("--ignored"));
    for (name, test) in tests {
        if has("--list") {
            println!("{name}: test");
        } else {
            test();
            println!("test {name} ... ok");
        }
    }
}
