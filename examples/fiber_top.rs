//! A tool that shows what the fibers of a running program do: a list like top(1), and the backtrace of the chosen one.
//!
//! The program serves it by `Runtime::serve_reports(path)`. `cargo run -p becket-examples --features fiber-top
//! --example fiber_top -- PATH` shows it; `--once` prints the list and ends. Keys: up and down choose, `s` sorts by
//! number, time or stack, `q` ends.

use lexopt::prelude::*;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table, TableState};
use ratatui::{Frame, Terminal};
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let (mut path, mut once, mut every) = (None, false, Duration::from_secs(1));
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("once") => once = true,
            Long("every") => every = Duration::try_from_secs_f64(args.value()?.parse()?)?,
            Value(value) if path.is_none() => path = Some(PathBuf::from(value)),
            other => return Err(other.unexpected().into()),
        }
    }
    let path = path.ok_or("usage: fiber_top [--once] [--every SECONDS] PATH")?;
    let mut source = Source::connect(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    if once {
        print!("{}", as_text(source.ask("fibers")?)?);
        return Ok(());
    }
    let mut terminal = ratatui::try_init()?;
    let ended = watch(&mut terminal, &mut source, every);
    ratatui::restore();
    ended
}

/// A connection to the program.
struct Source(BufReader<UnixStream>);

impl Source {
    fn connect(path: &Path) -> io::Result<Source> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?; // its thread may hang, and not answer
        Ok(Source(BufReader::new(stream)))
    }

    fn ask(&mut self, what: &str) -> Result<Fibers, Box<dyn Error>> {
        self.0.get_mut().write_all(format!("{what}\n").as_bytes())?;
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err("the program has ended".into());
        }
        Fibers::parse(&line)
    }
}

/// A report.
#[derive(Default)]
struct Fibers {
    title: String,
    all: Vec<Fiber>,
}

struct Fiber {
    id: u64,
    name: String,
    state: String,
    waits: Option<Duration>,
    left: Option<Duration>,
    stack: Option<(u64, u64)>,
    frames: Vec<String>,
}

impl Fibers {
    fn parse(line: &str) -> Result<Fibers, Box<dyn Error>> {
        let value: Value = serde_json::from_str(line)?;
        let fibers = value["fibers"].as_array().ok_or("no list of fibers")?;
        let title = format!(
            "process {}, thread {}: {} fibers",
            value["process"],
            value["thread"].as_str().unwrap_or("(no name)"),
            fibers.len()
        );
        Ok(Fibers { title, all: fibers.iter().map(Fiber::of).collect() })
    }

    /// How many do what.
    fn summary(&self) -> String {
        let mut counts = BTreeMap::new();
        for fiber in &self.all {
            let what = fiber.state.split(" (").next().unwrap_or_default();
            *counts.entry(what).or_insert(0) += 1;
        }
        let words: Vec<_> = counts.iter().map(|(what, n)| format!("{n} {what}")).collect();
        words.join(", ")
    }

    fn sort(&mut self, by: By) {
        match by {
            By::Number => self.all.sort_by_key(|f| f.id),
            By::Time => self.all.sort_by_key(|f| Reverse(f.waits)),
            By::Stack => self.all.sort_by_key(|f| Reverse(f.stack)),
        }
    }
}

impl Fiber {
    fn of(value: &Value) -> Fiber {
        let time = |key: &str| value[key].as_u64().map(Duration::from_nanos);
        let mut state = value["waits_for"].as_str().or(value["state"].as_str()).unwrap_or("?").to_owned();
        for (key, what) in [("descriptor", "descriptor"), ("joins", "fiber"), ("object", "at")] {
            if let Some(n) = value[key].as_u64() {
                state += &if key == "object" { format!(" ({what} {n:#x})") } else { format!(" ({what} {n})") };
            }
        }
        if value["cancelled"] == true {
            state += ", cancelled";
        }
        let stack = value["stack_used_bytes"].as_u64().zip(value["stack_bytes"].as_u64());
        let frames =
            value["frames"].as_array().map(|all| all.iter().filter_map(Value::as_str).map(String::from).collect());
        Fiber {
            id: value["id"].as_u64().unwrap_or(0),
            name: value["name"].as_str().unwrap_or("").to_owned(),
            state,
            waits: time("waits_ns"),
            left: time("deadline_in_ns"),
            stack,
            frames: frames.unwrap_or_default(),
        }
    }

