//! `framecast bench`: loads a server, checks what it says, and tells what it took.
//!
//! One thread and one epoll (`load`) serve all connections (`client`, or `opening` until they are open). The scenarios say
//! who sends what when: `closed`, `open`, `idle`, `handshake`, `relay`, and `rooms`, with connections of its own. A `meter` counts, `process` looks at the server from outside,
//! `report` tells.

mod client;
mod closed;
mod failure;
mod handshake;
mod idle;
mod load;
mod meter;
mod open;
mod opening;
mod options;
mod payload;
mod process;
mod progress;
mod relay;
mod report;
mod rooms;
mod schedule;
mod target;

use std::time::Instant;

pub(crate) use failure::Failure;
pub(crate) use options::Scenario;

use client::Tools;
use load::{Load, Stop};
use meter::{Measured, Watch};
use options::{Common, Shape};
use payload::Payloads;
use progress::Progress;
use report::{Figures, Report, Server};
use target::Target;

pub(crate) fn run(scenario: Scenario) -> Result<(), Failure> {
    match scenario {
        Scenario::Echo(options) => echo(&options),
        Scenario::Idle(options) => idle(&options),
        Scenario::Handshake(options) => handshake(&options),
        Scenario::Relay(options) => relay(&options),
        Scenario::Rooms(options) => rooms::run(&options),
    }
}

fn echo(options: &options::Echo) -> Result<(), Failure> {
    let options::Echo { common, shape, depth, span, rate } = options;
    let (warmup, time) = (span.warmup, span.seconds);
    let (target, stop, mut watch) = prepare(common)?;
    let mut load = open(&target, common, common.connections, shape, *depth, &stop)?;
    let mut progress = Progress::of_time("measuring", warmup + time);
    let ran = match rate {
        None => closed::Closed { depth: u64::from(*depth), warmup, time }
            .run(&mut load, &mut watch, &stop, &mut progress)
            .map(|measured| (measured, None)),
        Some(rate) => open::Open::new(&mut load, *rate, warmup, time)
            .run(&mut watch, &stop, &mut progress)
            .map(|(measured, open_loop)| (measured, Some(open_loop))),
    };
    drop(progress);
    let (measured, open_loop) = ran.map_err(|failure| watch.blame(failure))?;
    require_some(&measured, "echo")?;
    let server =
        measured.server(&watch)?.map(|(server, cpu)| Server { cpu_us_per_message: Some(cpu), ..server });
    let reply_bytes = common.deflate.and_then(|_| load.reply_bytes());
    load.close();
    let figures = Figures::Echo(report::Echo {
        depth: rate.is_none().then_some(*depth),
        size: shape.size,
        text: shape.text,
        rate: *rate,
        seconds: measured.seconds(),
        messages: measured.count,
        messages_per_second: measured.per_second(),
        payload_bytes_per_second: measured.per_second() * f64::from(shape.size),
        latency_us: measured.latency,
        reply_bytes,
        open_loop,
        load: measured.own(),
    });
    report("echo", common, figures, server, &stop)
}

fn idle(options: &options::Idle) -> Result<(), Failure> {
    let options::Idle { common, shape } = options;
    let (target, stop, mut watch) = prepare(common)?;
    let before = resident(&watch)?;
    let began = Instant::now();
    let mut load = open(&target, common, common.connections, shape, 1, &stop)?;
    let mut progress = Progress::of_things("greeting", common.connections.into());
    let greeted = idle::greet(&mut load, &stop, &mut progress);
    drop(progress);
    let messages = greeted.map_err(|failure| watch.blame(failure))?;
    let open_seconds = began.elapsed().as_secs_f64();
    let quiet = match watch.server {
        Some(_) => {
            let mut serve = |at_most| load.serve(at_most).map(drop);
            Some(idle::wait_until_quiet(&mut serve, &mut watch, &stop).map_err(|why| watch.blame(why))?)
        }
        None => None,
    };
    let after = resident(&watch)?;
    let server = watch.server.as_ref().zip(before.zip(after)).map(|(process, (before, after))| {
        let server = Server { pid: process.pid(), rss_bytes: after, ..Server::default() };
        server.grown(before, common.connections)
    });
    load.close();
    let (size, text) = (shape.size, shape.text);
    let figures = Figures::Idle(report::Idle { size, text, open_seconds, messages, quiet });
    report("idle", common, figures, server, &stop)
}

