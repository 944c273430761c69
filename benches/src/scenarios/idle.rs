//! Durable queues that hold nothing: what each costs in memory, and how fast they are declared.

use super::{Row, Stage};
use crate::conn::{Connection, QueueOptions};
use crate::error::Result;

/// How many declares between two looks at the server's memory.
const DECLARES_PER_LOOK: u32 = 1_000;

/// Declares `count` durable queues, one after the other on one channel; the row `queues-COUNT`, whose peak is what they take.
///
/// # Errors
/// The server refused one, or has ended.
pub fn run(stage: &mut Stage, count: u32) -> Result<Row> {
    let mut conn = Connection::open(stage.address)?;
    let options = QueueOptions { passive: false, arguments: stage.target.queue_arguments() };
    let before = stage.read();
    for nth in 0..count {
        conn.declare_queue(&format!("idle-{nth:06}"), options)?;
        if nth.is_multiple_of(DECLARES_PER_LOOK) {
            stage.watch()?;
        }
    }
    stage.watch()?;
    let after = stage.read();
    conn.close()?;
    Ok(stage.row(&format!("queues-{count}"), before, after, u64::from(count)))
}
