//! What the API's JSON looks like: plain mirrors of the model with the unit in every field's name. Only the handlers
//! use them. The model itself derives no serialisation, so that the API can stay as it is when the model moves.

pub mod message;
pub mod policy;
pub mod queue;
pub mod route;
pub mod value;

/// Serialises an enum of the model as one of a fixed set of words: a module to use with `#[serde(with = "…")]`.
macro_rules! words {
    ($(#[$doc:meta])* $module:ident for $type:ty { $($variant:path = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        pub(crate) mod $module {
            #[allow(unused_imports, reason = "which of these is needed depends on the type")]
            use super::*;

            /// The word for a value.
            pub(crate) fn word(value: $type) -> &'static str {
                match value { $($variant => $word,)* }
            }

            /// The value of a word.
            #[allow(dead_code, reason = "some are only written")]
            pub(crate) fn parse(word: &str) -> Option<$type> {
                match word { $($word => Some($variant),)* _ => None }
            }

            #[allow(dead_code, reason = "some are fields of no type")]
            pub(crate) fn serialize<S: serde::Serializer>(value: &$type, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(word(*value))
            }

            #[allow(dead_code, reason = "some are only written")]
            pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                let word = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                parse(&word).ok_or_else(|| serde::de::Error::unknown_variant(&word, &[$($word),*]))
            }
        }
    };
}
pub(crate) use words;
