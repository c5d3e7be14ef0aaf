//! The examples of becket-sys, each run as its users run it. What they need of hardware or rights is played here: GPIO
//! lines by the virtual machine that scripts/test-vm starts, a network and mounts by namespaces of the test's own. The
//! far end of input devices is in sys/tests/input_devices.rs, with the example that reads them.

#[path = "../../sys/tests/mount_namespace/mod.rs"]
mod mount_namespace;
#[path = "../../sys/tests/net_namespace/mod.rs"]
mod net_namespace;

use becket_sys::gpio::Chip;
use becket_sys::netlink::{Flags, Protocol, Request, Socket};
use becket_tests::examples::{self, Run, assert_complete, run_all};
use becket_tests::program::Program;
use rustix::time::{ClockId, clock_gettime, clock_settime};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

const SOON: Duration = Duration::from_secs(30);

/// What ends by itself and prints the same everywhere, save for what stands as `{..}`.
const TABLE: &[Run<'_>] = &[
    (
        "accept_exhausted",
        &[],
        "accept: Too many open files (os error 24)\nturned away: true\nthe client reads Some(0): the end\n\
         quiet in between: true; the next is served: true\n",
    ),
    ("any_child", &[], "mine: exit status: 7\nan orphan: exit status: 3\nmine, waited for: exit status: 7\n"),
    ("clock_alarm", &["100"], "waiting\n{..}it is {..}00 ms since 1970\n"),
    ("device_events", &[], "{..}change mem /devices/virtual/mem/null\n"),
    ("device_events", &["0"], "{..}"),
    (
        "epoll_edges",
        &[],
        "written: 1 event, of the pipe: true\nread Some(4)\nhalf of it read: 0 event, of the pipe: true\n\
         more written: 1 event, of the pipe: true\nread 4\nread 4\nwritten: 1 event, of the pipe: true\n\
         armed again: 1 event, of the pipe: true\n",
    ),
    ("event_semaphore", &[], "6 workers, at most 2 at a time\n"),
    (
        "fifo_rendezvous",
        &[],
        "a writer before any reader: Err(Some(6))\n\"one\\n\", and the writer has gone: exit status: 0\n\
         \"two\\n\", and the writer has gone: exit status: 0\nnothing more, and no end: None\n",
    ),
    (
        "file_holes",
        &[],
        "made longer: 8 MiB long, takes 0, data at {..}\nwritten to: 8 MiB long, takes {..}, data at {..}\n\
         punched: 8 MiB long, takes {..}, data at {..}\ntakes {..} MiB\n",
    ),
    (
        "file_lock",
        &[],
        "the first locks 0..100: true\n\
         in the way of the second: Conflict { kind: Write, start: 0, end: Some(100), pid: None }\n\
         the second has it in 50 ms: false\nwhile the first has it: false\nafter the unlocking: true\n\
         what the first has kept: false\n",
    ),
    ("gpio_blink", &[], "which chip, which line? The example gpio_list shows what there is\n"),
    ("gpio_edges", &[], "which chip, which lines? The example gpio_list shows what there is\n"),
    ("gpio_list", &[], "{..}"),
    ("gpio_sysfs_edges", &[], "{..}"),
    (
        "guard_exec",
        &[],
        "process {..} starts trusted/true: true\nprocess {..} starts other/true: false\ntrusted 0\nother 126\n",
    ),
    ("input_list", &[], "{..}"),
    ("link_monitor", &["0"], "{..}lo is {..}mtu {..}127.0.0.1/8\n{..}"),
    (
        "memfd_sealed",
        &[],
        "Err(\"not sealed: SHRINK | GROW | WRITE\")\n11 bytes: many pixels\nthe sender writes: Err(PermissionDenied)\n",
    ),
    (
        "pass_descriptor",
        &[],
        "/proc/version: here it is\n  Linux version {..}\n/etc/shadow: permission denied\n/proc/uptime: here it is\n  {..}\n",
    ),
    (
        "pidfd",
        &[],
        "I am {..}child {..} ended: exit status: 0\nchild {..} ended: exit status: 0\nthe last one has ended: true\n",
    ),
    ("pipe_packets", &[], "[\"error\", \"ok\", \"warning:\"]\n"),
    ("psi_alarm", &["0"], "/proc/pressure/memory: Pressure {..}\n{..}enough\n"),
    (
        "pty_shell",
        &[],
        "/dev/pts/{..}\r\n33 100\r\nyour name?\r\nBecket\r\nhello Becket\r\nworking\r\n^Cthe shell ended: exit status: 7\n",
    ),
    (
        "pty_status",
        &[],
        "{..}Status(Status(STOP))\nthe program writes: None\n{..}Status(Status(START))\n\
         and now: Some(4)\n",
    ),
    ("read_input", &[], "which device? The example input_list shows what there is\n"),
    (
        "replace_file",
        &[],
        "names in the folder: 1\nthe file: new version\nwho had it open reads: old version\nnames in the folder: 1\n",
    ),
    ("serial_loopback_pty", &[], "opened at 250000 8N1\nthe device says 42.0\nit refuses parity E\nit hung up: true\n"),
    ("serial_lines", &[], "which port? The example serial_ports shows what there is\n"),
    ("serial_ports", &[], "{..}"),
    ("signals", &[], "SIGTERM from {..}SIGRTMIN+1 from {..}: value Some(42), {..}the child: exit status: 3\n"),
    ("splice_pipe", &[], "a pipe of {..} bytes, now of 131072\n300000 bytes twice, in {..} rounds\n"),
    (
        "tcp_connect_deadline",
        &[],
        "connected {..}, and nobody has accepted\nconnect: in time false\nconnect: refused\n",
    ),
    ("tcp_echo", &[], "sent 8000000 bytes, got 8000000 back, the same: true\n"),
    (
        "tcp_urgent",
        &[],
        "urgent: true\ntaken first: '!'\n\"print 1000 pages\", begins at the mark: false\n\
         \"print 1 page\", begins at the mark: true\n",
    ),
    (
        "terminal_password",
        &[],
        "password: \"secret\"\nseen before: \"password: \"\nseen after: Some(2) bytes, the line's end\n",
    ),
    ("terminal_raw", &[], "keys \"a{..}\\u{3}{..}\\u{1b}{..}q\"\r\nline \"cooked\\n\"\n"),
    ("terminal_size", &[], "24 rows, 80 columns\r\n40 rows, 132 columns\r\n50 rows, 100 columns\r\nexit status: 0\n"),
    (
        "udp_echo",
        &[],
        "hello: HELLO\nwhat a long question this is: 28 bytes are too many\nanybody? Err(ConnectionRefused)\n",
    ),
    ("udp_multicast", &[], "the first: to both\nthe second: true\nthe first: to the first\nthe second: false\n"),
    ("udp_reply_from", &[], "100 questions, 100 answers from 127.0.0.42\n"),
    (
        "unix_datagram",
        &[],
        "the queue is full, more goes: false\nline 0: from this process: true\nas many came as were sent: true\n",
    ),
    ("unix_records", &[], "\"one\" of 3 bytes\n\"\" of 0 bytes\n\"a longer one tha\" of 26 bytes\nthe end\n"),
    (
        "unix_stream",
        &[],
        "bound again: Err(AddrInUse)\nasked: who am I?\nanswered: process Some({..}), user {..}\nthen the end: Some(0)\n\
         the file is there: false\n",
    ),
    ("watch_attribute", &[], "populated 1{..}\npopulated 0{..}\n"),
    ("watch_by_handle", &[], "Mask(MOVED_FROM | CREATE) letter in inbox\nMask(MOVED_TO | DELETE) letter in outbox\n"),
    (
        "watch_folder",
        &[],
        "Mask(CREATE) settings.new\nMask(CLOSE_WRITE) settings.new\nMask(MOVED_FROM) settings.new\n\
         Mask(MOVED_TO) settings\n  it was settings.new\nMask(DELETE) settings\nthe folder is gone\n",
    ),
    ("watch_mounts", &["0"], "{..} at / ({..}"),
    ("watch_recursive", &[], "+ {..}\n+ {..}/a\n{..}- {..}/a\n+ {..}/z\n{..}- {..}/z\n- {..}\n"),
];

