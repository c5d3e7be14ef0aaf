//! An independent witness: `mosquitto_sub`, which prints what the broker hands out.

use super::LONG;
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A `mosquitto_sub` with a session that the broker keeps. Dropping it kills it.
pub struct Subscriber {
    child: Child,
    port: u16,
    folder: &'static str,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Subscriber {
    /// Subscribes to `FOLDER/#` at QoS 2, and returns when the broker knows; `None`, with a line that says SKIP, where
    /// there is no `mosquitto_sub`.
    pub fn start(port: u16, folder: &'static str) -> Option<Subscriber> {
        let args = ["-q", "2", "-c", "-i", "witness", "-F", "%t %p", "-t"];
        let mut command = Command::new("mosquitto_sub");
        command.args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(args).arg(format!("{folder}/#"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let Ok(mut child) = child else {
            println!("SKIP: no mosquitto_sub found");
            return None;
        };
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let own = Arc::clone(&lines);
        thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| own.lock().unwrap().push(line)));
        let subscriber = Subscriber { child, port, folder, lines };
        // A retained message comes with the subscription.
        subscriber.mark("begin", &["-r"]);
        Some(subscriber)
    }

    /// How often each topic (below the folder) and payload came, with all that the broker had when this was called.
    pub fn seen(self) -> HashMap<(String, String), usize> {
        self.mark("end", &[]);
        let mut seen = HashMap::new();
        for line in self.lines.lock().unwrap().iter() {
            let (topic, payload) = line.split_once(' ').expect("a topic and a payload");
            let topic = topic.strip_prefix(self.folder).and_then(|topic| topic.strip_prefix('/')).unwrap();
            if !["begin", "end"].contains(&topic) {
                *seen.entry((topic.to_owned(), payload.to_owned())).or_insert(0) += 1;
            }
        }
        seen
    }

    /// Publishes a word by `mosquitto_pub`, and waits until it is here.
    fn mark(&self, word: &str, args: &[&str]) {
        let topic = format!("{}/{word}", self.folder);
        let line = format!("{topic} {word}");
        let end = Instant::now() + LONG;
        let mut again = Instant::now();
        while !self.lines.lock().unwrap().contains(&line) {
            assert!(Instant::now() < end, "{line} is not seen");
            // Once more where the broker has forgotten who subscribed, and the subscriber is not back.
            if Instant::now() >= again {
                again = Instant::now() + Duration::from_secs(2);
                let status = Command::new("mosquitto_pub")
                    .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-q", "2", "-t", &topic, "-m", word])
                    .args(args)
                    .status();
                assert!(status.is_ok_and(|status| status.success()));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
