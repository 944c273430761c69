//! Class `queue` (50): reading and writing the fields.
//!
//! Generated from `spec/amqp-rabbitmq-0.9.1.json` by `codegen`; edit that, not this:
//! `cargo run -p baton-dialect-amqp091 --example codegen`.

use bytes::{BufMut, BytesMut};

use crate::error::WireError;
use crate::methods::MethodFields;
use crate::methods::queue::{
    Bind, BindOk, Declare, DeclareOk, Delete, DeleteOk, Purge, PurgeOk, Unbind, UnbindOk,
};
use crate::wire::{FieldReader, pack_bits, put_long_bytes};

impl Declare {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let ticket = fields.short()?;
        let queue = fields.short_str()?;
        let bits = fields.octet()?;
        let arguments = fields.table()?;
        Ok(Self {
            ticket,
            queue,
            passive: bits & 1 != 0,
            durable: bits & 2 != 0,
            exclusive: bits & 4 != 0,
            auto_delete: bits & 8 != 0,
            no_wait: bits & 16 != 0,
            arguments,
        })
    }
}

impl MethodFields for Declare {
    const CLASS_ID: u16 = 50;
    const METHOD_ID: u16 = 10;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u16(self.ticket);
        self.queue.as_short().put(out);
        out.put_u8(pack_bits([self.passive, self.durable, self.exclusive, self.auto_delete, self.no_wait]));
        put_long_bytes(out, self.arguments.as_bytes());
    }
}

impl DeclareOk {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let queue = fields.short_str()?;
        let message_count = fields.long()?;
        let consumer_count = fields.long()?;
        Ok(Self { queue, message_count, consumer_count })
    }
}

impl MethodFields for DeclareOk {
    const CLASS_ID: u16 = 50;
    const METHOD_ID: u16 = 11;

    fn encode_fields(&self, out: &mut BytesMut) {
        self.queue.as_short().put(out);
        out.put_u32(self.message_count);
        out.put_u32(self.consumer_count);
    }
}

impl Bind {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let ticket = fields.short()?;
        let queue = fields.short_str()?;
        let exchange = fields.short_str()?;
        let routing_key = fields.short_str()?;
        let bits = fields.octet()?;
        let arguments = fields.table()?;
        Ok(Self { ticket, queue, exchange, routing_key, no_wait: bits & 1 != 0, arguments })
    }
}

impl MethodFields for Bind {
    const CLASS_ID: u16 = 50;
    const METHOD_ID: u16 = 20;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u16(self.ticket);
        self.queue.as_short().put(out);
        self.exchange.as_short().put(out);
        self.routing_key.as_short().put(out);
        out.put_u8(pack_bits([self.no_wait]));
        put_long_bytes(out, self.arguments.as_bytes());
    }
}

impl MethodFields for BindOk {
    const CLASS_ID: u16 = 50;
    const METHOD_ID: u16 = 21;

    fn encode_fields(&self, _out: &mut BytesMut) {}
}

impl Purge {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let ticket = fields.short()?;
        let queue = fields.short_str()?;
        let bits = fields.octet()?;
        Ok(Self { ticket, queue, no_wait: bits & 1 != 0 })
    }
}

impl MethodFields for Purge {
    const CLASS_ID: u16 = 50;
    const METHOD_ID: u16 = 30;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u16(self.ticket);
        self.queue.as_short().put(out);
        out.put_u8(pack_bits([self.no_wait]));
    }
}

impl PurgeOk {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let message_count = fields.long()?;
        Ok(Self { message_count })
    }
}

impl MethodFields for PurgeOk {
    const CLASS_ID: u16 = 50;
    const METHOD_ID: u16 = 31;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u32(self.message_count);
    }
}

impl Delete {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let ticket = fields.short()?;
        let queue = fields.short_str()?;
        let bits = fields.octet()?;
        Ok(Self { ticket, queue, if_unused: bits & 1 != 0, if_empty: bits & 2 != 0, no_wait: bits & 4 != 0 })
    }
}

impl MethodFields for Delete {
    const CLASS_ID: u16 = 50;
    const METHOD_ID: u16 = 40;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u16(self.ticket);
        self.queue.as_short().put(out);
        out.put_u8(pack_bits([self.if_unused, self.if_empty, self.no_wait]));
    }
}

impl DeleteOk {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let message_count = fields.long()?;
        Ok(Self { message_count })
    }
}

impl MethodFields for DeleteOk {
    const CLASS_ID: u16 = 50;
    const METHOD_ID: u16 = 41;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u32(self.message_count);
    }
}

impl Unbind {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let ticket = fields.short()?;
        let queue = fields.short_str()?;
        let exchange = fields.short_str()?;
        let routing_key = fields.short_str()?;
        let arguments = fields.table()?;
        Ok(Self { ticket, queue, exchange, routing_key, arguments })
    }
}

impl MethodFields for Unbind {
    const CLASS_ID: u16 = 50;
    const METHOD_ID: u16 = 50;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u16(self.ticket);
        self.queue.as_short().put(out);
        self.exchange.as_short().put(out);
        self.routing_key.as_short().put(out);
        put_long_bytes(out, self.arguments.as_bytes());
    }
}

impl MethodFields for UnbindOk {
    const CLASS_ID: u16 = 50;
    const METHOD_ID: u16 = 51;

    fn encode_fields(&self, _out: &mut BytesMut) {}
}
