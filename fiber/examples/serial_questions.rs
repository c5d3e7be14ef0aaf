//! A serial line: a question, its answer by a deadline, and what is late thrown away. Run it with
//! `cargo run -p becket-fiber --example serial_questions -- /dev/ttyUSB0 "AT"`; without arguments it plays the device, on
//! a pseudoterminal.

use becket_fiber::pty::Controller;
use becket_fiber::serial::Port;
use becket_fiber::{BufReader, Runtime, sleep, spawn, timeout};
use std::io::{self, BufRead, Write};
use std::time::Duration;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    Runtime::new()?.run(|| {
        if let [path, question] = &args[..] {
            return Ok(println!("{}", ask(&Port::open(path, 115_200)?, question)?));
        }
        let device = Controller::open()?;
        let port = Port::open(device.terminal_path()?, 115_200)?;
        let play = spawn(move || -> io::Result<()> {
            for question in BufReader::new(&device).lines() {
                let question = question?;
                if question.contains("slow") {
                    sleep(Duration::from_millis(500))?;
                }
                writeln!(&device, "answer to {question}")?;
            }
            Ok(())
        })?;
        println!("{}", ask(&port, "temp")?);
        println!("{}", ask(&port, "slow").unwrap_err());
        sleep(Duration::from_millis(300))?;
        println!("{}", ask(&port, "hum")?); // not the answer that came late
        play.cancel();
        Ok(())
    })?
}

fn ask(port: &Port, question: &str) -> io::Result<String> {
    port.discard_input()?;
    timeout(Duration::from_millis(400), || {
        let mut port = port;
        port.write_all(format!("{question}\n").as_bytes())?;
        let mut answer = String::new();
        match BufReader::new(port).read_line(&mut answer)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the device hung up")),
            _ => Ok(answer.trim_end().to_owned()),
        }
    })
}
