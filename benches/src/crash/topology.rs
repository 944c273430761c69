//! The durable queues and bindings that the crash test has declared, and the look whether they are still there.

use std::net::SocketAddr;

use crate::conn::{Connection, QueueOptions};
use crate::error::{BenchError, Result};
use crate::server::Target;

/// The durable direct exchange that half of all messages go through.
pub const EXCHANGE: &str = "crash.direct";

/// A queue that was declared; its number is its place in [`Topology::queues`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its name, which is also its binding key.
    pub name: String,
    /// The bind was answered too.
    pub bound: bool,
}

/// What exists: only what the broker has answered with declare-ok or bind-ok.
#[derive(Debug, Clone)]
pub struct Topology {
    target: Target,
    /// All queues declared so far.
    pub queues: Vec<Queue>,
}

impl Topology {
    /// Declares the exchange and the first queues.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn declare(target: Target, address: SocketAddr, queues: usize) -> Result<Topology> {
        let mut topology = Topology { target, queues: Vec::new() };
        let mut conn = Connection::open(address)?;
        conn.declare_exchange(EXCHANGE, false)?;
        for _ in 0..queues {
            topology.add(&mut conn, true)?;
        }
        conn.close()?;
        Ok(topology)
    }

    /// Declares one further queue, and binds it when asked to. Returns as soon as the broker has answered.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn add(&mut self, conn: &mut Connection, bind: bool) -> Result<u16> {
        let number = u16::try_from(self.queues.len()).expect("a queue for each round at most");
        let name = format!("crash-{number:03}");
        conn.declare_queue(&name, QueueOptions { passive: false, arguments: self.target.queue_arguments() })?;
        self.queues.push(Queue { name: name.clone(), bound: false });
        if bind {
            conn.bind_queue(&name, EXCHANGE, &name)?;
            if let Some(queue) = self.queues.last_mut() {
                queue.bound = true;
            }
        }
        Ok(number)
    }

    /// The name of a queue.
    pub fn name(&self, queue: u16) -> &str {
        self.queues.get(usize::from(queue)).map_or("", |queue| &queue.name)
    }

    /// The queues (and the exchange) that are gone, in words.
    ///
    /// # Errors
    /// The broker cannot be reached at all.
    pub fn missing(&self, address: SocketAddr) -> Result<Vec<String>> {
        let mut missing = Vec::new();
        // A refused passive declare closes the channel, so each question after one needs a fresh connection.
        let mut conn = Connection::open(address)?;
        match conn.declare_exchange(EXCHANGE, true) {
            Ok(()) => {}
            Err(BenchError::Refused { text, .. }) => {
                missing.push(format!("exchange {EXCHANGE}: {text}"));
                conn = Connection::open(address)?;
            }
            Err(error) => return Err(error),
        }
        for queue in &self.queues {
            match conn.declare_queue(&queue.name, QueueOptions { passive: true, arguments: &[] }) {
                Ok(_) => {}
                Err(BenchError::Refused { text, .. }) => {
                    missing.push(format!("queue {}: {text}", queue.name));
                    conn = Connection::open(address)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(missing)
    }
}
