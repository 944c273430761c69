//! Class `access` (30): reading and writing the fields.
//!
//! Generated from `spec/amqp-rabbitmq-0.9.1.json` by `codegen`; edit that, not this:
//! `cargo run -p baton-dialect-amqp091 --example codegen`.

use bytes::{BufMut, BytesMut};

use crate::error::WireError;
use crate::methods::MethodFields;
use crate::methods::access::{Request, RequestOk};
use crate::wire::{FieldReader, pack_bits};

impl Request {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let realm = fields.short_str()?;
        let bits = fields.octet()?;
        Ok(Self {
            realm,
            exclusive: bits & 1 != 0,
            passive: bits & 2 != 0,
            active: bits & 4 != 0,
            write: bits & 8 != 0,
            read: bits & 16 != 0,
        })
    }
}

impl MethodFields for Request {
    const CLASS_ID: u16 = 30;
    const METHOD_ID: u16 = 10;

    fn encode_fields(&self, out: &mut BytesMut) {
        self.realm.as_short().put(out);
        out.put_u8(pack_bits([self.exclusive, self.passive, self.active, self.write, self.read]));
    }
}

impl RequestOk {
    #[inline]
    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let ticket = fields.short()?;
        Ok(Self { ticket })
    }
}

impl MethodFields for RequestOk {
    const CLASS_ID: u16 = 30;
    const METHOD_ID: u16 = 11;

    fn encode_fields(&self, out: &mut BytesMut) {
        out.put_u16(self.ticket);
    }
}
