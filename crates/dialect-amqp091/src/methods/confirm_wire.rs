//! Class `confirm` (85): reading and writing the fields.
//!
//! Generated from `spec/amqp-rabbitmq-0.9.1.json` by `codegen`; edit that, not this:
//! `cargo run -p baton-dialect-amqp091 --example codegen`.

use bytes::{BufMut, BytesMut};

use crate::error::WireError;
use crate::methods::MethodFields;
use crate::methods::confirm::{Select, SelectOk};
use crate::wire::{FieldReader, pack_bits};

impl Select {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let bits = fields.octet()?;
        Ok(Self { no_wait: bits & 1 != 0 })
    }
}

impl MethodFields for Select {
    const CLASS_ID: u16 = 85;
    const METHOD_ID: u16 = 10;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u8(pack_bits([self.no_wait]));
    }
}

impl MethodFields for SelectOk {
    const CLASS_ID: u16 = 85;
    const METHOD_ID: u16 = 11;

    fn encode_fields(&self, _out: &mut BytesMut) {}
}
