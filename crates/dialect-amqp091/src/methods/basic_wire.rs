//! Class `basic` (60): reading and writing the fields.
//!
//! Generated from `spec/amqp-rabbitmq-0.9.1.json` by `codegen`; edit that, not this:
//! `cargo run -p baton-dialect-amqp091 --example codegen`.

use bytes::{BufMut, BytesMut};

use crate::error::WireError;
use crate::methods::MethodFields;
use crate::methods::basic::{
    Ack, Cancel, CancelOk, Consume, ConsumeOk, Deliver, Get, GetEmpty, GetOk, Nack, Publish, Qos, QosOk,
    Recover, RecoverAsync, RecoverOk, Reject, Return,
};
use crate::wire::{FieldReader, pack_bits, put_long_bytes};

impl Qos {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let prefetch_size = fields.long()?;
        let prefetch_count = fields.short()?;
        let bits = fields.octet()?;
        Ok(Self { prefetch_size, prefetch_count, global: bits & 1 != 0 })
    }
}

impl MethodFields for Qos {
    const CLASS_ID: u16 = 60;
    const METHOD_ID: u16 = 10;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u32(self.prefetch_size);
        out.put_u16(self.prefetch_count);
        out.put_u8(pack_bits([self.global]));
    }
}

impl MethodFields for QosOk {
    const CLASS_ID: u16 = 60;
    const METHOD_ID: u16 = 11;

    fn encode_fields(&self, _out: &mut BytesMut) {}
}

impl Consume {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let ticket = fields.short()?;
        let queue = fields.short_str()?;
        let consumer_tag = fields.short_str()?;
        let bits = fields.octet()?;
        let arguments = fields.table()?;
        Ok(Self {
            ticket,
            queue,
            consumer_tag,
            no_local: bits & 1 != 0,
            no_ack: bits & 2 != 0,
            exclusive: bits & 4 != 0,
            no_wait: bits & 8 != 0,
            arguments,
        })
    }
}

impl MethodFields for Consume {
    const CLASS_ID: u16 = 60;
    const METHOD_ID: u16 = 20;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u16(self.ticket);
        self.queue.as_short().put(out);
        self.consumer_tag.as_short().put(out);
        out.put_u8(pack_bits([self.no_local, self.no_ack, self.exclusive, self.no_wait]));
        put_long_bytes(out, self.arguments.as_bytes());
    }
}

impl ConsumeOk {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let consumer_tag = fields.short_str()?;
        Ok(Self { consumer_tag })
    }
}

impl MethodFields for ConsumeOk {
    const CLASS_ID: u16 = 60;
    const METHOD_ID: u16 = 21;

    fn encode_fields(&self, out: &mut BytesMut) {
        self.consumer_tag.as_short().put(out);
    }
}

impl Cancel {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let consumer_tag = fields.short_str()?;
        let bits = fields.octet()?;
        Ok(Self { consumer_tag, no_wait: bits & 1 != 0 })
    }
}

impl MethodFields for Cancel {
    const CLASS_ID: u16 = 60;
    const METHOD_ID: u16 = 30;

    fn encode_fields(&self, out: &mut BytesMut) {
        self.consumer_tag.as_short().put(out);
        out.put_u8(pack_bits([self.no_wait]));
    }
}

impl CancelOk {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let consumer_tag = fields.short_str()?;
        Ok(Self { consumer_tag })
    }
}

impl MethodFields for CancelOk {
    const CLASS_ID: u16 = 60;
    const METHOD_ID: u16 = 31;

    fn encode_fields(&self, out: &mut BytesMut) {
        self.consumer_tag.as_short().put(out);
    }
}

impl Publish {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let ticket = fields.short()?;
        let exchange = fields.short_str()?;
        let routing_key = fields.short_str()?;
        let bits = fields.octet()?;
        Ok(Self { ticket, exchange, routing_key, mandatory: bits & 1 != 0, immediate: bits & 2 != 0 })
    }
}

impl MethodFields for Publish {
    const CLASS_ID: u16 = 60;
    const METHOD_ID: u16 = 40;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u16(self.ticket);
        self.exchange.as_short().put(out);
        self.routing_key.as_short().put(out);
        out.put_u8(pack_bits([self.mandatory, self.immediate]));
    }
}

impl Return {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let reply_code = fields.short()?;
        let reply_text = fields.short_str()?;
        let exchange = fields.short_str()?;
        let routing_key = fields.short_str()?;
        Ok(Self { reply_code, reply_text, exchange, routing_key })
    }
}

