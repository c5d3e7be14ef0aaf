//! HTTP as a client: many fibers share one agent of `ureq`. Run it with
//! `cargo run -p becket-libraries --example fetch_many`.

use becket_fiber::net::TcpListener;
use becket_fiber::{Runtime, scope, spawn};
use becket_libraries::http_client::agent;
use becket_libraries::http_server::{Limits, Response, serve};
use becket_libraries::listen::serve_each;
use std::io;

fn main() -> io::Result<()> {
    Runtime::new()?.run(run)?
}

fn run() -> io::Result<()> {
    let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
    let url = format!("http://localhost:{}", listener.local_addr()?.port());
    let agent = agent();
    let server = spawn(move || {
        serve_each(&listener, |stream| {
            serve(&stream, &Limits::default(), |request| Response::ok(format!("this is {}", request.path))).map(drop)
        })
    })?;
    scope(|s| {
        let answers: Vec<_> = (0..20)
            .map(|n| {
                let (agent, url) = (&agent, format!("{url}/page/{n}"));
                s.spawn(move || {
                    let mut answer = agent.get(url).call()?;
                    answer.body_mut().read_to_string()
                })
            })
            .collect::<Result<_, _>>()?;
        for answer in answers {
            println!("{}", answer.join()?.map_err(ureq::Error::into_io)?);
        }
        Ok::<_, io::Error>(())
    })?;
    server.cancel();
    server.join()?
}
