//! The one-byte codes of the vocabulary's small enums. The numbers are on disk: never reuse one.

use baton_model::event::DeathReason;
use baton_model::policy::{BackoffOn, Counter, KeyMode, KeyPoison, Overflow, ReleaseTo};
use baton_model::request::MessageState;
use baton_model::route::ExchangeKind;

use super::error::{DecodeError, Defect};
use super::wire::Reader;
use crate::record::Removal;

/// An enum that is one byte.
pub(super) trait Code: Copy + Sized {
    const WHAT: &'static str;
    fn code(self) -> u8;
    fn from_code(code: u8) -> Option<Self>;

    fn take(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = input.at();
        let code = input.u8()?;
        Self::from_code(code).ok_or(DecodeError { offset, defect: Defect::BadValue(Self::WHAT) })
    }
}

macro_rules! codes {
    ($($name:ident ($what:literal) { $($variant:ident = $code:literal),* $(,)? })*) => {$(
        impl Code for $name {
            const WHAT: &'static str = $what;
            fn code(self) -> u8 {
                match self { $(Self::$variant => $code),* }
            }
            fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }
        }
    )*};
}

codes! {
    Removal ("reason of a removal") { Completed = 0, Expired = 1, Dropped = 2, Deleted = 3 }
    DeathReason ("reason of a death") {
        Rejected = 0, Expired = 1, Overflow = 2, AttemptsSpent = 3, Operator = 4
    }
    MessageState ("message state") { Ready = 0, Scheduled = 1, InFlight = 2, Deferred = 3 }
    ExchangeKind ("kind of exchange") { Direct = 0, Fanout = 1, Topic = 2, Headers = 3, Pattern = 4 }
    Overflow ("overflow policy") { DropOldest = 0, Refuse = 1, RefuseAndDeadLetter = 2 }
    Counter ("counter of attempts") { Failed = 0, Acquired = 1 }
    BackoffOn ("kind of release that waits") { Failed = 0, Returned = 1, All = 2 }
    ReleaseTo ("place of released messages") { Original = 0, Back = 1 }
    KeyMode ("mode of keys") { Off = 0, Ordered = 1, Session = 2, Sticky = 3, Fair = 4 }
    KeyPoison ("rule for poisoned keys") { Skip = 0, Block = 1, Park = 2 }
}
