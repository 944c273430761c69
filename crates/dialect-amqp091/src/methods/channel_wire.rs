//! Class `channel` (20): reading and writing the fields.
//!
//! Generated from `spec/amqp-rabbitmq-0.9.1.json` by `codegen`; edit that, not this:
//! `cargo run -p baton-dialect-amqp091 --example codegen`.

use bytes::{BufMut, BytesMut};

use crate::error::WireError;
use crate::methods::MethodFields;
use crate::methods::channel::{Close, CloseOk, Flow, FlowOk, Open, OpenOk};
use crate::wire::{FieldReader, pack_bits, put_long_bytes};

impl Open {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let out_of_band = fields.short_str()?;
        Ok(Self { out_of_band })
    }
}

impl MethodFields for Open {
    const CLASS_ID: u16 = 20;
    const METHOD_ID: u16 = 10;

    fn encode_fields(&self, out: &mut BytesMut) {
        self.out_of_band.as_short().put(out);
    }
}

impl OpenOk {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let channel_id = fields.long_str()?;
        Ok(Self { channel_id })
    }
}

impl MethodFields for OpenOk {
    const CLASS_ID: u16 = 20;
    const METHOD_ID: u16 = 11;

    fn encode_fields(&self, out: &mut BytesMut) {
        put_long_bytes(out, &self.channel_id);
    }
}

impl Flow {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let bits = fields.octet()?;
        Ok(Self { active: bits & 1 != 0 })
    }
}

impl MethodFields for Flow {
    const CLASS_ID: u16 = 20;
    const METHOD_ID: u16 = 20;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u8(pack_bits([self.active]));
    }
}

impl FlowOk {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let bits = fields.octet()?;
        Ok(Self { active: bits & 1 != 0 })
    }
}

impl MethodFields for FlowOk {
    const CLASS_ID: u16 = 20;
    const METHOD_ID: u16 = 21;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u8(pack_bits([self.active]));
    }
}

impl Close {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let reply_code = fields.short()?;
        let reply_text = fields.short_str()?;
        let class_id = fields.short()?;
        let method_id = fields.short()?;
        Ok(Self { reply_code, reply_text, class_id, method_id })
    }
}

impl MethodFields for Close {
    const CLASS_ID: u16 = 20;
    const METHOD_ID: u16 = 40;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u16(self.reply_code);
        self.reply_text.as_short().put(out);
        out.put_u16(self.class_id);
        out.put_u16(self.method_id);
    }
}

impl MethodFields for CloseOk {
    const CLASS_ID: u16 = 20;
    const METHOD_ID: u16 = 41;

    fn encode_fields(&self, _out: &mut BytesMut) {}
}
