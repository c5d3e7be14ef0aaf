//! The examples of libraries in C under the loop. Each checks what it got, and ends when nothing is left in its loop:
//! the library has left it, and closed all it had.

use becket_tests::{examples, program::Program, tools};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn libcurl_downloads_many_files_at_once() {
    let finished = Program::start(examples::path("download_many"), [""; 0]).finish(SOON);
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    let (files, rest) = finished.last_line().split_once("; ").unwrap();
    assert_eq!(files, "50 files, 4900775 bytes", "{finished:?}");
    let (connections, failures) = rest.split_once("; ").unwrap();
    assert_eq!(failures, "CutShort, NotFound, Refused, TimedOut");
    // Some are through before the last begin.
    let at_once: u32 = connections.split(' ').next().unwrap().parse().unwrap();
    assert!((10..=50).contains(&at_once), "{connections}");
}

#[test]
fn libcurl_without_files_and_with_nonsense() {
    let finished = Program::start(examples::path("download_many"), ["--files", "0"]).finish(SOON);
    assert!(finished.last_line().starts_with("0 files, 0 bytes; "), "{finished:?}");
    let finished = Program::start(examples::path("download_many"), ["--files", "many"]).finish(SOON);
    assert_eq!(finished.status.code(), Some(2), "{finished:?}");
    assert!(finished.stderr.contains("many"), "{finished:?}");
}

#[test]
fn c_ares_resolves_names() {
    if tools::find_or_skip("cmake").is_none() {
        return;
    }
    let finished = Program::start(examples::path_with("c-ares", "resolve_names"), [""; 0]).finish(SOON);
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    assert_eq!(finished.last_line(), "7 questions, all answered as they should be");
    for line in ["two.test A: [192.0.2.2, 192.0.2.3]", "one.test Aaaa: [2001:db8::1]"] {
        assert!(finished.stdout.contains(line), "{finished:?}");
    }
}
