//! A queue's policy as JSON: what `PUT …/queues/{queue}` takes and what showing a queue gives back. Every field may be
//! left out and then has the model's default; unknown fields are refused by name.

use std::collections::BTreeMap;

use baton_model::list::Side;
use baton_model::policy::{
    Backoff, BackoffOn, Capacity, Counter, DeadLetterPolicy, DedupPolicy, DispatchPolicy, Growth, KeyMode,
    KeyPoison, KeyPolicy, LEASE_MS_DEFAULT, ListPolicy, Overflow, Rate, ReleaseTo, RetryPolicy,
};
use baton_model::{Name, QueuePolicy, Refusal, RefusalCode};
use serde::{Deserialize, Serialize};

use super::words;

words!(overflow for Overflow {
    Overflow::DropOldest = "drop-oldest",
    Overflow::Refuse = "refuse",
    Overflow::RefuseAndDeadLetter = "refuse-and-dead-letter",
});
words!(counter for Counter { Counter::Failed = "failed", Counter::Acquired = "acquired" });
words!(backoff_on for BackoffOn {
    BackoffOn::Failed = "failed", BackoffOn::Returned = "returned", BackoffOn::All = "all",
});
words!(release_to for ReleaseTo { ReleaseTo::Original = "original", ReleaseTo::Back = "back" });
words!(key_mode for KeyMode {
    KeyMode::Off = "off", KeyMode::Ordered = "ordered", KeyMode::Session = "session",
    KeyMode::Sticky = "sticky", KeyMode::Fair = "fair",
});
words!(key_poison for KeyPoison {
    KeyPoison::Skip = "skip", KeyPoison::Block = "block", KeyPoison::Park = "park",
});

/// [`QueuePolicy`] as JSON. The fields mean what the model's fields of the same names mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyJson {
    durable: bool,
    auto_delete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_ms_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
    delay_ms: u64,
    persist_all: bool,
    capacity: CapacityJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter: Option<DeadLetterJson>,
    drop_expired: bool,
    ttl_since_sent: bool,
    priority_max: u8,
    retry: RetryJson,
    lease_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    linked_lease_ms_max: Option<u64>,
    #[serde(with = "release_to")]
    release_to: ReleaseTo,
    keys: KeysJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    dedup: Option<DedupJson>,
    dispatch: DispatchJson,
    #[serde(skip_serializing_if = "ListJson::is_default")]
    list: ListJson,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

/// The queue used as a list. When its elements expire is not a policy here: it is the list's to say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ListJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    front: Option<SideWord>,
    lease_pops: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    empty_ms_max: Option<u64>,
}

