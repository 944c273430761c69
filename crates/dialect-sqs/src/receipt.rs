//! Receipt handles: a delivery's queue, place and lease and when that began, with a check over them and over whose they are. Any process may use
//! one, before or after a restart; only the newest of a message settles it, which the core sees to by the lease's number.
//!
//! The check is not a secret. It tells handles from garbage, and those of another account from this one's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_model::{DeliveryRef, Fence, QueueId, Seq, Time};

use crate::message::mix;

/// First byte of every handle: the form of the rest.
const FORM: u8 = 1;
const LEN: usize = 37;

/// Stands in handles that do not say when they were received.
pub(crate) const UNKNOWN: Time = Time(0);

/// The handle of a delivery that was received at a time.
pub(crate) fn encode(at: DeliveryRef, received_at: Time, account: &str, out: &mut String) {
    let mut bytes = [0_u8; LEN];
    let parts: [&[u8]; 6] = [
        &[FORM],
        &at.queue.0.to_be_bytes(),
        &at.seq.0.to_be_bytes(),
        &at.fence.0.to_be_bytes(),
        &received_at.0.to_be_bytes(),
        &check(at, received_at, account).to_be_bytes(),
    ];
    let flat = parts.into_iter().flatten();
    bytes.iter_mut().zip(flat).for_each(|(to, from)| *to = *from);
    STANDARD.encode_string(bytes, out);
}

/// The delivery of a handle, and when it was received. `None`: it is none of this account's.
pub(crate) fn decode(handle: &str, account: &str) -> Option<(DeliveryRef, Time)> {
    let mut bytes = [0_u8; LEN + 4];
    let len = STANDARD.decode_slice(handle, &mut bytes).ok()?;
    let mut rest = bytes.get(..len)?.strip_prefix(&[FORM])?;
    let at = DeliveryRef {
        queue: QueueId(u32::from_be_bytes(take(&mut rest)?)),
        seq: Seq(u64::from_be_bytes(take(&mut rest)?)),
        fence: Fence(u64::from_be_bytes(take(&mut rest)?)),
    };
    let received_at = Time(u64::from_be_bytes(take(&mut rest)?));
    let sum = u64::from_be_bytes(take(&mut rest)?);
    (rest.is_empty() && sum == check(at, received_at, account)).then_some((at, received_at))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

fn check(at: DeliveryRef, received_at: Time, account: &str) -> u64 {
    let mut sum = mix(0x6261_746f_6e20_7371);
    for byte in account.bytes() {
        sum = mix(sum ^ u64::from(byte));
    }
    [u64::from(at.queue.0), at.seq.0, at.fence.0, received_at.0]
        .into_iter()
        .fold(sum, |sum, word| mix(sum ^ word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_read_back_and_garbage_is_not() {
        let at = DeliveryRef { queue: QueueId(7), seq: Seq(1 << 40), fence: Fence(u64::MAX) };
        let mut handle = String::new();
        encode(at, Time(99), "000000000000", &mut handle);
        assert_eq!(decode(&handle, "000000000000"), Some((at, Time(99))));
        assert_eq!(decode(&handle, "000000000001"), None);
        for index in 0..handle.len() {
            let mut changed = handle.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            assert_eq!(decode(&String::from_utf8(changed).unwrap(), "000000000000"), None, "{index}");
        }
        for garbage in ["", "garbage", "ü", &handle[4..], &format!("{handle}AAAA"), &"A".repeat(10_000)] {
            assert_eq!(decode(garbage, "000000000000"), None);
        }
    }
}
