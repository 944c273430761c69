//! What the envelope's `Original` holds of a message that came in through SQS: digests that need not be computed again for each
//! receive, and attributes exactly as they were sent.
//!
//! ```text
//! form (1), body length u32, MD5 of the body 16 bytes, flags u8 (1: attributes)
//! with attributes: their MD5 16 bytes, count u8, then each: name, type, value as u32 length and bytes
//! ```

use std::borrow::Cow;

use smallvec::SmallVec;

use super::{Attribute, Attributes, Digest16};

/// The symbol that stands before the bytes.
pub(super) const DIALECT: &[u8] = b"sqs";
const FORM: u8 = 1;
const WITH_ATTRIBUTES: u8 = 1;

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct Original<'a> {
    pub(super) body_md5: Digest16,
    pub(super) attributes_md5: Option<Digest16>,
    pub(super) attributes: Attributes<'a>,
}

impl<'a> Original<'a> {
    pub(super) fn write(&self, buf: &mut SmallVec<[u8; 64]>, body_bytes: usize) {
        buf.push(FORM);
        put_len(buf, body_bytes);
        buf.extend_from_slice(&self.body_md5);
        let Some(md5) = &self.attributes_md5 else {
            buf.push(0);
            return;
        };
        buf.push(WITH_ATTRIBUTES);
        buf.extend_from_slice(md5);
        buf.push(u8::try_from(self.attributes.len()).unwrap_or(u8::MAX));
        for attribute in &self.attributes {
            for part in [attribute.name.as_bytes(), attribute.data_type.as_bytes(), &*attribute.value] {
                put_len(buf, part.len());
                buf.extend_from_slice(part);
            }
        }
    }

    /// Reads it back. `None`: it is damaged, or of another body.
    pub(super) fn read(mut bytes: &'a [u8], body_bytes: usize) -> Option<Self> {
        let input = &mut bytes;
        if take_u8(input)? != FORM || take_len(input)? != body_bytes {
            return None;
        }
        let body_md5 = take_array(input)?;
        if take_u8(input)? & WITH_ATTRIBUTES == 0 {
            return Some(Self { body_md5, ..Self::default() });
        }
        let attributes_md5 = Some(take_array(input)?);
        let count = take_u8(input)?;
        let attributes = (0..count)
            .map(|_| {
                Some(Attribute {
                    name: std::str::from_utf8(take_bytes(input)?).ok()?,
                    data_type: std::str::from_utf8(take_bytes(input)?).ok()?,
                    value: Cow::Borrowed(take_bytes(input)?),
                })
            })
            .collect::<Option<_>>()?;
        Some(Self { body_md5, attributes_md5, attributes })
    }
}

fn put_len(buf: &mut SmallVec<[u8; 64]>, len: usize) {
    buf.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
}

fn take_u8(input: &mut &[u8]) -> Option<u8> {
    let (first, rest) = input.split_first()?;
    *input = rest;
    Some(*first)
}

fn take_array<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(*head)
}

fn take_len(input: &mut &[u8]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(take_array(input)?)).ok()
}

fn take_bytes<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = take_len(input)?;
    let (head, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back_and_damage_is_noticed() {
        let attributes = vec![Attribute { name: "n", data_type: "Number.int", value: Cow::Borrowed(b"007") }];
        let original = Original { body_md5: [7; 16], attributes_md5: Some([9; 16]), attributes };
        let mut buf = SmallVec::new();
        original.write(&mut buf, 12);
        let read = Original::read(&buf, 12).unwrap();
        assert_eq!((read.body_md5, read.attributes_md5), ([7; 16], Some([9; 16])));
        assert_eq!(read.attributes, original.attributes);
        assert!(Original::read(&buf, 13).is_none());
        for len in 0..buf.len() {
            assert!(Original::read(&buf[..len], 12).is_none(), "{len}");
        }
    }
}