/// The same things, each under another loop, in an order of its own.
const UNDER: [&str; 6] =
    ["under_async_io", "under_calloop", "under_epoll", "under_mio", "under_polling", "under_tokio"];

fn start(name: &str, args: &[&str]) -> Program {
    Program::start(examples::path(name), args)
}

#[test]
fn each_prints_what_it_is_to_print() {
    run_all(TABLE);
}

#[test]
fn none_is_left_out() {
    if !examples::workspace().join("sys/examples").is_dir() {
        return println!("SKIP: none_is_left_out: the source tree is not here");
    }
    assert_complete("sys/examples", TABLE, &[&["timerfd_ticks"][..], &UNDER].concat());
}

#[test]
fn the_same_happens_under_each_loop() {
    for name in UNDER {
        let finished = start(name, &[]).finish(SOON);
        let mut lines: Vec<_> = finished.stdout.lines().collect();
        lines.sort_unstable();
        let expected = ["child: exit status: 0", "signal: SIGTERM", "timer: Expired(1)", "urgent: '!'"];
        assert!(finished.status.success() && lines == expected, "{name}: {finished:?}");
    }
}

#[test]
fn ticks_keep_their_phase_and_are_never_early() {
    let finished = start("timerfd_ticks", &[]).finish(SOON);
    let lines: Vec<_> = finished.stdout.lines().collect();
    assert!(finished.status.success() && lines.len() == 5 && lines[2].ends_with(" missed"), "{finished:?}");
    for line in lines {
        let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        assert!(numbers[1] >= 50 * numbers[0], "{line}");
    }
}

