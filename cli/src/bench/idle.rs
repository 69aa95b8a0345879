//! Idle connections: what each costs a server in memory that has said one word and fallen silent.

use std::time::{Duration, Instant};

use super::{
    failure::Failure,
    load::{Load, PATIENCE, Stop, TICK},
    meter::Watch,
    progress::Progress,
};

/// One message each way on every connection, so that the server has touched what it keeps for each.
pub(super) fn greet(load: &mut Load, stop: &Stop, progress: &mut Progress) -> Result<u64, Failure> {
    let count = load.clients.len();
    let (mut greeted, mut echoed) = (0, 0);
    let mut last_echo = Instant::now();
    while echoed < count {
        while greeted < count && greeted - echoed < AT_ONCE {
            let client = &mut load.clients[greeted];
            client.queue(&mut load.tools);
            client.flush(Instant::now(), &mut load.tools).map_err(Failure::Broken)?;
            greeted += 1;
        }
        let echoes = load.serve(TICK)?;
        if echoes > 0 {
            last_echo = Instant::now();
            echoed += echoes as usize;
        }
        progress.tick(echoed as u64);
        if stop.is_set() {
            return Err(Failure::Broken("stopped before every connection had its message".to_owned()));
        }
        if last_echo.elapsed() > PATIENCE {
            return Err(Failure::Broken(format!(
                "no echo within {} seconds; {} of {count} connections have theirs",
                PATIENCE.as_secs(),
                echoed
            )));
        }
    }
    Ok(echoed as u64)
}

/// Waits until the server does nothing to speak of, while `serve` answers it; whether it came to that in time.
pub(super) fn wait_until_quiet(
    serve: &mut dyn FnMut(Duration) -> Result<(), Failure>,
    watch: &mut Watch,
    stop: &Stop,
) -> Result<bool, Failure> {
    let began = Instant::now();
    let (mut before, _) = watch.sample()?;
    let mut since = began;
    while began.elapsed() < NOISE_MAX && !stop.is_set() {
        serve(TICK)?;
        let passed = since.elapsed();
        if passed >= QUIET {
            let (used, _) = watch.sample()?;
            if Duration::from_nanos(used - before) <= passed / 100 {
                return Ok(true);
            }
            (before, since) = (used, Instant::now());
        }
    }
    Ok(false)
}

/// Messages under way at once.
const AT_ONCE: usize = 256;
/// A server is quiet that used less than a hundredth of this.
const QUIET: Duration = Duration::from_millis(500);
/// A server that does not fall quiet by then has work of its own.
const NOISE_MAX: Duration = Duration::from_secs(10);
