//! Class `exchange` (40): reading and writing the fields.
//!
//! Generated from `spec/amqp-rabbitmq-0.9.1.json` by `codegen`; edit that, not this:
//! `cargo run -p baton-dialect-amqp091 --example codegen`.

use bytes::{BufMut, BytesMut};

use crate::error::WireError;
use crate::methods::MethodFields;
use crate::methods::exchange::{Bind, BindOk, Declare, DeclareOk, Delete, DeleteOk, Unbind, UnbindOk};
use crate::wire::{FieldReader, pack_bits, put_long_bytes};

impl Declare {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let ticket = fields.short()?;
        let exchange = fields.short_str()?;
        let kind = fields.short_str()?;
        let bits = fields.octet()?;
        let arguments = fields.table()?;
        Ok(Self {
            ticket,
            exchange,
            kind,
            passive: bits & 1 != 0,
            durable: bits & 2 != 0,
            auto_delete: bits & 4 != 0,
            internal: bits & 8 != 0,
            no_wait: bits & 16 != 0,
            arguments,
        })
    }
}

impl MethodFields for Declare {
    const CLASS_ID: u16 = 40;
    const METHOD_ID: u16 = 10;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u16(self.ticket);
        self.exchange.as_short().put(out);
        self.kind.as_short().put(out);
        out.put_u8(pack_bits([self.passive, self.durable, self.auto_delete, self.internal, self.no_wait]));
        put_long_bytes(out, self.arguments.as_bytes());
    }
}

impl MethodFields for DeclareOk {
    const CLASS_ID: u16 = 40;
    const METHOD_ID: u16 = 11;

    fn encode_fields(&self, _out: &mut BytesMut) {}
}

impl Delete {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let ticket = fields.short()?;
        let exchange = fields.short_str()?;
        let bits = fields.octet()?;
        Ok(Self { ticket, exchange, if_unused: bits & 1 != 0, no_wait: bits & 2 != 0 })
    }
}

impl MethodFields for Delete {
    const CLASS_ID: u16 = 40;
    const METHOD_ID: u16 = 20;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u16(self.ticket);
        self.exchange.as_short().put(out);
        out.put_u8(pack_bits([self.if_unused, self.no_wait]));
    }
}

impl MethodFields for DeleteOk {
    const CLASS_ID: u16 = 40;
    const METHOD_ID: u16 = 21;

    fn encode_fields(&self, _out: &mut BytesMut) {}
}

impl Bind {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let ticket = fields.short()?;
        let destination = fields.short_str()?;
        let source = fields.short_str()?;
        let routing_key = fields.short_str()?;
        let bits = fields.octet()?;
        let arguments = fields.table()?;
        Ok(Self { ticket, destination, source, routing_key, no_wait: bits & 1 != 0, arguments })
    }
}

impl MethodFields for Bind {
    const CLASS_ID: u16 = 40;
    const METHOD_ID: u16 = 30;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u16(self.ticket);
        self.destination.as_short().put(out);
        self.source.as_short().put(out);
        self.routing_key.as_short().put(out);
        out.put_u8(pack_bits([self.no_wait]));
        put_long_bytes(out, self.arguments.as_bytes());
    }
}

impl MethodFields for BindOk {
    const CLASS_ID: u16 = 40;
    const METHOD_ID: u16 = 31;

    fn encode_fields(&self, _out: &mut BytesMut) {}
}

impl Unbind {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let ticket = fields.short()?;
        let destination = fields.short_str()?;
        let source = fields.short_str()?;
        let routing_key = fields.short_str()?;
        let bits = fields.octet()?;
        let arguments = fields.table()?;
        Ok(Self { ticket, destination, source, routing_key, no_wait: bits & 1 != 0, arguments })
    }
}

impl MethodFields for Unbind {
    const CLASS_ID: u16 = 40;
    const METHOD_ID: u16 = 40;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u16(self.ticket);
        self.destination.as_short().put(out);
        self.source.as_short().put(out);
        self.routing_key.as_short().put(out);
        out.put_u8(pack_bits([self.no_wait]));
        put_long_bytes(out, self.arguments.as_bytes());
    }
}

impl MethodFields for UnbindOk {
    const CLASS_ID: u16 = 40;
    const METHOD_ID: u16 = 51;

    fn encode_fields(&self, _out: &mut BytesMut) {}
}
