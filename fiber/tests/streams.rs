//! What streams have beside reading and writing: connecting to the first of several addresses, halves, copies, buffers
//! that come and go, standard streams.

mod common;

use becket_fiber::net::{TcpListener, TcpStream, UnixStream, resolve};
use becket_fiber::{
    BufReader, File, Input, Io, Output, copy, is_cancelled, pipe, pty, scope, shield, sleep, spawn, timeout,
};
use common::{HOUR, each_backend, kind, settle};
use std::io::{self, BufRead, ErrorKind, IoSlice, Read, Seek, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

/// Runs `test` in a fiber on each backend.
fn in_fiber(test: impl Fn() -> io::Result<()>) {
    each_backend(|rt| rt.run(&test).unwrap().unwrap());
}

/// An address that answers to nobody: its listener's queue is full. It does while what this returns lives.
fn silent() -> io::Result<(SocketAddr, Vec<becket_sys::tcp::Connecting>, becket_sys::tcp::Listener)> {
    let full = becket_sys::tcp::Listener::builder().backlog(0).bind(([127, 0, 0, 1], 0))?;
    let address = full.local_addr()?;
    let waiting = (0..4).map(|_| becket_sys::tcp::Stream::connect(address)).collect::<Result<Vec<_>, _>>()?;
    Ok((address, waiting, full))
}

fn nobody() -> io::Result<SocketAddr> {
    TcpListener::bind(([127, 0, 0, 1], 0))?.local_addr()
}

#[test]
fn a_second_handle_waits_in_its_fiber_while_the_first_one_is_used() {
    in_fiber(|| {
        let (mut near, far) = UnixStream::pair()?;
        let mut second = near.try_clone()?;
        let heard = spawn(move || -> io::Result<String> {
            let mut text = String::new();
            second.read_to_string(&mut text)?;
            Ok(text)
        })?;
        sleep(MS)?; // it waits by now
        near.write_all(b"question")?;
        let mut question = [0; 8];
        (&far).read_exact(&mut question)?;
        drop(near); // the second handle keeps the connection
        (&far).write_all(b"answer")?;
        drop(far);
        assert_eq!((&question, &*heard.join()??), (b"question", "answer"));
        Ok(())
    });
}

#[test]
fn the_first_address_that_answers_wins() {
    in_fiber(|| {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
        let good = listener.local_addr()?;
        let (silent, _waiting, _full) = silent()?;

        // Who refuses costs no time, who is silent a quarter of a second.
        let begun = Instant::now();
        assert_eq!(TcpStream::connect_any(&[nobody()?, nobody()?, good])?.peer_addr()?, good);
        let begun_next = Instant::now();
        assert_eq!(TcpStream::connect_any(&[silent, nobody()?, good])?.peer_addr()?, good);
        assert!(begun_next.elapsed() >= 250 * MS);
        assert!(begun_next - begun < Duration::from_secs(20));

        let e = TcpStream::connect_any(&[nobody()?, nobody()?]).unwrap_err();
        assert_eq!((e.kind(), e.step()), (ErrorKind::ConnectionRefused, "connect"));
        assert_eq!(TcpStream::connect_any(&[]).unwrap_err().kind(), ErrorKind::InvalidInput);
        let e = timeout(20 * MS, || TcpStream::connect_any(&[silent, silent])).unwrap_err();
        assert_eq!((e.kind(), e.raw_os_error()), (ErrorKind::TimedOut, None));

        let fiber = spawn(move || TcpStream::connect_any(&[silent, silent]).map(drop).map_err(io::Error::from))?;
        settle();
        fiber.cancel();
        assert!(is_cancelled(&fiber.join()?.unwrap_err()));
        Ok(())
    });
}

#[test]
fn attempts_that_lost_are_closed() {
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    in_fiber(|| {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
        let good = listener.local_addr()?;
        let (silent, waiting, full) = silent()?;
        let before = count();
        let stream = TcpStream::connect_any(&[silent, good])?;
        assert_eq!(stream.peer_addr()?, good);
        // Other tests open and close some in other threads.
        timeout(Duration::from_secs(120), || {
            while count() > before + 1 {
                sleep(10 * MS)?;
            }
            Ok::<_, io::Error>(())
        })?;
        drop((waiting, full));
        Ok(())
    });
}

#[test]
fn names_are_looked_up_while_others_run() {
    in_fiber(|| {
        scope(|s| {
            let lookups: Vec<_> = (0..50).map(|_| s.spawn(|| resolve("localhost:80"))).collect::<Result<_, _>>()?;
            for lookup in lookups {
                assert!(lookup.join()??.iter().all(|a| a.ip().is_loopback() && a.port() == 80));
            }
            Ok::<_, io::Error>(())
        })?;
        let fiber = spawn(|| {
            let _ = sleep(HOUR);
            (resolve("localhost:80").map_err(io::Error::from), shield(|| resolve("localhost:80")).is_ok())
        })?;
        settle();
        fiber.cancel();
        let (refused, found) = fiber.join()?;
        assert!(is_cancelled(&refused.unwrap_err()) && found);
        Ok(())
    });
}

#[test]
fn halves_end_one_direction_and_come_together_again() {
    in_fiber(|| {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
        let client = TcpStream::connect_addr(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        let (mut read, mut write) = client.into_split();
        assert_eq!(read.local_addr()?, write.local_addr()?);
        let echo = spawn(move || {
            let (r, w) = server.split();
            io::copy(&mut &*r, &mut &*w)?;
            server.shutdown(Shutdown::Write)
        })?;
        assert_eq!(write.write_vectored(&[IoSlice::new(b"one "), IoSlice::new(b"way")])?, 7);
        write.flush()?;
        drop(write);
        let mut text = String::new();
        read.read_to_string(&mut text)?;
        assert_eq!(text, "one way");
        echo.join()??;

        let (a, mut b) = UnixStream::pair()?;
        let (read, write) = a.into_split();
        let mut whole = write.unsplit(read).unwrap();
        whole.write_all(b"still open")?;
        drop(whole);
        b.read_to_string(&mut text)?;
        assert!(text.ends_with("still open"));
        Ok(())
    });
}

/// Bytes of which none is where another was.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|n| (n % 251) as u8 ^ (n >> 10) as u8).collect()
}

#[test]
fn copies_between_all_kinds() {
    in_fiber(|| {
        let content = pattern(700_000);
        let path = std::env::temp_dir().join(format!("becket-fiber-copies-{}", std::process::id()));
        let file =
            || -> io::Result<File> { File::options().read(true).write(true).create(true).truncate(true).open(&path) };
        let feed = |mut into: Box<dyn Write>| {
            let content = content.clone();
            spawn(move || into.write_all(&content))
        };
        let collect = |mut from: Box<dyn Read>| {
            spawn(move || {
                let mut all = Vec::new();
                from.read_to_end(&mut all).map(|_| all)
            })
        };

        // Socket to socket.
        let ((a, b), (c, d)) = (UnixStream::pair()?, UnixStream::pair()?);
        let (feeding, collecting) = (feed(Box::new(a))?, collect(Box::new(d))?);
        assert_eq!(copy(&b, &c)?, 700_000);
        drop(c);
        feeding.join()??;
        assert!(collecting.join()?? == content);

        // Pipe to pipe.
        let ((a, b), (c, d)) = (pipe::pair()?, pipe::pair()?);
        let (feeding, collecting) = (feed(Box::new(b))?, collect(Box::new(c))?);
        assert_eq!(copy(&a, &d)?, 700_000);
        drop(d);
        feeding.join()??;
        assert!(collecting.join()?? == content);

        // Pipe to file to socket.
        let (a, b) = pipe::pair()?;
        let feeding = feed(Box::new(b))?;
        let stored = file()?;
        assert_eq!(copy(&a, &stored)?, 700_000);
        feeding.join()??;
        (&stored).rewind()?;
        let (c, d) = UnixStream::pair()?;
        let collecting = collect(Box::new(d))?;
        assert_eq!(copy(&stored, &c)?, 700_000);
        drop(c);
        assert!(collecting.join()?? == content);

        // File to file, from and to the position.
        (&stored).seek(io::SeekFrom::Start(100_000))?;
        let other = File::from(std::fs::File::from(OwnedFd::from(becket_sys::memfd::Memfd::new("copy")?)));
        (&other).write_all(b"head")?;
        assert_eq!(copy(&stored, &other)?, 600_000);
        assert_eq!(other.metadata()?.len(), 600_004);

        // What can only be appended to, and a terminal, have no splice.
        let log = File::options().append(true).open(&path)?;
        let (a, b) = UnixStream::pair()?;
        let feeding = feed(Box::new(a))?;
        assert_eq!(copy(&b, &log)?, 700_000);
        feeding.join()??;
        assert_eq!(log.metadata()?.len(), 1_400_000);
        let (controller, terminal) = pty::pair()?;
        let _raw = terminal.raw_mode()?;
        let (a, b) = pipe::pair()?;
        let feeding = feed(Box::new(b))?;
        let collecting = scope(|s| {
            let screen = s.spawn(|| {
                let mut all = vec![0; content.len()];
                (&controller).read_exact(&mut all).map(|()| all)
            })?;
            assert_eq!(copy(&a, &terminal)?, 700_000);
            screen.join()?
        })?;
        feeding.join()??;
        assert!(collecting == content);
        std::fs::remove_file(&path)
    });
}

#[test]
fn a_deadline_and_a_cancel_end_a_copy() {
    in_fiber(|| {
        let ((_a, b), (c, _d)) = (UnixStream::pair()?, UnixStream::pair()?);
        assert_eq!(kind(timeout(5 * MS, || copy(&b, &c))), Some(ErrorKind::TimedOut));
        // Full at its end: nobody reads.
        let zeros = File::open("/dev/zero")?;
        let fiber = spawn(move || copy(&zeros, &c).map(drop))?;
        sleep(20 * MS)?;
        assert!(!fiber.is_finished());
        fiber.cancel();
        assert!(is_cancelled(&fiber.join()?.unwrap_err()));
        Ok(())
    });
}

#[test]
fn buffers_are_held_while_something_is_in_them() {
    in_fiber(|| {
        let (a, mut b) = UnixStream::pair()?;
        let mut reader = BufReader::new(a);
        b.write_all(b"one\ntwo\n")?;
        let mut line = String::new();
        reader.read_line(&mut line)?;
        assert_eq!((line.as_str(), reader.buffer()), ("one\n", b"two\n".as_slice()));
        reader.read_line(&mut line)?;
        assert_eq!((line.as_str(), reader.buffer().len()), ("one\ntwo\n", 0));
        // Nothing is lost by a deadline.
        assert_eq!(kind(timeout(MS, || reader.read_line(&mut line))), Some(ErrorKind::TimedOut));
        b.write_all(&pattern(100_000))?;
        let mut all = vec![0; 100_000];
        reader.read_exact(&mut all)?;
        assert!(all == pattern(100_000));
        b.write_all(b"tail")?;
        drop(b);
        let mut tail = Vec::new();
        reader.read_to_end(&mut tail)?;
        assert_eq!(tail, b"tail");
        assert_eq!(reader.fill_buf()?, b"");
        reader.into_inner().shutdown(Shutdown::Write)?;

        // Over anything that an `Io` is over, and over references.
        let (r, w) = io::pipe()?;
        let (r, mut w) = (Io::new(r)?, Io::new(w)?);
        w.write_all(b"a b")?;
        drop(w);
        let words: Vec<_> = BufReader::new(&r).split(b' ').collect::<Result<_, _>>()?;
        assert_eq!(words, [b"a", b"b"]);
        Ok(())
    });
}

#[test]
fn shared_streams_stay_in_their_mode_and_wait_in_the_fiber() {
    in_fiber(|| {
        let is_blocking =
            |fd: &dyn AsFd| !rustix::fs::fcntl_getfl(fd.as_fd()).unwrap().contains(rustix::fs::OFlags::NONBLOCK);
        let (reader, writer) = io::pipe()?;
        let (input, output) = (Input::shared(&reader)?, Output::shared(&writer)?);
        let reading = spawn(move || {
            let mut all = Vec::new();
            (&input).read_to_end(&mut all).map(|_| all)
        })?;
        settle();
        assert!(!reading.is_finished());
        (&output).write_all(&pattern(300_000))?;
        assert!(is_blocking(&reader) && is_blocking(&writer));
        drop((output, writer));
        assert!(reading.join()?? == pattern(300_000));

        // Full: it waits, and a cancel ends that.
        let (_reader, writer) = io::pipe()?;
        let output = Output::shared(writer)?;
        let writing = spawn(move || (&output).write_all(&[7; 300_000]))?;
        settle();
        assert!(!writing.is_finished());
        writing.cancel();
        assert!(is_cancelled(&writing.join()?.unwrap_err()));
        let (reader, _writer) = io::pipe()?;
        let input = Input::shared(reader)?;
        assert_eq!(kind(timeout(MS, || (&input).read(&mut [0]))), Some(ErrorKind::TimedOut));

        // Terminals, files and sockets.
        let controller = becket_sys::pty::Controller::open()?;
        let inherited = controller.open_terminal_for_child()?;
        let (mut input, mut output) = (Input::shared(&inherited)?, Output::shared(&inherited)?);
        let controller = Io::new(controller)?;
        output.write_all(b"name? ")?;
        let mut text = [0; 6];
        (&controller).read_exact(&mut text)?;
        assert_eq!(&text, b"name? ");
        let reading = spawn(move || {
            let mut line = [0; 16];
            input.read(&mut line).map(|n| line[..n].to_vec())
        })?;
        settle();
        (&controller).write_all(b"becket\n")?;
        assert_eq!(reading.join()??, b"becket\n");
        assert!(is_blocking(&inherited));

        let file = becket_sys::file::unnamed(std::env::temp_dir())?;
        Output::shared(&file)?.write_all(&pattern(100_000))?;
        (&file).rewind()?;
        let mut all = Vec::new();
        Input::shared(&file)?.read_to_end(&mut all)?;
        assert!(all == pattern(100_000));

        let (a, b) = std::os::unix::net::UnixStream::pair()?;
        let (input, output) = (Input::shared(&a)?, Output::shared(&b)?);
        let reading = spawn(move || {
            let mut five = [0; 5];
            { &input }.read_exact(&mut five).map(|()| five)
        })?;
        settle();
        { &output }.write_all(b"hello")?;
        assert_eq!(&reading.join()??, b"hello");
        assert!(is_blocking(&a) && is_blocking(&b));
        Ok(())
    });
}

#[test]
fn the_standard_streams_of_a_process() {
    // In a process of its own, whose streams are pipes.
    if std::env::var_os("BECKET_STREAMS").is_some() {
        let mut rt = becket_fiber::Runtime::new().unwrap();
        rt.run(|| {
            let ticks = spawn(|| (0..3).try_for_each(|_| sleep(5 * MS)))?;
            let n = copy_words(&becket_fiber::stdin()?, &becket_fiber::stdout()?)?;
            writeln!(becket_fiber::stderr()?, "{n} words")?;
            ticks.join()?
        })
        .unwrap()
        .unwrap();
        std::process::exit(0);
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_standard_streams_of_a_process", "--nocapture"])
        .env("BECKET_STREAMS", "1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_ref().unwrap().write_all(b"top to bottom").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("TOP TO BOTTOM"), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).ends_with("3 words\n"), "{output:?}");
}

fn copy_words(mut from: &Input, mut to: &Output) -> io::Result<usize> {
    let mut text = String::new();
    from.read_to_string(&mut text)?;
    to.write_all(text.to_uppercase().as_bytes())?;
    Ok(text.split(' ').count())
}
