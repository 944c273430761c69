//! Class `connection` (10): reading and writing the fields.
//!
//! Generated from `spec/amqp-rabbitmq-0.9.1.json` by `codegen`; edit that, not this:
//! `cargo run -p baton-dialect-amqp091 --example codegen`.

use bytes::{BufMut, BytesMut};

use crate::error::WireError;
use crate::methods::MethodFields;
use crate::methods::connection::{
    Blocked, Close, CloseOk, Open, OpenOk, Secure, SecureOk, Start, StartOk, Tune, TuneOk, Unblocked,
    UpdateSecret, UpdateSecretOk,
};
use crate::wire::{FieldReader, pack_bits, put_long_bytes};

impl Start {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let version_major = fields.octet()?;
        let version_minor = fields.octet()?;
        let server_properties = fields.table()?;
        let mechanisms = fields.long_str()?;
        let locales = fields.long_str()?;
        Ok(Self { version_major, version_minor, server_properties, mechanisms, locales })
    }
}

impl MethodFields for Start {
    const CLASS_ID: u16 = 10;
    const METHOD_ID: u16 = 10;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u8(self.version_major);
        out.put_u8(self.version_minor);
        put_long_bytes(out, self.server_properties.as_bytes());
        put_long_bytes(out, &self.mechanisms);
        put_long_bytes(out, &self.locales);
    }
}

impl StartOk {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let client_properties = fields.table()?;
        let mechanism = fields.short_str()?;
        let response = fields.long_str()?;
        let locale = fields.short_str()?;
        Ok(Self { client_properties, mechanism, response, locale })
    }
}

impl MethodFields for StartOk {
    const CLASS_ID: u16 = 10;
    const METHOD_ID: u16 = 11;

    fn encode_fields(&self, out: &mut BytesMut) {
        put_long_bytes(out, self.client_properties.as_bytes());
        self.mechanism.as_short().put(out);
        put_long_bytes(out, &self.response);
        self.locale.as_short().put(out);
    }
}

impl Secure {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let challenge = fields.long_str()?;
        Ok(Self { challenge })
    }
}

impl MethodFields for Secure {
    const CLASS_ID: u16 = 10;
    const METHOD_ID: u16 = 20;

    fn encode_fields(&self, out: &mut BytesMut) {
        put_long_bytes(out, &self.challenge);
    }
}

impl SecureOk {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let response = fields.long_str()?;
        Ok(Self { response })
    }
}

impl MethodFields for SecureOk {
    const CLASS_ID: u16 = 10;
    const METHOD_ID: u16 = 21;

    fn encode_fields(&self, out: &mut BytesMut) {
        put_long_bytes(out, &self.response);
    }
}

impl Tune {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let channel_max = fields.short()?;
        let frame_max = fields.long()?;
        let heartbeat = fields.short()?;
        Ok(Self { channel_max, frame_max, heartbeat })
    }
}

impl MethodFields for Tune {
    const CLASS_ID: u16 = 10;
    const METHOD_ID: u16 = 30;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u16(self.channel_max);
        out.put_u32(self.frame_max);
        out.put_u16(self.heartbeat);
    }
}

impl TuneOk {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let channel_max = fields.short()?;
        let frame_max = fields.long()?;
        let heartbeat = fields.short()?;
        Ok(Self { channel_max, frame_max, heartbeat })
    }
}

impl MethodFields for TuneOk {
    const CLASS_ID: u16 = 10;
    const METHOD_ID: u16 = 31;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u16(self.channel_max);
        out.put_u32(self.frame_max);
        out.put_u16(self.heartbeat);
    }
}

impl Open {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let virtual_host = fields.short_str()?;
        let capabilities = fields.short_str()?;
        let bits = fields.octet()?;
        Ok(Self { virtual_host, capabilities, insist: bits & 1 != 0 })
    }
}

impl MethodFields for Open {
    const CLASS_ID: u16 = 10;
    const METHOD_ID: u16 = 40;

    fn encode_fields(&self, out: &mut BytesMut) {
        self.virtual_host.as_short().put(out);
        self.capabilities.as_short().put(out);
        out.put_u8(pack_bits([self.insist]));
    }
}

impl OpenOk {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let known_hosts = fields.short_str()?;
        Ok(Self { known_hosts })
    }
}

impl MethodFields for OpenOk {
    const CLASS_ID: u16 = 10;
    const METHOD_ID: u16 = 41;

    fn encode_fields(&self, out: &mut BytesMut) {
        self.known_hosts.as_short().put(out);
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
    const CLASS_ID: u16 = 10;
    const METHOD_ID: u16 = 50;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u16(self.reply_code);
        self.reply_text.as_short().put(out);
        out.put_u16(self.class_id);
        out.put_u16(self.method_id);
    }
}

impl MethodFields for CloseOk {
    const CLASS_ID: u16 = 10;
    const METHOD_ID: u16 = 51;

    fn encode_fields(&self, _out: &mut BytesMut) {}
}

impl Blocked {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let reason = fields.short_str()?;
        Ok(Self { reason })
    }
}

impl MethodFields for Blocked {
    const CLASS_ID: u16 = 10;
    const METHOD_ID: u16 = 60;

    fn encode_fields(&self, out: &mut BytesMut) {
        self.reason.as_short().put(out);
    }
}

impl MethodFields for Unblocked {
    const CLASS_ID: u16 = 10;
    const METHOD_ID: u16 = 61;

    fn encode_fields(&self, _out: &mut BytesMut) {}
}

impl UpdateSecret {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let new_secret = fields.long_str()?;
        let reason = fields.short_str()?;
        Ok(Self { new_secret, reason })
    }
}

impl MethodFields for UpdateSecret {
    const CLASS_ID: u16 = 10;
    const METHOD_ID: u16 = 70;

    fn encode_fields(&self, out: &mut BytesMut) {
        put_long_bytes(out, &self.new_secret);
        self.reason.as_short().put(out);
    }
}

impl MethodFields for UpdateSecretOk {
    const CLASS_ID: u16 = 10;
    const METHOD_ID: u16 = 71;

    fn encode_fields(&self, _out: &mut BytesMut) {}
}
