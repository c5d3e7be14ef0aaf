//! Fibers as a pipeline: channels of a bounded length, so that the fast wait for the slow. Run it with
//! `cargo run -p becket-fiber --example channel_pipeline`.

use becket_fiber::sync::{SendError, channel};
use becket_fiber::{Runtime, sleep, spawn};
use std::io;
use std::time::Duration;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let (readings, raw) = channel(2);
        let (celsius, values) = channel(2);
        let sensor = spawn(move || {
            (200..).try_for_each(|tenths| readings.send(tenths)) // ends when nobody is left who receives
        })?;
        let convert = spawn(move || {
            for tenths in raw.iter() {
                celsius.send(f64::from(tenths) / 10.0)?;
            }
            Ok::<_, SendError<f64>>(())
        })?;
        for celsius in values.iter().take(5) {
            sleep(Duration::from_millis(2))?; // the slow one: the two before it run no farther ahead than the channels hold
            println!("{celsius:.1}");
        }
        drop(values); // the end travels upwards: each send that fails hands its value back
        println!("not delivered: {:.1}", convert.join()?.unwrap_err().into_value());
        println!("not delivered: {}", sensor.join()?.unwrap_err().into_value());
        Ok(())
    })?
}
