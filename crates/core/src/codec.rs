//! The bytes of records and snapshot items; `docs/formats/records.md` describes them for readers of a journal.