impl ListJson {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SideWord {
    Left,
    Right,
}

impl From<Side> for SideWord {
    fn from(side: Side) -> Self {
        match side {
            Side::Left => Self::Left,
            Side::Right => Self::Right,
        }
    }
}

impl SideWord {
    fn side(self) -> Side {
        match self {
            Self::Left => Side::Left,
            Self::Right => Side::Right,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CapacityJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    messages_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_bytes_max: Option<u64>,
    #[serde(with = "overflow")]
    overflow: Overflow,
}

/// The empty exchange with a key sends dead letters to the queue of that name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeadLetterJson {
    #[serde(default)]
    exchange: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RetryJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts_max: Option<u32>,
    #[serde(with = "counter")]
    counter: Counter,
    #[serde(skip_serializing_if = "Option::is_none")]
    backoff: Option<BackoffJson>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BackoffJson {
    min_ms: u64,
    max_ms: u64,
    #[serde(default)]
    growth: GrowthWord,
    /// Of exponential growth.
    #[serde(default = "factor_default")]
    factor: f64,
    #[serde(default)]
    jitter: f64,
    #[serde(default, with = "backoff_on")]
    on: BackoffOn,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum GrowthWord {
    Constant,
    Linear,
    #[default]
    Exponential,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct KeysJson {
    #[serde(with = "key_mode")]
    mode: KeyMode,
    #[serde(with = "key_poison")]
    poison: KeyPoison,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DedupJson {
    window_ms: u64,
    #[serde(default)]
    by_body: bool,
    #[serde(default)]
    per_key: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DispatchJson {
    paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<RateJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_flight_max: Option<u64>,
    single_active: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RateJson {
    per_second: f64,
    #[serde(default = "burst_default")]
    burst: u32,
}

fn factor_default() -> f64 {
    2.0
}

fn burst_default() -> u32 {
    1
}

impl Default for PolicyJson {
    fn default() -> Self {
        Self::from(&QueuePolicy::default())
    }
}

impl From<&QueuePolicy> for PolicyJson {
    fn from(policy: &QueuePolicy) -> Self {
        Self {
            durable: policy.durable,
            auto_delete: policy.auto_delete,
            idle_ms_max: policy.idle_ms_max,
            ttl_ms: policy.ttl_ms,
            delay_ms: policy.delay_ms,
            persist_all: policy.persist_all,
            drop_expired: policy.drop_expired,
            ttl_since_sent: policy.ttl_since_sent,
            capacity: CapacityJson {
                messages_max: policy.capacity.messages_max,
                bytes_max: policy.capacity.bytes_max,
                message_bytes_max: policy.capacity.message_bytes_max,
                overflow: policy.capacity.overflow,
            },
            dead_letter: policy.dead_letter.as_ref().map(|dead_letter| DeadLetterJson {
                exchange: dead_letter.exchange.to_string(),
                key: dead_letter.key.as_ref().map(ToString::to_string),
            }),
            priority_max: policy.priority_max,
            retry: RetryJson {
                attempts_max: policy.retry.attempts_max,
                counter: policy.retry.counter,
                backoff: policy.retry.backoff.as_ref().map(BackoffJson::from),
            },
            lease_ms: policy.lease_ms,
            linked_lease_ms_max: policy.linked_lease_ms_max,
            release_to: policy.release_to,
            keys: KeysJson { mode: policy.keys.mode, poison: policy.keys.poison },
            dedup: policy.dedup.map(|dedup| DedupJson {
                window_ms: dedup.window_ms,
                by_body: dedup.by_body,
                per_key: dedup.per_key,
            }),
            dispatch: DispatchJson {
                paused: policy.dispatch.paused,
                rate: policy
                    .dispatch
                    .rate
                    .map(|rate| RateJson { per_second: rate.per_second, burst: rate.burst }),
                in_flight_max: policy.dispatch.in_flight_max,
                single_active: policy.dispatch.single_active,
            },
            list: ListJson {
                front: policy.list.front.map(SideWord::from),
                lease_pops: policy.list.lease_pops,
                empty_ms_max: policy.list.empty_ms_max,
            },
            labels: policy.labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        }
    }
}

impl From<&Backoff> for BackoffJson {
    fn from(backoff: &Backoff) -> Self {
        let (growth, factor) = match backoff.growth {
            Growth::Constant => (GrowthWord::Constant, factor_default()),
            Growth::Linear => (GrowthWord::Linear, factor_default()),
            Growth::Exponential(factor) => (GrowthWord::Exponential, factor),
        };
        Self {
            min_ms: backoff.min_ms,
            max_ms: backoff.max_ms,
            growth,
            factor,
            jitter: backoff.jitter,
            on: backoff.on,
        }
    }
}

impl PolicyJson {
    /// The policy, once its numbers are in range.
    ///
    /// # Errors
    /// `Invalid`, naming the field and its range.
    pub fn into_policy(self) -> Result<QueuePolicy, Refusal> {
        self.check()?;
        Ok(QueuePolicy {
            durable: self.durable,
            exclusive: false,
            auto_delete: self.auto_delete,
            idle_ms_max: self.idle_ms_max,
            ttl_ms: self.ttl_ms,
            delay_ms: self.delay_ms,
            persist_all: self.persist_all,
            drop_expired: self.drop_expired,
            ttl_since_sent: self.ttl_since_sent,
            capacity: Capacity {
                messages_max: self.capacity.messages_max,
                bytes_max: self.capacity.bytes_max,
                message_bytes_max: self.capacity.message_bytes_max,
                overflow: self.capacity.overflow,
            },
            dead_letter: self.dead_letter.map(|dead_letter| DeadLetterPolicy {
                exchange: Name::from(dead_letter.exchange),
                key: dead_letter.key.map(Name::from),
            }),
            priority_max: self.priority_max,
            retry: RetryPolicy {
                attempts_max: self.retry.attempts_max,
                counter: self.retry.counter,
                backoff: self.retry.backoff.map(BackoffJson::into_backoff),
            },
            lease_ms: self.lease_ms,
            linked_lease_ms_max: self.linked_lease_ms_max,
            release_to: self.release_to,
            keys: KeyPolicy { mode: self.keys.mode, poison: self.keys.poison },
            dedup: self.dedup.map(|dedup| DedupPolicy {
                window_ms: dedup.window_ms,
                by_body: dedup.by_body,
                per_key: dedup.per_key,
            }),
            dispatch: DispatchPolicy {
                paused: self.dispatch.paused,
                rate: self.dispatch.rate.map(|rate| Rate { per_second: rate.per_second, burst: rate.burst }),
                in_flight_max: self.dispatch.in_flight_max,
                single_active: self.dispatch.single_active,
            },
            list: ListPolicy {
                front: self.list.front.map(SideWord::side),
                lease_pops: self.list.lease_pops,
                empty_ms_max: self.list.empty_ms_max,
                expires_at: None,
            },
            labels: self.labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        })
    }

    fn check(&self) -> Result<(), Refusal> {
        let wrong = |text: &str| Err(Refusal::new(RefusalCode::Invalid, text));
        if self.lease_ms == 0 {
            return wrong(&format!("lease_ms must be above 0; leave it out for {LEASE_MS_DEFAULT}"));
        }
        if let Some(rate) = &self.dispatch.rate {
            if !(rate.per_second.is_finite() && rate.per_second > 0.0) {
                return wrong(
                    "dispatch.rate.per_second must be above 0; to stop deliveries set dispatch.paused",
                );
            }
            if rate.burst == 0 {
                return wrong("dispatch.rate.burst must be at least 1");
            }
        }
        if let Some(backoff) = &self.retry.backoff {
            if !(0.0..=1.0).contains(&backoff.jitter) {
                return wrong("retry.backoff.jitter must be between 0 and 1");
            }
            if !(backoff.factor.is_finite() && backoff.factor >= 1.0) {
                return wrong("retry.backoff.factor must be at least 1");
            }
            if backoff.min_ms > backoff.max_ms {
                return wrong("retry.backoff.min_ms must not be greater than retry.backoff.max_ms");
            }
        }
        Ok(())
    }
}

impl BackoffJson {
    fn into_backoff(self) -> Backoff {
        Backoff {
            growth: match self.growth {
                GrowthWord::Constant => Growth::Constant,
                GrowthWord::Linear => Growth::Linear,
                GrowthWord::Exponential => Growth::Exponential(self.factor),
            },
            min_ms: self.min_ms,
            max_ms: self.max_ms,
            jitter: self.jitter,
            on: self.on,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<QueuePolicy, String> {
        serde_json::from_str::<PolicyJson>(text)
            .map_err(|error| error.to_string())
            .and_then(|json| json.into_policy().map_err(|refusal| refusal.text))
    }

    #[test]
    fn nothing_said_is_the_default_policy() {
        assert_eq!(parse("{}").unwrap(), QueuePolicy::default());
    }

    #[test]
    fn a_full_policy_comes_back_as_it_was() {
        let text = r#"{
            "durable": false, "auto_delete": true, "idle_ms_max": 60000, "ttl_ms": 5000, "delay_ms": 10,
            "capacity": {"messages_max": 10, "bytes_max": 2000, "message_bytes_max": 100, "overflow": "refuse"},
            "dead_letter": {"exchange": "", "key": "orders.dead"},
            "priority_max": 9,
            "retry": {"attempts_max": 3, "counter": "acquired",
                      "backoff": {"min_ms": 100, "max_ms": 10000, "growth": "linear", "jitter": 0.5, "on": "all"}},
            "lease_ms": 1000, "linked_lease_ms_max": 30000, "release_to": "back",
            "keys": {"mode": "ordered", "poison": "park"},
            "dedup": {"window_ms": 300000, "by_body": true},
            "dispatch": {"paused": true, "rate": {"per_second": 5.5, "burst": 10}, "in_flight_max": 4, "single_active": true},
            "labels": {"x-queue-type": "quorum"}
        }"#;
        let policy = parse(text).unwrap();
        assert_eq!(policy.retry.backoff.as_ref().unwrap().growth, Growth::Linear);
        assert_eq!(policy.capacity.overflow, Overflow::Refuse);
        let again = serde_json::to_string(&PolicyJson::from(&policy)).unwrap();
        assert_eq!(parse(&again).unwrap(), policy);
    }

    #[test]
    fn the_documented_policy_is_the_default_one() {
        let documentation = include_str!("../../../../docs/features/observability.md");
        let (_, rest) = documentation.split_once("### A queue's policy").unwrap();
        let (_, rest) = rest.split_once("```json\n").unwrap();
        let (json, _) = rest.split_once("```").unwrap();
        assert_eq!(parse(json).unwrap(), QueuePolicy::default());
    }

    #[test]
    fn mistakes_are_named() {
        assert!(parse(r#"{"ttl": 5}"#).unwrap_err().contains("unknown field `ttl`"));
        assert!(parse(r#"{"capacity": {"overflow": "explode"}}"#).unwrap_err().contains("drop-oldest"));
        assert!(parse(r#"{"dispatch": {"rate": {"per_second": 0}}}"#).unwrap_err().contains("paused"));
        assert!(
            parse(r#"{"retry": {"backoff": {"min_ms": 5, "max_ms": 1}}}"#).unwrap_err().contains("min_ms")
        );
        assert!(parse(r#"{"lease_ms": 0}"#).unwrap_err().contains("30000"));
    }
}
