//! What can go wrong in the codec, split by whose fault it is: [`WireError`] is the peer's (it broke the protocol and its
//! connection closes), [`EncodeError`] is ours (a value that the wire cannot carry). Raised by every module of
//! the codec; the session turns a [`WireError`] into `connection.close`.

use crate::codes::ReplyCode;

/// The peer sent bytes that are not AMQP 0-9-1. Always fatal to its connection and to nothing else; answer with
/// `connection.close` carrying [`reply_code`](Self::reply_code), then stop reading.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A frame announces more payload than negotiated.
    #[error(
        "frame of {payload_bytes} payload bytes is over the negotiated frame-max of {frame_bytes_max}; split the content or raise frame-max"
    )]
    FrameTooLarge {
        /// Announced payload size.
        payload_bytes: u32,
        /// The limit in force.
        frame_bytes_max: u32,
    },
    /// The octet after the payload is not 206.
    #[error("frame ends with octet {found} instead of 206; the peer miscounted the payload size")]
    FrameEnd {
        /// What stood in its place.
        found: u8,
    },
    /// A frame type that is not method, header, body or heartbeat.
    #[error("unknown frame type {frame_type}; send 1 (method), 2 (header), 3 (body) or 8 (heartbeat)")]
    UnknownFrameType {
        /// The type octet.
        frame_type: u8,
    },
    /// A frame too short for its fixed part, or a heartbeat with a payload.
    #[error("{what} frame has {payload_bytes} payload bytes, which its kind does not allow")]
    FramePayload {
        /// Kind of frame.
        what: &'static str,
        /// Its payload size.
        payload_bytes: usize,
    },
    /// A frame of the wrong kind at this point of the channel, or on this channel.
    #[error("expected {expected}, got {found} on channel {channel}")]
    UnexpectedFrame {
        /// What the channel waits for.
        expected: &'static str,
        /// What came.
        found: &'static str,
        /// Channel number.
        channel: u16,
        /// The method whose content was being read, or (0, 0).
        method: (u16, u16),
    },
    /// The content header names another class than its method.
    #[error("expected content header for class {expected}, got one for class {found}")]
    ContentClass {
        /// Class of the method.
        expected: u16,
        /// Class (or, if that agrees, a weight other than 0) in the header.
        found: u16,
        /// The method whose content was being read.
        method: (u16, u16),
    },
    /// The body frames carry more than the header announced.
    #[error(
        "content body frame of {frame_bytes} bytes exceeds the remaining content size of {remaining_bytes}"
    )]
    BodyOverrun {
        /// Size of this body frame.
        frame_bytes: u64,
        /// What was still missing.
        remaining_bytes: u64,
        /// The method whose content was being read.
        method: (u16, u16),
    },
    /// The header announces a body over the hard maximum.
    #[error(
        "content body size {body_bytes} exceeds maximum allowed size {body_bytes_max}; split the message"
    )]
    BodyTooLarge {
        /// Announced size.
        body_bytes: u64,
        /// [`limits::MESSAGE_BYTES_HARD_MAX`](crate::limits::MESSAGE_BYTES_HARD_MAX).
        body_bytes_max: u64,
        /// The method whose content was being read.
        method: (u16, u16),
    },
    /// A class or method number that the definition does not have.
    #[error("unknown method {method_id} of class {class_id}; this is AMQP 0-9-1 with RabbitMQ's extensions")]
    UnknownMethod {
        /// Class number.
        class_id: u16,
        /// Method number.
        method_id: u16,
    },
    /// The fields end before their last value does.
    #[error("{what} ends {missing_bytes} bytes too early")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// How many bytes it lacks.
        missing_bytes: usize,
    },
    /// Bytes after the last field.
    #[error("{excess_bytes} bytes left over after the last field of {what}")]
    TrailingBytes {
        /// What was being read.
        what: &'static str,
        /// How many bytes too many.
        excess_bytes: usize,
    },
    /// A short string of a method is not UTF-8.
    #[error("malformed UTF-8 in a short string; names and keys must be UTF-8")]
    NotUtf8,
    /// A table holds a type tag that RabbitMQ does not know.
    #[error("unknown field type {tag:#04x} in a table; known are t b B s u I i l L f d D S x A T F V")]
    UnknownFieldType {
        /// The tag octet.
        tag: u8,
    },
    /// Tables nested deeper than [`limits::TABLE_DEPTH_MAX`](crate::limits::TABLE_DEPTH_MAX).
    #[error("tables nest deeper than {depth_max} levels; flatten the arguments or headers")]
    TableTooDeep {
        /// The limit.
        depth_max: u32,
    },
    /// A property flag that class `basic` does not have.
    #[error("property flags {flags:#06x} name a property that class basic does not have")]
    UnknownProperty {
        /// The flag word.
        flags: u16,
    },
}

impl WireError {
    /// The code for `connection.close`. Where RabbitMQ has an answer it is RabbitMQ's (`rabbit_reader`,
    /// `rabbit_command_assembler`); where RabbitMQ merely crashes the connection it is the specification's 502.
    #[must_use]
    pub fn reply_code(&self) -> ReplyCode {
        match self {
            Self::FrameTooLarge { .. }
            | Self::FrameEnd { .. }
            | Self::UnknownFrameType { .. }
            | Self::FramePayload { .. }
            | Self::BodyOverrun { .. }
            | Self::BodyTooLarge { .. }
            | Self::NotUtf8 => ReplyCode::FrameError,
            Self::UnexpectedFrame { .. } | Self::ContentClass { .. } => ReplyCode::UnexpectedFrame,
            Self::UnknownMethod { .. } => ReplyCode::CommandInvalid,
            Self::Truncated { .. }
            | Self::TrailingBytes { .. }
            | Self::UnknownFieldType { .. }
            | Self::TableTooDeep { .. }
            | Self::UnknownProperty { .. } => ReplyCode::SyntaxError,
        }
    }

    /// Class and method for `connection.close`: the failing method where the codec knows it, else (0, 0).
    #[must_use]
    pub fn failing_method(&self) -> (u16, u16) {
        match self {
            Self::UnexpectedFrame { method, .. }
            | Self::ContentClass { method, .. }
            | Self::BodyOverrun { method, .. }
            | Self::BodyTooLarge { method, .. } => *method,
            Self::UnknownMethod { class_id, method_id } => (*class_id, *method_id),
            _ => (0, 0),
        }
    }
}

/// We tried to write what the wire cannot carry. Nothing was written; the caller shortens the value or refuses it where
/// it came in (a name from another protocol, for example).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A short string holds at most 255 bytes.
    #[error("a short string of AMQP 0-9-1 holds at most 255 bytes, got {bytes}; use a shorter name")]
    ShortStringTooLong {
        /// Its length.
        bytes: usize,
    },
    /// Properties cannot be split over frames, and the peer negotiated smaller ones.
    #[error(
        "properties of {bytes} bytes do not fit the peer's frame-max of {frame_bytes_max}; send fewer headers or negotiate larger frames"
    )]
    PropertiesTooLarge {
        /// Size of the header frame.
        bytes: usize,
        /// The negotiated limit.
        frame_bytes_max: u32,
    },
}