impl MethodFields for Return {
    const CLASS_ID: u16 = 60;
    const METHOD_ID: u16 = 50;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u16(self.reply_code);
        self.reply_text.as_short().put(out);
        self.exchange.as_short().put(out);
        self.routing_key.as_short().put(out);
    }
}

impl Deliver {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let consumer_tag = fields.short_str()?;
        let delivery_tag = fields.longlong()?;
        let bits = fields.octet()?;
        let exchange = fields.short_str()?;
        let routing_key = fields.short_str()?;
        Ok(Self { consumer_tag, delivery_tag, redelivered: bits & 1 != 0, exchange, routing_key })
    }
}

impl MethodFields for Deliver {
    const CLASS_ID: u16 = 60;
    const METHOD_ID: u16 = 60;

    fn encode_fields(&self, out: &mut BytesMut) {
        self.consumer_tag.as_short().put(out);
        out.put_u64(self.delivery_tag);
        out.put_u8(pack_bits([self.redelivered]));
        self.exchange.as_short().put(out);
        self.routing_key.as_short().put(out);
    }
}

impl Get {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let ticket = fields.short()?;
        let queue = fields.short_str()?;
        let bits = fields.octet()?;
        Ok(Self { ticket, queue, no_ack: bits & 1 != 0 })
    }
}

impl MethodFields for Get {
    const CLASS_ID: u16 = 60;
    const METHOD_ID: u16 = 70;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u16(self.ticket);
        self.queue.as_short().put(out);
        out.put_u8(pack_bits([self.no_ack]));
    }
}

impl GetOk {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let delivery_tag = fields.longlong()?;
        let bits = fields.octet()?;
        let exchange = fields.short_str()?;
        let routing_key = fields.short_str()?;
        let message_count = fields.long()?;
        Ok(Self { delivery_tag, redelivered: bits & 1 != 0, exchange, routing_key, message_count })
    }
}

impl MethodFields for GetOk {
    const CLASS_ID: u16 = 60;
    const METHOD_ID: u16 = 71;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u64(self.delivery_tag);
        out.put_u8(pack_bits([self.redelivered]));
        self.exchange.as_short().put(out);
        self.routing_key.as_short().put(out);
        out.put_u32(self.message_count);
    }
}

impl GetEmpty {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let cluster_id = fields.short_str()?;
        Ok(Self { cluster_id })
    }
}

impl MethodFields for GetEmpty {
    const CLASS_ID: u16 = 60;
    const METHOD_ID: u16 = 72;

    fn encode_fields(&self, out: &mut BytesMut) {
        self.cluster_id.as_short().put(out);
    }
}

impl Ack {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let delivery_tag = fields.longlong()?;
        let bits = fields.octet()?;
        Ok(Self { delivery_tag, multiple: bits & 1 != 0 })
    }
}

impl MethodFields for Ack {
    const CLASS_ID: u16 = 60;
    const METHOD_ID: u16 = 80;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u64(self.delivery_tag);
        out.put_u8(pack_bits([self.multiple]));
    }
}

impl Reject {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let delivery_tag = fields.longlong()?;
        let bits = fields.octet()?;
        Ok(Self { delivery_tag, requeue: bits & 1 != 0 })
    }
}

impl MethodFields for Reject {
    const CLASS_ID: u16 = 60;
    const METHOD_ID: u16 = 90;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u64(self.delivery_tag);
        out.put_u8(pack_bits([self.requeue]));
    }
}

impl RecoverAsync {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let bits = fields.octet()?;
        Ok(Self { requeue: bits & 1 != 0 })
    }
}

impl MethodFields for RecoverAsync {
    const CLASS_ID: u16 = 60;
    const METHOD_ID: u16 = 100;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u8(pack_bits([self.requeue]));
    }
}

impl Recover {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let bits = fields.octet()?;
        Ok(Self { requeue: bits & 1 != 0 })
    }
}

impl MethodFields for Recover {
    const CLASS_ID: u16 = 60;
    const METHOD_ID: u16 = 110;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u8(pack_bits([self.requeue]));
    }
}

impl MethodFields for RecoverOk {
    const CLASS_ID: u16 = 60;
    const METHOD_ID: u16 = 111;

    fn encode_fields(&self, _out: &mut BytesMut) {}
}

impl Nack {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let delivery_tag = fields.longlong()?;
        let bits = fields.octet()?;
        Ok(Self { delivery_tag, multiple: bits & 1 != 0, requeue: bits & 2 != 0 })
    }
}

impl MethodFields for Nack {
    const CLASS_ID: u16 = 60;
    const METHOD_ID: u16 = 120;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u64(self.delivery_tag);
        out.put_u8(pack_bits([self.multiple, self.requeue]));
    }
}