#[test]
fn those_that_watch_the_machine_end_by_themselves() {
    let running = ["link_monitor", "psi_alarm", "watch_mounts"].map(|name| (name, start(name, &[])));
    for (name, program) in running {
        let finished = program.finish(SOON);
        assert_eq!((finished.status.code(), finished.stderr.as_str()), (Some(0), ""), "{name}: {}", finished.stdout);
    }
}

#[test]
fn what_is_wrong_with_an_argument_is_told() {
    for (name, args, told) in [
        ("gpio_edges", &["/dev/null", "1"][..], "identify"),
        ("gpio_blink", &["/dev/there-is-none", "1"][..], "NotFound"),
        ("gpio_sysfs_edges", &["no chip has this label", "1"][..], "o"),
        ("read_input", &["/dev/null"][..], "identify"),
        ("serial_ports", &["/dev/there-is-none"][..], "NotFound"),
        ("clock_alarm", &["0"][..], "Error"),
        ("watch_folder", &["/proc/version"][..], "NotADirectory"),
    ] {
        let finished = start(name, args).finish(SOON);
        assert!(finished.status.code() == Some(1) && finished.stderr.contains(told), "{name} {args:?}: {finished:?}");
    }
}

#[test]
fn the_alarm_is_told_that_the_clock_was_set() {
    // It rings at each full eight seconds; not soon.
    while clock_gettime(ClockId::Realtime).tv_sec % 8 > 1 {
        thread::sleep(Duration::from_millis(20));
    }
    let alarm = start("clock_alarm", &["8000"]);
    alarm.expect_stdout("waiting", SOON);
    thread::sleep(Duration::from_millis(50));
    // To what it is, which moves it by the time between the two calls.
    if let Err(e) = clock_settime(ClockId::Realtime, clock_gettime(ClockId::Realtime)) {
        return println!("SKIP: the_alarm_is_told_that_the_clock_was_set: no CAP_SYS_TIME ({e})");
    }
    alarm.expect_stdout("the clock was set", SOON);
    let finished = alarm.finish(SOON);
    assert!(finished.status.success() && finished.last_line().ends_with("000 ms since 1970"), "{finished:?}");
}

#[test]
fn links_that_come_and_go_are_told() {
    net_namespace::in_own("links_that_come_and_go_are_told", || {
        let mut monitor = start("link_monitor", &["60"]);
        monitor.expect_stdout("lo is down", SOON);
        // The list is printed after the monitor has begun, so nothing from here on is missed.
        let ask = |request: &Request| {
            Socket::new(Protocol::ROUTE).unwrap().request(request, Some(Instant::now() + SOON)).unwrap();
        };
        ask(&net_namespace::new_pair("cable"));
        let line = monitor.expect_stdout(": cable is down", SOON);
        assert!(line.starts_with("* "), "{line}");
        let mut away = Request::new(libc::RTM_DELLINK, Flags::empty());
        away.put([0; 16]);
        away.attr_str(libc::IFLA_IFNAME, "cable");
        ask(&away);
        monitor.expect_stdout("- ", SOON);
        assert!(monitor.is_running());
    });
}