    fn row(&self) -> [String; 6] {
        let time =
            |time: Option<Duration>| time.map_or_else(String::new, |time| format!("{:.1} s", time.as_secs_f64()));
        let stack =
            self.stack.map_or_else(String::new, |(used, of)| format!("{} of {} KiB", used.div_ceil(1024), of / 1024));
        [self.id.to_string(), self.name.clone(), self.state.clone(), time(self.waits), time(self.left), stack]
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Number,
    Time,
    Stack,
}

struct Top {
    fibers: Fibers,
    by: By,
    list: TableState,
    /// What went wrong last.
    trouble: String,
}

const HEAD: [&str; 6] = ["id", "name", "does", "for", "deadline in", "stack"];

fn draw(frame: &mut Frame<'_>, top: &mut Top) {
    let chosen = top.list.selected().and_then(|at| top.fibers.all.get(at));
    let frames = chosen.map_or(&[][..], |fiber| &fiber.frames);
    let wanted = u16::try_from(frames.len() + 2).unwrap_or(u16::MAX);
    let below_height = if chosen.is_some() { wanted.min(frame.area().height / 3) } else { 0 };
    let [head, list, below, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Fill(3),
        Constraint::Length(below_height),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(top.fibers.title.as_str()), head);
    let widths = [7, 20, 34, 10, 12, 16].map(Constraint::Min);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let below_title = chosen.map_or_else(String::new, |fiber| format!(" fiber {} {} ", fiber.id, fiber.name));
    frame.render_widget(Paragraph::new(frames.join("\n")).block(Block::bordered().title(below_title)), below);
    let rows = top.fibers.all.iter().map(|fiber| Row::new(fiber.row().map(Cell::from)));
    let table = Table::new(rows, widths)
        .header(Row::new(HEAD).style(bold))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let text = if top.trouble.is_empty() { top.fibers.summary() } else { top.trouble.clone() };
    frame.render_stateful_widget(table, list, &mut top.list);
    frame.render_widget(Paragraph::new(text), foot);
}

fn watch(terminal: &mut ratatui::DefaultTerminal, source: &mut Source, every: Duration) -> Result<(), Box<dyn Error>> {
    let mut top =
        Top { fibers: Fibers::default(), by: By::Number, list: TableState::default(), trouble: String::new() };
    let mut due = Instant::now();
    loop {
        if Instant::now() >= due {
            due = Instant::now() + every;
            match source.ask("backtraces") {
                Ok(fibers) => (top.fibers, top.trouble) = (fibers, String::new()),
                Err(e) => top.trouble = e.to_string(),
            }
            top.fibers.sort(top.by);
        }
        terminal.draw(|frame| draw(frame, &mut top))?;
        if !event::poll(due.saturating_duration_since(Instant::now()))? {
            continue;
        }
        let Event::Key(key) = event::read()? else { continue };
        match key.code {
            _ if key.kind == KeyEventKind::Release => {}
            KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
            KeyCode::Down => top.list.select_next(),
            KeyCode::Up => top.list.select_previous(),
            KeyCode::Char('s') => {
                top.by = match top.by {
                    By::Number => By::Time,
                    By::Time => By::Stack,
                    By::Stack => By::Number,
                };
                top.fibers.sort(top.by);
            }
            _ => {}
        }
    }
}

/// What it would show in a terminal of 110 columns, with all fibers.
fn as_text(fibers: Fibers) -> Result<String, Box<dyn Error>> {
    let height = u16::try_from(fibers.all.len() + 3).unwrap_or(u16::MAX);
    let mut terminal = Terminal::new(ratatui::backend::TestBackend::new(110, height))?;
    let mut top = Top { fibers, by: By::Number, list: TableState::default(), trouble: String::new() };
    terminal.draw(|frame| draw(frame, &mut top))?;
    let text = terminal.backend().to_string();
    let lines = text.lines().map(|line| line.trim_matches('"').trim_end());
    Ok(lines.filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use becket_fiber::{Runtime, sleep, spawn_named, unblock};

    /// The text of a screen after the first report, with the last fiber chosen.
    fn screen(source: &mut Source) -> String {
        let fibers = source.ask("backtraces").unwrap();
        let mut list = TableState::default();
        list.select(Some(fibers.all.len() - 1));
        let mut top = Top { fibers, by: By::Number, list, trouble: String::new() };
        let mut terminal = Terminal::new(ratatui::backend::TestBackend::new(120, 30)).unwrap();
        terminal.draw(|frame| draw(frame, &mut top)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn it_shows_a_program_that_runs() {
        let path = std::env::temp_dir().join(format!("becket-fiber-top-{}", std::process::id()));
        let mut runtime = Runtime::new().unwrap();
        runtime.serve_reports(&path).unwrap();
        let (text, list) = runtime
            .run(|| {
                spawn_named("sleeper", || sleep(Duration::from_secs(3600))).unwrap();
                unblock(|| {
                    let mut source = Source::connect(&path).unwrap();
                    let list = as_text(source.ask("fibers").unwrap()).unwrap();
                    (screen(&mut source), list)
                })
                .unwrap()
            })
            .unwrap();
        for word in ["4 fibers", "sleeper", "helper thread", "1 sleep", "KiB", "read (descriptor", "answer"] {
            assert!(text.contains(word), "no {word:?} in {text}");
        }
        assert!(list.contains("sleeper") && list.lines().count() == 7, "{list}");
        let mut fibers =
            Fibers::parse(r#"{"process":1,"thread":null,"fibers":[{"id":2,"waits_ns":5},{"id":1}]}"#).unwrap();
        fibers.sort(By::Number);
        assert_eq!(fibers.all[0].id, 1);
        fibers.sort(By::Time);
        assert_eq!(fibers.all[0].id, 2);
        assert!(Fibers::parse("{}").is_err());
    }
}