fn handshake(options: &options::Handshake) -> Result<(), Failure> {
    let options::Handshake { common, span } = options;
    let (target, stop, mut watch) = prepare(common)?;
    let (connections, warmup, time) = (common.connections, span.warmup, span.seconds);
    let mut progress = Progress::of_time("measuring", warmup + time);
    let handshakes =
        handshake::Handshakes { target: &target, connections, deflate: common.deflate, warmup, time };
    let ran = handshakes.run(&mut watch, &stop, &mut progress);
    drop(progress);
    let measured = ran.map_err(|failure| watch.blame(failure))?;
    require_some(&measured, "handshake")?;
    let server =
        measured.server(&watch)?.map(|(server, cpu)| Server { cpu_us_per_handshake: Some(cpu), ..server });
    let figures = Figures::Handshake(report::Handshake {
        seconds: measured.seconds(),
        handshakes: measured.count,
        handshakes_per_second: measured.per_second(),
        latency_us: measured.latency,
        load: measured.own(),
    });
    report("handshake", common, figures, server, &stop)
}

fn relay(options: &options::Relay) -> Result<(), Failure> {
    let options::Relay { common, shape, depth, span, rate, stalled } = options;
    if common.raw {
        return Err(Failure::Usage("relay has no --raw: plain TCP has no messages to relay".to_owned()));
    }
    let (warmup, time, connections) = (span.warmup, span.seconds, common.connections + stalled);
    let (target, stop, mut watch) = prepare(common)?;
    let before = resident(&watch)?;
    let mut load = open(&target, common, connections, shape, *depth, &stop)?;
    load.relay(*stalled)?;
    let mut progress = Progress::of_time("measuring", warmup + time);
    let ran = match rate {
        None => relay::Relay { depth: u64::from(*depth), warmup, time }
            .run(&mut load, &mut watch, &stop, &mut progress)
            .map(|measured| (measured, None)),
        Some(rate) => open::Open::new(&mut load, *rate, warmup, time)
            .run(&mut watch, &stop, &mut progress)
            .map(|(measured, open_loop)| (measured, Some(open_loop))),
    };
    drop(progress);
    let (measured, open_loop) = ran.map_err(|failure| watch.blame(failure))?;
    require_some(&measured, "delivery")?;
    let server = measured.server(&watch)?.zip(before).map(|((server, cpu), before)| Server {
        cpu_us_per_delivery: Some(cpu),
        rss_bytes_peak: watch.server.as_ref().and_then(|process| process.rss_bytes_peak()),
        ..server.grown(before, connections)
    });
    let reply_bytes = common.deflate.and_then(|_| load.reply_bytes());
    load.close();
    let figures = Figures::Relay(report::Relay {
        depth: rate.is_none().then_some(*depth),
        size: shape.size,
        text: shape.text,
        rate: *rate,
        stalled: *stalled,
        seconds: measured.seconds(),
        deliveries: measured.count,
        deliveries_per_second: measured.per_second(),
        payload_bytes_per_second: measured.per_second() * f64::from(shape.size),
        latency_us: measured.latency,
        reply_bytes,
        open_loop,
        load: measured.own(),
    });
    report("relay", common, figures, server, &stop)
}

fn resident(watch: &Watch) -> Result<Option<u64>, Failure> {
    watch.server.as_ref().map(|server| server.rss_bytes()).transpose()
}

fn prepare(common: &Common) -> Result<(Target, Stop, Watch), Failure> {
    let target = common.target()?;
    Ok((target, Stop::at_signals()?, Watch::new(common.pid)?))
}

fn open(
    target: &Target,
    common: &Common,
    connections: u32,
    shape: &Shape,
    depth: u32,
    stop: &Stop,
) -> Result<Load, Failure> {
    let payloads = Payloads::new(shape.size as usize, shape.text);
    let tools = Tools::new(payloads, depth as usize, common.deflate)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let mut progress = Progress::of_things("connecting", connections.into());
    Load::open(target, connections, tools, stop, &mut progress)
}

/// There is no percentile of nothing.
fn require_some(measured: &Measured, thing: &str) -> Result<(), Failure> {
    if measured.count == 0 {
        let seconds = measured.seconds();
        return Err(Failure::Broken(format!("no {thing} was complete within the {seconds:.1} s measured")));
    }
    Ok(())
}

fn report(
    scenario: &'static str,
    common: &Common,
    figures: Figures,
    server: Option<Server>,
    stop: &Stop,
) -> Result<(), Failure> {
    let (url, raw, connections) = (common.url.clone(), common.raw, common.connections);
    Report { scenario, url, raw, connections, figures, server, interrupted: stop.is_set() }.print(common.json)
}
