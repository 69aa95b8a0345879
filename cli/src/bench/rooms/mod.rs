//! Rooms: every connection joins one and publishes there at its time, and what it publishes comes to all who are in it.
//!
//! `dialect` says how a server of rooms is spoken to; a `member` is one connection, the `crowd` all of them; `paced` is the
//! open loop over them.

mod crowd;
mod dialect;
mod member;
mod paced;

use std::time::{Duration, Instant};

pub(super) use dialect::Dialect;

use super::{
    Tools,
    failure::Failure,
    idle, options,
    payload::Payloads,
    prepare,
    progress::Progress,
    report::{self, Figures, Server},
    require_some, resident,
};
use crowd::Crowd;
use member::Shape;
use paced::Paced;

pub(super) fn run(options: &options::Rooms) -> Result<(), Failure> {
    let options::Rooms { common, rooms, dialect, size, rate, span } = options;
    if common.raw {
        return Err(Failure::Usage("rooms has no --raw: plain TCP has no rooms".to_owned()));
    }
    let (warmup, time, connections) = (span.warmup, span.seconds, common.connections);
    let shape = Shape { dialect: *dialect, connections, rooms: *rooms };
    let (target, stop, mut watch) = prepare(common)?;
    let before = resident(&watch)?;
    let began = Instant::now();
    let tools = Tools::new(Payloads::new(*size as usize, true), 1, common.deflate)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let mut progress = Progress::of_things("joining", connections.into());
    let gathered = Crowd::gather(&target, shape, tools, &stop, &mut progress);
    drop(progress);
    let mut crowd = gathered.map_err(|failure| watch.blame(failure))?;
    let join_seconds = began.elapsed().as_secs_f64();
    let quiet = match watch.server {
        Some(_) => {
            let mut serve = |at_most: Duration| crowd.serve(at_most, &mut |_, _| {});
            Some(idle::wait_until_quiet(&mut serve, &mut watch, &stop).map_err(|why| watch.blame(why))?)
        }
        None => None,
    };
    let joined = resident(&watch)?;
    let mut progress = Progress::of_time("measuring", warmup + time);
    let ran = Paced::new(&mut crowd, shape, *rate, warmup, time).run(&mut watch, &stop, &mut progress);
    drop(progress);
    let (measured, open_loop) = ran.map_err(|failure| watch.blame(failure))?;
    require_some(&measured, "delivery")?;
    let server =
        measured.server(&watch)?.zip(before.zip(joined)).map(|((server, cpu), (before, joined))| Server {
            cpu_us_per_delivery: Some(cpu),
            rss_bytes_peak: watch.server.as_ref().and_then(|process| process.rss_bytes_peak()),
            rss_bytes_joined: Some(joined),
            rss_bytes_per_connection: Some((joined as f64 - before as f64) / f64::from(connections)),
            rss_bytes_before: Some(before),
            ..server
        });
    crowd.close();
    let figures = Figures::Rooms(report::Rooms {
        rooms: *rooms,
        dialect: dialect.name(),
        size: *size,
        rate: *rate,
        join_seconds,
        quiet,
        seconds: measured.seconds(),
        deliveries: measured.count,
        expected: open_loop.expected,
        deliveries_per_second: measured.per_second(),
        payload_bytes_per_second: measured.per_second() * f64::from(*size),
        latency_us: measured.latency,
        open_loop,
        load: measured.own(),
    });
    super::report("rooms", common, figures, server, &stop)
}
