//! Messages made where their bytes were received: a large frame lies in a buffer of its own, its head in front of its body, and the
//! envelope is written over the head. The body is not copied. How the frame comes to lie there is the driver's business
//! ([`Session::awaited_bytes`](crate::Session::awaited_bytes)); what the envelope says, the dialect's.

use baton_model::Message;
use bytes::BytesMut;

/// Bodies of at least so many bytes are worth it. Below, a copy costs less than a buffer of its own.
pub const LARGE_BYTES_MIN: usize = 1 << 20;

/// A body in the buffer it was received in.
#[derive(Debug)]
pub struct LargeBody {
    bytes: BytesMut,
    body_at: usize,
}

impl LargeBody {
    /// `bytes` up to `body_at` are free to be written over (cut to what there is); the rest is the body.
    #[must_use]
    pub fn new(bytes: BytesMut, body_at: usize) -> Self {
        let body_at = body_at.min(bytes.len());
        Self { bytes, body_at }
    }

    /// Length of the body, bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.body_at
    }

    /// Whether the body has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts the envelope in front. Where there is too little room for it the body is copied.
    #[must_use]
    pub fn into_message(mut self, envelope: &[u8]) -> Message {
        let envelope_bytes = u32::try_from(envelope.len()).unwrap_or(u32::MAX);
        let from = self.body_at.checked_sub(envelope.len());
        if let Some(from) = from
            && let Some(place) = self.bytes.get_mut(from..self.body_at)
        {
            place.copy_from_slice(envelope);
            return Message::new(self.bytes.split_off(from).freeze(), envelope_bytes);
        }
        let body = self.bytes.get(self.body_at..).unwrap_or_default();
        let mut content = Vec::with_capacity(envelope.len() + body.len());
        content.extend_from_slice(envelope);
        content.extend_from_slice(body);
        Message::new(content.into(), envelope_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_stands_in_front_of_the_body_whether_there_is_room_or_not() {
        for (envelope, copied) in [("", false), ("12", false), ("HEAD", false), ("LONGER", true)] {
            let bytes = BytesMut::from("HEADbody");
            let body = bytes.get(4..).map(<[u8]>::as_ptr);
            let message = LargeBody::new(bytes, 4).into_message(envelope.as_bytes());
            assert_eq!(&message.content()[..], format!("{envelope}body").as_bytes());
            assert_eq!(message.body_slice(), b"body");
            assert_eq!(Some(message.body_slice().as_ptr()) != body, copied, "{envelope}");
        }
        let all_head = LargeBody::new(BytesMut::from("HEAD"), 9);
        assert!(all_head.is_empty());
        assert_eq!(all_head.into_message(b"E").body_slice(), b"");
    }
}
