//! The examples of terminals, timers, signals, processes, pipes and files end by themselves, and well. In the main
//! thread, for one of them reads signals.

#[path = "common/descriptors.rs"]
mod descriptors;

#[path = "common/main_thread.rs"]
mod main_thread;

#[path = "../examples/file_lock.rs"]
mod file_lock;
#[path = "../examples/pidfd.rs"]
mod pidfd;
#[path = "../examples/pty_shell.rs"]
mod pty_shell;
#[path = "../examples/serial_loopback_pty.rs"]
mod serial_loopback_pty;
#[path = "../examples/signals.rs"]
mod signals;
#[path = "../examples/splice_pipe.rs"]
mod splice_pipe;
#[path = "../examples/timerfd_ticks.rs"]
mod timerfd_ticks;

fn main() {
    main_thread::run(&[
        ("timerfd_ticks", || timerfd_ticks::main().unwrap()),
        ("signals", || signals::main().unwrap()),
        ("pidfd", || pidfd::main().unwrap()),
        ("pty_shell", || pty_shell::main().unwrap()),
        ("serial_loopback_pty", || serial_loopback_pty::main().unwrap()),
        ("splice_pipe", || splice_pipe::main().unwrap()),
        ("file_lock", || file_lock::main().unwrap()),
    ]);
}
