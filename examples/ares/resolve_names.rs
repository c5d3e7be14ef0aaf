//! Resolves names by c-ares, from a DNS server on the same loop: some that exist, one that does not, one that has no
//! address of the kind, and one that is never answered.
//!
//! `cargo run -p becket-examples --features c-ares --example resolve_names`. `resolver.rs` is the glue, and worth taking
//! along.

mod dns_server;
mod resolver;

use becket_loop::{AnyId, Id, Loop, Next};
use c_ares::{Error, Options};
use dns_server::addresses;
use resolver::{Answer, Kind, Resolver};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    match resolve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("resolve_names: {e}");
            ExitCode::from(2)
        }
    }
}

/// What to ask, and what has to come of it.
const QUESTIONS: [(&str, Kind, Option<Error>); 7] = [
    ("one.test", Kind::A, None),
    ("one.test", Kind::Aaaa, None),
    ("two.test", Kind::A, None),
    ("two.test", Kind::Aaaa, None),
    ("only-v4.test", Kind::Aaaa, Some(Error::ENODATA)),
    ("missing.test", Kind::A, Some(Error::ENOTFOUND)),
    ("silent.test", Kind::A, Some(Error::ETIMEOUT)),
];

struct State {
    resolver: Id<Resolver>,
    server: AnyId,
    answers: Vec<Answer>,
}

fn resolve() -> Result<(), Box<dyn std::error::Error>> {
    let mut event_loop: Loop<State> = Loop::new()?;
    let (address, server) = dns_server::serve(&mut event_loop)?;
    let mut options = Options::new();
    options.set_timeout(Duration::from_millis(250)).set_tries(2);
    let mut resolver = Resolver::new(options, &[address.to_string()])?;
    for (name, kind, _) in &QUESTIONS[1..] {
        resolver.ask(name, *kind);
    }
    let resolver = event_loop.join(resolver, |state: &mut State, ctx, answer: Answer| {
        match &answer.result {
            Ok(addresses) => println!("{} {:?}: {addresses:?}", answer.name, answer.kind),
            Err(e) => println!("{} {:?}: {e}", answer.name, answer.kind),
        }
        state.answers.push(answer);
        // The closure may call the library: here, for one question more and for the end.
        let resolver = ctx.joined(state.resolver).ok_or("c-ares has left the loop")?;
        match state.answers.len() {
            1 => resolver.ask(QUESTIONS[0].0, QUESTIONS[0].1),
            n if n == QUESTIONS.len() => {
                resolver.finish();
                ctx.cancel(state.server);
            }
            _ => {}
        }
        Ok(Next::Keep)
    });
    // It ends when nothing is left.
    let mut state = State { resolver, server, answers: Vec::new() };
    event_loop.run(&mut state)?;
    for (name, kind, error) in QUESTIONS {
        let answer = state.answers.iter().find(|answer| answer.name == name && answer.kind == kind);
        let result = &answer.ok_or("a question was not answered")?.result;
        let mut expected = addresses(name).unwrap_or_default();
        expected.retain(|address| address.is_ipv4() == (kind == Kind::A));
        if *result != error.map_or(Ok(expected), Err) {
            return Err(format!("{name} {kind:?}: {result:?}").into());
        }
    }
    println!("{} questions, all answered as they should be", state.answers.len());
    Ok(())
}
