//! The journal on a local disk: the implementation of `baton-journal`'s contract that a single machine uses.
//!
//! ```text
//!  data directory                                      who writes it
//!  ├─ lock                       pid of the holder     open
//!  ├─ 00000000000000000000.seg   batches 0..a          writer (sealed when full)
//!  ├─ 0000000000000000000a.seg   batches a..           writer (the newest is active)
//!  ├─ 0000000000000000000x.snap  state before x        housekeeping
//!  ├─ spare-00000000000000000001 zeros or old content  preparing thread, recycling
//!  └─ reserve                    the same, for acknowledgements on a full disk
//! ```
//!
//! - `disk` (the trait), `os_disk` and [`sim_disk`] are the only places that touch files.
//! - `layout` has names and headers, `snapshot` the snapshot files, `scan` walks batches; all only bytes.
//! - `survey` finds out what a directory holds and judges it, without writing; `open` acts on it; [`doctor`] reports it.
//! - `writer` appends; `spares` and `background` have the next segment ready; `shared` serves readers and
//!   `housekeeping` removes segments and writes snapshots.
//!
//! Nothing here knows what a record means. Bytes on disk: `docs/formats/journal.md`; why this format:
//! `docs/decisions/0003-journal-format.md`.

mod background;
pub mod disk;
pub mod doctor;
mod housekeeping;
mod layout;
mod open;
mod options;
mod os_disk;
mod scan;
mod shared;
pub mod sim_disk;
mod snapshot;
mod spares;
mod survey;
mod writer;

pub use layout::{FORMAT_VERSION, LOCK_FILE, SEGMENT_HEADER_BYTES};
pub use open::{open, open_on};
pub use options::Options;
pub use os_disk::OsDisk;
pub use sim_disk::SimDisk;
pub use writer::FileJournal;
