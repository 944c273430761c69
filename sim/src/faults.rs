//! What goes wrong, and how it is injected.
//!
//! # The faults
//! - **A connection is cut** at any point: what is on its way in both directions is lost, what the broker still had to say
//!   to it is lost too, and the broker hears of the end (as a disconnect) in its turn. The client may keep its receipts.
//! - **The process is killed** between any two things that the broker does: between the turn and the seal, between the seal
//!   and the append, between the append and the next turn, while a snapshot waits to be written. What it wrote without
//!   syncing is still on the disk, and may be lost with the next power loss. Clients lose their connections.
//! - **Power fails** at the same moments: what was not synced is lost, torn, or there, and later writes may survive earlier
//!   ones (see `SimDisk`).
//! - **Either of them within an operation of the disk**: the n-th write, sync, creation, rename or removal from now on does
//!   not come back, whether it belongs to an append, a snapshot, or the removal of a segment.
//! - **Either of them again during recovery**, at any operation of it; the broker is then started once more.
//! - **A sync fails**: an arbitrary part of it reached the medium. The partition must stop; its process is restarted.
//! - **The disk is full** from now on, give or take some bytes, until there is space again (or until a restart needs some).
//! - **An orderly shutdown**, after which everything must be there.
//! - **The clock jumps**: forward, by up to a minute, at any moment. (Steps of time are part of the scenario, not of this file.
//!   A clock that goes backward is held still by the caller of the engine, so it is no fault here.)
//!
//! After any death the broker is back at once, at the same time or later, never earlier.

use std::sync::Arc;

use baton_engine::testing::Driver;
use baton_journal_file::disk::Disk;

use crate::fact::Fact;
use crate::scenario::Fault;
use crate::world::World;

/// How often a broker that dies during recovery is started again before that is taken for a bug.
const STARTS_MAX: u32 = 20;

impl World {
    pub(crate) fn inject(&mut self, fault: Fault) {
        match fault {
            Fault::Cut { actor } => self.cut(actor),
            Fault::Kill { again } => self.crash(false, again),
            Fault::PowerLoss { again } => self.crash(true, again),
            Fault::CrashDuring { operations, power, again } => {
                self.disk.lose_power_at(self.disk.operations() + operations);
                self.planned = Some((power, again));
            }
            Fault::FailSync { count } => {
                self.disk.fail_sync(count);
                self.sync_may_fail = true;
            }
            Fault::Full { spare_bytes } => {
                self.disk.set_capacity_bytes(self.disk.used_bytes() + spare_bytes);
                self.full = true;
            }
            Fault::Space => self.lift_full(),
            Fault::Shutdown => self.shutdown(),
        }
    }

    /// The broker has a disk without faults from here on.
    pub(crate) fn heal(&mut self) {
        self.lift_full();
        if self.sync_may_fail {
            // One that failed has to be noticed as a fault still, which may take until the next batch lands.
            self.rest();
            // The sync of a snapshot that failed is noticed when something is written next, which may never be: its operator does not wait.
            if self.failure.is_none() && self.disk.has_failed_sync() {
                self.crash(false, None);
            }
        }
        self.planned = None;
        self.sync_may_fail = false;
        self.disk.lose_power_at(u64::MAX);
        self.disk.fail_sync(u64::MAX);
    }

    fn lift_full(&mut self) {
        self.disk.set_capacity_bytes(u64::MAX);
        self.full = false;
    }

    /// Notices that the broker has died, by a fault that was planned. Called after everything it does.
    pub(crate) fn bury(&mut self) {
        if self.failure.is_some() {
            return;
        }
        if self.disk.is_dark() {
            let (power, again) = self.planned.take().unwrap_or((true, None));
            self.crash(power, again);
        } else if let Some(why) = self.driver.as_ref().and_then(|driver| driver.partition().stopped()) {
            if self.sync_may_fail {
                self.crash(false, None);
            } else {
                let why = why.to_owned();
                self.fail("the partition", &format!("it stopped without a fault: {why}"));
            }
        }
    }

    /// The broker dies now, and is started again.
    pub(crate) fn crash(&mut self, power: bool, again: Option<u64>) {
        self.tell(&Fact::Died { power });
        self.lose_connections();
        self.planned = None;
        self.sync_may_fail = false;
        self.end_of_process(power);
        self.driver = None;
        if let Some(operations) = again {
            self.disk.lose_power_at(self.disk.operations() + operations);
        }
        self.start(power);
    }

    fn end_of_process(&self, power: bool) {
        if power {
            self.disk.cycle_power();
        } else {
            self.disk.kill_process();
        }
    }

    /// Starts the broker; if it dies on the way, again.
    pub(crate) fn start(&mut self, power: bool) {
        for _ in 0..STARTS_MAX {
            let opened = self.plant.open(Arc::new(self.disk.clone()), &self.files);
            let started = opened.map_err(|error| error.to_string()).and_then(|opened| {
                self.pages.opened(opened.journal.reader());
                Driver::start(opened, self.now, self.plant.options(&self.options)).map_err(|e| e.to_string())
            });
            if self.disk.is_dark() {
                drop(started);
                self.end_of_process(power);
                continue;
            }
            match started {
                Ok(driver) => {
                    self.driver = Some(driver);
                    self.life += 1;
                    self.back(power);
                    return;
                }
                // Its operator makes room.
                Err(_) if self.full => self.lift_full(),
                Err(why) => return self.fail("recovery", &format!("the broker does not start: {why}")),
            }
            self.end_of_process(false);
        }
        self.fail("recovery", "the broker dies at every start");
    }

    /// Shuts down in order, if the broker can come to rest; then everything must be there.
    fn shutdown(&mut self) {
        if self.full || self.planned.is_some() || self.sync_may_fail || !self.rest() {
            return;
        }
        let Some(driver) = self.driver.take() else { return };
        // Also what lingers becomes durable now.
        let state = driver.state();
        if let Err(error) = driver.shutdown(self.now) {
            return self.fail("the partition", &format!("it did not shut down: {error}"));
        }
        self.all_landed(state);
        self.tap();
        self.tell(&Fact::Died { power: false });
        self.lose_connections();
        self.end_of_process(true);
        self.start(true);
    }

    /// Whether the disk could be listed: only then is a dead broker's directory worth looking at.
    #[must_use]
    pub fn disk_files(&self) -> Vec<String> {
        self.disk.list().unwrap_or_default()
    }
}
