//! What connections cost that wait for messages: ten thousand long polls of one queue, of which none gets anything while
//! it is measured. Called by `sqs`.

use std::time::{Duration, Instant};

use super::http::Http;
use super::servers::Served;
use super::texts::{BATCH, receive};
use super::{Figures, Settings};
use crate::error::{BenchError, Result};
use crate::measure::now_ns;

/// The longest wait of SQS, seconds.
const WAIT_S: u32 = 20;
/// How long after the last poll began the measurement begins, and how long before the first one ends it ends.
const SETTLE: Duration = Duration::from_secs(1);

/// Opens `polls` long polls, reads memory and CPU while they wait, and sees each answered.
///
/// # Errors
/// They take longer to open than they wait, one of them is not answered, or the server failed.
pub fn run(served: &mut Served, polls: u32, _settings: &Settings) -> Result<Figures> {
    let url = served.create_queue("bench", false)?;
    let ask = receive(served.address, &url, BATCH, WAIT_S);
    let started = Instant::now();
    let mut waiting: Vec<Http> = Vec::new();
    for _ in 0..polls {
        let mut http = Http::new(served.address);
        http.ask(&ask)?;
        waiting.push(http);
    }
    std::thread::sleep(SETTLE);
    let first_ends = started + Duration::from_secs(u64::from(WAIT_S));
    let time = first_ends.saturating_duration_since(Instant::now()).saturating_sub(SETTLE);
    if time < SETTLE {
        return Err(BenchError::Run("opening the polls took too long to measure them waiting".to_owned()));
    }
    served.probe.refresh();
    let (before_ns, before_cpu) = (now_ns(), served.probe.cpu_ns());
    std::thread::sleep(time);
    let resident_kib = served.probe.resident_kib();
    let (cpu, wall) = (served.probe.cpu_ns() - before_cpu, now_ns() - before_ns);
    served.check_alive()?;
    for http in &mut waiting {
        let answer = http.answer()?;
        if answer.windows(6).any(|window| window == b"\"Body\"") {
            return Err(BenchError::Run("a message that nobody sent".to_owned()));
        }
    }
    Ok(Figures {
        scenario: format!("idle-{polls}"),
        idle_mib: served.idle_kib as f64 / 1024.0,
        peak_mib: resident_kib as f64 / 1024.0,
        idle_cpu_percent: Some(cpu as f64 * 100.0 / wall.max(1) as f64),
        ..Figures::default()
    })
}
