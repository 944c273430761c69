//! Reply codes of AMQP 0-9-1 (`constants` of the definition): number, name, and whether a code closes the channel or
//! the connection. Not here: who raises which code. Used by `error` and by the session.

use crate::short_str::ShortStr;

/// What a code closes: a soft error its channel, a hard error the whole connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Not an error.
    Success,
    /// Closes the channel (`channel.close`), or the connection if raised on channel 0.
    Channel,
    /// Closes the connection (`connection.close`).
    Connection,
}

macro_rules! reply_codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal, $severity:ident;)+) => {
        /// A reply code of `close` and `return`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum ReplyCode { $($(#[$doc])* $variant = $code,)+ }

        impl ReplyCode {
            /// Every code, in the order of the definition.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The number on the wire.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The name as RabbitMQ writes it at the start of a reply text, such as `PRECONDITION_FAILED`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What this code closes.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)+ }
            }

            /// The code with this number, if the definition has one.
            #[must_use]
            pub const fn from_code(code: u16) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

reply_codes! {
    /// The orderly close.
    ReplySuccess = 200, "REPLY_SUCCESS", Success;
    /// The content is larger than the server will take now.
    ContentTooLarge = 311, "CONTENT_TOO_LARGE", Channel;
    /// A mandatory message found no queue; the code of `basic.return`.
    NoRoute = 312, "NO_ROUTE", Channel;
    /// An immediate message found no consumer.
    NoConsumers = 313, "NO_CONSUMERS", Channel;
    /// No permission, or wrong credentials (then on channel 0).
    AccessRefused = 403, "ACCESS_REFUSED", Channel;
    /// No such exchange or queue.
    NotFound = 404, "NOT_FOUND", Channel;
    /// An exclusive queue of another connection.
    ResourceLocked = 405, "RESOURCE_LOCKED", Channel;
    /// Arguments differ from the existing object's, an unknown delivery tag, a message over the limit, and the like.
    PreconditionFailed = 406, "PRECONDITION_FAILED", Channel;
    /// An operator or the shutting down server closes the connection.
    ConnectionForced = 320, "CONNECTION_FORCED", Connection;
    /// Unknown virtual host.
    InvalidPath = 402, "INVALID_PATH", Connection;
    /// A frame that cannot be read at all.
    FrameError = 501, "FRAME_ERROR", Connection;
    /// A frame whose fields are illegal.
    SyntaxError = 502, "SYNTAX_ERROR", Connection;
    /// A method that makes no sense here, or that nobody knows.
    CommandInvalid = 503, "COMMAND_INVALID", Connection;
    /// Work on a channel that is not open, or opening an open one.
    ChannelError = 504, "CHANNEL_ERROR", Connection;
    /// A frame of the wrong kind, such as a body without its header.
    UnexpectedFrame = 505, "UNEXPECTED_FRAME", Connection;
    /// The server lacks resources.
    ResourceError = 506, "RESOURCE_ERROR", Connection;
    /// Not allowed whoever asks, such as a channel number over the negotiated maximum.
    NotAllowed = 530, "NOT_ALLOWED", Connection;
    /// Known and not offered, such as `immediate`.
    NotImplemented = 540, "NOT_IMPLEMENTED", Connection;
    /// The server's own fault.
    InternalError = 541, "INTERNAL_ERROR", Connection;
}

impl ReplyCode {
    /// The reply text of a `close`: `NAME - explanation`, cut to what a short string holds.
    /// The form is RabbitMQ's, which clients' error handling matches on.
    #[must_use]
    pub fn text(self, explanation: &str) -> ShortStr {
        ShortStr::truncated(&format!("{} - {explanation}", self.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_definition() {
        let spec: serde_json::Value =
            serde_json::from_str(include_str!("../spec/amqp-rabbitmq-0.9.1.json")).unwrap();
        let mut seen = 0;
        for constant in spec["constants"].as_array().unwrap() {
            let name = constant["name"].as_str().unwrap().replace('-', "_");
            let value = u16::try_from(constant["value"].as_u64().unwrap()).unwrap();
            if name.starts_with("FRAME_") && name != "FRAME_ERROR" {
                continue;
            }
            let code = ReplyCode::from_code(value).unwrap();
            assert_eq!((code.name(), code.code()), (name.as_str(), value));
            let severity = match constant["class"].as_str() {
                Some("soft-error") => Severity::Channel,
                Some("hard-error") => Severity::Connection,
                _ => Severity::Success,
            };
            assert_eq!(code.severity(), severity, "{name}");
            seen += 1;
        }
        assert_eq!(seen, ReplyCode::ALL.len());
        assert_eq!(ReplyCode::from_code(299), None);
    }

    #[test]
    fn text_is_cut_to_a_short_string() {
        assert_eq!(ReplyCode::NotFound.text("no queue 'a'").as_str(), "NOT_FOUND - no queue 'a'");
        let long = ReplyCode::NotFound.text(&"é".repeat(300));
        assert!(long.len() <= 255 && long.as_str().ends_with("..."));
    }
}
