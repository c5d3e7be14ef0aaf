//! The example program wait_gpio_edge: on a folder that stands in for sysfs, and on the simulated GPIO chip of the
//! virtual machine that scripts/test-vm starts. Regular files cannot play an edge.

use becket_tests::examples;
use becket_tests::program::{Finished, Program};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

const SOON: Duration = Duration::from_secs(20);
const PULLS: usize = 200;

fn run(args: &[&str]) -> Finished {
    Program::start(examples::path("wait_gpio_edge"), args).finish(SOON)
}

#[test]
fn bad_arguments_are_told_in_one_line() {
    for (args, told) in [
        (&[][..], "missing argument N: the line's number (see --help)"),
        (&["seventeen"][..], "\"seventeen\" is not the number of a line"),
        (&["17:sideways"][..], "\"sideways\" is none of rising, falling, both"),
        (&["17", "--timeout", "10"][..], "not a duration such as 10s or 500ms"),
        (&["17", "--count", "-1"][..], "invalid digit found in string"),
        (&["17", "18"][..], "unexpected argument \"18\""),
        (&["17", "--root", "/nowhere"][..], "export line 17 in /nowhere: No such file or directory (os error 2)"),
    ] {
        let end = run(args);
        assert_eq!(end.status.code(), Some(2), "{args:?}");
        assert!(end.stderr.starts_with("wait_gpio_edge: ") && end.stderr.contains(told), "{args:?}: {}", end.stderr);
        assert_eq!((end.stderr.lines().count(), end.stdout.as_str()), (1, ""), "{args:?}");
    }
}

#[test]
fn a_line_that_never_changes_ends_by_the_timeout_and_is_unexported() {
    let root = env::temp_dir().join(format!("becket-wait-gpio-edge-{}", std::process::id()));
    fs::create_dir_all(root.join("gpio17")).unwrap();
    // A regular file is ready for nothing but PRI's neighbours READ and WRITE, which nobody asked for.
    for (file, text) in [("value", "1\n"), ("direction", "out\n"), ("edge", "none\n"), ("active_low", "0\n")] {
        fs::write(root.join("gpio17").join(file), text).unwrap();
    }
    fs::write(root.join("export"), "").unwrap();
    fs::write(root.join("unexport"), "").unwrap();

    let end = run(&["17:falling", "--timeout", "50ms", "--root", root.to_str().unwrap()]);
    let text = |file: &str| fs::read_to_string(root.join(file)).unwrap();
    assert_eq!((end.status.code(), end.stderr.as_str()), (Some(1), ""));
    assert_eq!(end.stdout, "line 17 is active, waiting\n");
    assert_eq!((text("gpio17/direction"), text("gpio17/edge")), ("in".into(), "falling".into()));
    assert_eq!((text("export"), text("unexport")), ("17".into(), "17".into()));
    fs::remove_dir_all(root).unwrap();
}

/// The simulated chip, or `None` outside the virtual machine.
fn chip() -> Option<(PathBuf, usize)> {
    let Some(device) = env::var_os("GPIO_SIM_DEV") else {
        eprintln!("SKIP: no simulated GPIO chip here; scripts/test-vm has one");
        return None;
    };
    Some((device.into(), env::var("GPIO_SIM_BASE").unwrap().parse().unwrap()))
}

fn pull(device: &Path, line: usize, up: bool) {
    let file = device.join(format!("sim_gpio{line}/pull"));
    fs::write(file, if up { "pull-up" } else { "pull-down" }).unwrap();
}

/// Starts the program on `line` with its own arguments, once it has said that it waits.
fn waiting(number: usize, edge: &str, count: usize, timeout: &str) -> Program {
    let number = format!("{number}:{edge}");
    let args = [&number, "--count", &count.to_string(), "--timeout", timeout];
    let program = Program::start(examples::path("wait_gpio_edge"), args);
    program.expect_stdout("waiting", SOON);
    program
}

#[test]
fn every_edge_of_a_line_is_seen() {
    let Some((device, base)) = chip() else { return };
    for (line, edge, per_pull) in [(0, "rising", 1), (1, "falling", 1), (2, "both", 2)] {
        pull(&device, line, false);
        let program = waiting(base + line, edge, per_pull * PULLS, "60s");
        let mut edges = 0;
        for _ in 0..PULLS {
            // Sysfs has no queue: the next change comes when this one has been seen.
            for (up, seen) in [(true, edge != "falling"), (false, edge != "rising")] {
                pull(&device, line, up);
                if seen {
                    edges += 1;
                    let text = program.expect_stdout(&format!("edge {edges}:"), SOON);
                    assert!(text.ends_with(if up { "is active" } else { "is inactive" }), "{text}");
                }
            }
        }
        let end = program.finish(SOON);
        let count = end.stdout.lines().filter(|text| text.starts_with("edge ")).count();
        println!("{edge}: {count} of {} edges seen in {PULLS} pulls", per_pull * PULLS);
        assert_eq!((end.status.code(), count), (Some(0), per_pull * PULLS), "{}", end.stderr);
    }
}

#[test]
fn the_edges_of_another_line_are_not_seen() {
    let Some((device, base)) = chip() else { return };
    let program = waiting(base + 3, "both", 1, "5s");
    for _ in 0..PULLS {
        pull(&device, 4, true);
        pull(&device, 4, false);
    }
    let end = program.finish(SOON);
    let count = end.stdout.lines().filter(|text| text.starts_with("edge ")).count();
    println!("another line: {count} of {} edges seen in {PULLS} pulls", 2 * PULLS);
    assert_eq!((end.status.code(), count), (Some(1), 0), "{}", end.stdout);
}

#[test]
fn a_signal_ends_it_and_leaves_the_line_unexported() {
    let Some((_, base)) = chip() else { return };
    let folder = PathBuf::from(format!("/sys/class/gpio/gpio{}", base + 5));
    let program = waiting(base + 5, "both", 1, "60s");
    assert!(folder.exists());
    program.signal(rustix::process::Signal::INT);
    assert_eq!(program.finish(SOON).status.code(), Some(130));
    assert!(!folder.exists());
}