#[test]
fn mounts_that_come_and_go_are_told() {
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
    mount_namespace::in_own("mounts_that_come_and_go_are_told", |place| {
        let watch = start("watch_mounts", &["60"]);
        watch.expect_stdout(&format!("tmpfs becket at {} (", place.display()), SOON);
        let inner = place.join("inner");
        fs::create_dir(&inner).unwrap();
        mount("inner", &inner, "tmpfs", MountFlags::NOEXEC, c"size=1m").unwrap();
        watch.expect_stdout(&format!("+ tmpfs inner at {} (rw,noexec", inner.display()), SOON);
        unmount(&inner, UnmountFlags::empty()).unwrap();
        watch.expect_stdout(&format!("- tmpfs inner at {}", inner.display()), SOON);
    });
}

/// What `watch_recursive` says is there, after all that it has printed.
fn said(output: &str) -> BTreeSet<PathBuf> {
    let mut there = BTreeSet::<PathBuf>::new();
    for line in output.lines() {
        let (sign, path) = line.split_at(2);
        match sign {
            "+ " => _ = there.insert(path.into()),
            "- " => there.retain(|known| !known.starts_with(path)),
            _ => {}
        }
    }
    there
}

/// What is there.
fn list(path: &Path, into: &mut BTreeSet<PathBuf>) {
    into.insert(path.to_owned());
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        list(&entry.path(), into);
    }
}

/// Folders come whole, are moved within and out of the tree, and come back; then more happens than the queue holds,
/// moves of folders among it. What was printed adds up each time.
#[test]
fn a_tree_is_followed_through_moves_and_loss() {
    let folder = env::temp_dir().join(format!("becket-tree-{}", process::id()));
    let (root, outside) = (folder.join("root"), folder.join("outside"));
    fs::create_dir_all(root.join("old/deep")).unwrap();
    let watch = start("watch_recursive", &[root.to_str().unwrap()]);
    // From then on it misses nothing.
    watch.expect_stdout(&format!("+ {}", root.join("old/deep").display()), SOON);
    let mut end = 0;
    let mut settle = || {
        end += 1;
        let name = root.join(format!("end-{end}"));
        fs::write(&name, "").unwrap();
        watch.expect_stdout(&format!("* {}", name.display()), SOON);
        let mut there = BTreeSet::new();
        list(&root, &mut there);
        assert_eq!(said(&watch.stdout()), there);
    };
    settle();

    fs::create_dir_all(root.join("a/b/c")).unwrap();
    fs::write(root.join("a/b/c/file"), "").unwrap();
    fs::rename(root.join("a"), root.join("z")).unwrap();
    settle();
    fs::rename(root.join("z/b"), &outside).unwrap();
    fs::create_dir_all(root.join("z/b")).unwrap();
    settle();
    fs::write(outside.join("not-ours"), "").unwrap(); // that folder was watched
    fs::write(root.join("z/b/ours"), "").unwrap();
    settle();
    fs::rename(&outside, root.join("old/back")).unwrap();
    fs::write(root.join("old/back/c/later"), "").unwrap();
    settle();

    let queue = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let queue: u32 = queue.trim().parse().unwrap();
    if queue > 50_000 {
        println!("SKIP: a_tree_is_followed_through_moves_and_loss: a queue of {queue} takes too long to fill");
    } else {
        watch.stop();
        for n in 0..=queue / 2 {
            let name = root.join(format!("passing-{}", n % 3));
            fs::write(&name, "").unwrap();
            fs::remove_file(&name).unwrap();
        }
        fs::rename(root.join("old/back"), root.join("back")).unwrap();
        fs::rename(root.join("z"), &outside).unwrap();
        fs::create_dir_all(root.join("z/new")).unwrap();
        watch.signal(rustix::process::Signal::CONT);
        thread::sleep(Duration::from_millis(100)); // there may be no room yet for what comes next
        let emptied = root.join("emptied");
        fs::write(&emptied, "").unwrap();
        watch.expect_stdout(&format!("+ {}", emptied.display()), SOON);
        assert!(watch.stdout().matches(&format!("- {}\n", root.display())).count() == 1, "it has lost something");
        fs::write(root.join("back/c/after"), "").unwrap();
        fs::write(outside.join("not-ours"), "").unwrap();
        settle();
    }

    fs::remove_dir_all(&root).unwrap();
    let finished = watch.finish(SOON);
    assert!(finished.status.success() && said(&finished.stdout).is_empty(), "{finished:?}");
    fs::remove_dir_all(folder).unwrap();
}

