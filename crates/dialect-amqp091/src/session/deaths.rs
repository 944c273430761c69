//! The headers that tell of a message's deaths: `x-death`, `x-first-death-*`, `x-last-death-*`, as RabbitMQ 4 writes them.
//! Those that a publisher sends are not counted on and give way to these. Moves by an operator are no deaths here.

use baton_model::event::{Death, DeathReason};
use baton_model::{Overlay, ValueRef as Neutral};
use bytes::{BufMut, BytesMut};

use super::values::{put_entry, put_str};
use crate::short_str::ShortRef;
use crate::wire::{put_len, reserve_len};

/// Whether a header is one of these.
pub(super) fn is_about_deaths(name: &[u8]) -> bool {
    name == b"x-death" || name.starts_with(b"x-first-death-") || name.starts_with(b"x-last-death-")
}

/// RabbitMQ's word for a reason.
fn word(reason: DeathReason) -> Option<&'static [u8]> {
    Some(match reason {
        DeathReason::Rejected => b"rejected",
        DeathReason::Expired => b"expired",
        DeathReason::Overflow => b"maxlen",
        DeathReason::AttemptsSpent => b"delivery_limit",
        DeathReason::Operator => return None,
    })
}

/// Appends the entries.
pub(super) fn put_deaths(out: &mut BytesMut, overlay: &Overlay) {
    let deaths = || overlay.deaths.iter().filter_map(|death| Some((death, word(death.reason)?)));
    let Some((last, last_reason)) = deaths().next() else { return };
    key(out, "x-death");
    out.put_u8(b'A');
    let at = reserve_len(out);
    deaths().for_each(|(death, reason)| put_death(out, death, reason));
    put_len(out, at);
    if let Some((queue, reason, exchange)) = &overlay.first_death
        && let Some(reason) = word(*reason)
    {
        put_entry(out, b"x-first-death-queue", Neutral::Str(queue.as_bytes()));
        put_entry(out, b"x-first-death-reason", Neutral::Str(reason));
        put_entry(out, b"x-first-death-exchange", Neutral::Str(exchange.as_bytes()));
    }
    put_entry(out, b"x-last-death-queue", Neutral::Str(last.queue.as_bytes()));
    put_entry(out, b"x-last-death-reason", Neutral::Str(last_reason));
    put_entry(out, b"x-last-death-exchange", Neutral::Str(last.exchange.as_bytes()));
}

fn put_death(out: &mut BytesMut, death: &Death, reason: &[u8]) {
    out.put_u8(b'F');
    let at = reserve_len(out);
    put_entry(out, b"count", Neutral::U64(death.count));
    put_entry(out, b"reason", Neutral::Str(reason));
    put_entry(out, b"queue", Neutral::Str(death.queue.as_bytes()));
    let first_at = i64::try_from(death.first_at.0).unwrap_or(i64::MAX);
    put_entry(out, b"time", Neutral::Timestamp(first_at));
    put_entry(out, b"exchange", Neutral::Str(death.exchange.as_bytes()));
    key(out, "routing-keys");
    out.put_u8(b'A');
    let keys_at = reserve_len(out);
    death.keys.iter().for_each(|key| put_str(out, key.as_bytes()));
    put_len(out, keys_at);
    if let Some(ttl_ms) = death.ttl_ms {
        key(out, "original-expiration");
        put_str(out, ttl_ms.to_string().as_bytes());
    }
    put_len(out, at);
}

fn key(out: &mut BytesMut, name: &'static str) {
    ShortRef::from_static(name).put(out);
}
