//! Class `tx` (90): reading and writing the fields.
//!
//! Generated from `spec/amqp-rabbitmq-0.9.1.json` by `codegen`; edit that, not this:
//! `cargo run -p baton-dialect-amqp091 --example codegen`.

use bytes::BytesMut;

use crate::methods::MethodFields;
use crate::methods::tx::{Commit, CommitOk, Rollback, RollbackOk, Select, SelectOk};

impl MethodFields for Select {
    const CLASS_ID: u16 = 90;
    const METHOD_ID: u16 = 10;

    fn encode_fields(&self, _out: &mut BytesMut) {}
}

impl MethodFields for SelectOk {
    const CLASS_ID: u16 = 90;
    const METHOD_ID: u16 = 11;

    fn encode_fields(&self, _out: &mut BytesMut) {}
}

impl MethodFields for Commit {
    const CLASS_ID: u16 = 90;
    const METHOD_ID: u16 = 20;

    fn encode_fields(&self, _out: &mut BytesMut) {}
}

impl MethodFields for CommitOk {
    const CLASS_ID: u16 = 90;
    const METHOD_ID: u16 = 21;

    fn encode_fields(&self, _out: &mut BytesMut) {}
}

impl MethodFields for Rollback {
    const CLASS_ID: u16 = 90;
    const METHOD_ID: u16 = 30;

    fn encode_fields(&self, _out: &mut BytesMut) {}
}

impl MethodFields for RollbackOk {
    const CLASS_ID: u16 = 90;
    const METHOD_ID: u16 = 31;

    fn encode_fields(&self, _out: &mut BytesMut) {}
}