/// On a port of the virtual machine, whose emulator never changes the lines of it.
mod uart {
    use super::*;

    #[test]
    fn modem_lines_are_watched_for_a_while() {
        let Ok(pair) = env::var("SERIAL_PAIR") else {
            return println!("SKIP: modem_lines_are_watched_for_a_while: no UARTs here; scripts/test-vm has two");
        };
        let (begin, path) = (Instant::now(), pair.split(':').next().unwrap());
        let finished = start("serial_lines", &[path, "1"]).finish(SOON);
        assert!(finished.status.success() && begin.elapsed() >= Duration::from_secs(1), "{finished:?}");
        let lines = finished.stdout.strip_prefix("ModemLines(").unwrap();
        assert!(lines.contains("DTR") && lines.contains("RTS") && lines.lines().count() == 1, "{finished:?}");
    }
}

/// On the simulated chip of the virtual machine.
mod gpio {
    use super::*;

    /// The folder that moves its lines, and its device; `None` elsewhere.
    fn chip(test: &str) -> Option<(PathBuf, String)> {
        let Some(device) = env::var_os("GPIO_SIM_DEV") else {
            println!("SKIP: {test}: no simulated GPIO chip here; scripts/test-vm has one");
            return None;
        };
        let chip = Chip::find(env::var("GPIO_SIM_LABEL").unwrap()).unwrap();
        Some((device.into(), format!("/dev/{}", chip.info().name.display())))
    }

    fn pull(device: &Path, line: u32, up: bool) {
        fs::write(device.join(format!("sim_gpio{line}/pull")), if up { "pull-up" } else { "pull-down" }).unwrap();
    }

    #[test]
    fn the_lines_are_listed() {
        let Some((_, chip)) = chip("the_lines_are_listed") else { return };
        let finished = start("gpio_list", &[]).finish(SOON);
        let name = chip.strip_prefix("/dev/").unwrap();
        assert!(finished.stdout.contains(&format!("{name}: sim8, 8 lines\n    0 \"sim-line0\" ")), "{finished:?}");
    }

    #[test]
    fn edges_by_the_character_device() {
        let Some((device, chip)) = chip("edges_by_the_character_device") else { return };
        let mut program = start("gpio_edges", &[&chip, "4", "5"]);
        program.expect_stdout("waiting", SOON);
        let deadline = Instant::now() + SOON;
        for n in 0.. {
            if !program.is_running() {
                break;
            }
            assert!(Instant::now() < deadline, "ten edges");
            pull(&device, 4, n % 2 == 0);
            thread::sleep(Duration::from_millis(20));
        }
        let finished = program.finish(SOON);
        assert_eq!((finished.status.code(), finished.last_line()), (Some(0), "10 edges"), "{finished:?}");
        let edges: Vec<_> = finished.stdout.lines().filter(|line| line.ends_with(", 0 lost before")).collect();
        assert!(edges.len() == 10 && edges.iter().all(|line| line.contains(" line 4 ")), "{finished:?}");
    }

    #[test]
    fn edges_by_sysfs() {
        let Some((device, _)) = chip("edges_by_sysfs") else { return };
        pull(&device, 2, false);
        let program = start("gpio_sysfs_edges", &[&env::var("GPIO_SIM_LABEL").unwrap(), "2"]);
        program.expect_stdout(" is false, waiting", SOON);
        for n in 1..=10 {
            pull(&device, 2, n % 2 == 1);
            program.expect_stdout(&format!("edge {n}: {}", n % 2 == 1), SOON);
        }
        let finished = program.finish(SOON);
        assert_eq!((finished.status.code(), finished.last_line()), (Some(0), "10 edges"), "{finished:?}");
    }

    #[test]
    fn a_line_blinks() {
        let Some((device, chip)) = chip("a_line_blinks") else { return };
        let mut program = start("gpio_blink", &[&chip, "6"]);
        let mut seen = BTreeSet::new();
        while program.is_running() {
            seen.insert(fs::read_to_string(device.join("sim_gpio6/value")).unwrap().trim_end().to_owned());
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(program.finish(SOON).stdout, "line 6 on\nline 6 off\n".repeat(3));
        assert_eq!(seen, BTreeSet::from(["0".into(), "1".into()]), "what was on the wire");
    }
}
