//! Every size limit of this dialect's codec, with the reason for its value and what happens when it is met.
//! Limits of the session (channels, consumers, credit) belong to the session. Used by `frame`, `table` and `content`.

/// Smallest frame size a peer may negotiate, in bytes, overhead included.
/// From the definition (`FRAME-MIN-SIZE`, RabbitMQ raised it from 4096). A smaller `tune-ok` is refused with 530.
pub const FRAME_BYTES_MIN: u32 = 8192;

/// Largest frame accepted before `connection.tune-ok`, in bytes: what a client that has not authenticated can make
/// us buffer. As RabbitMQ's `initial_frame_max`. A larger frame closes the connection with 501.
pub const FRAME_BYTES_MAX_BEFORE_TUNE: u32 = FRAME_BYTES_MIN;

/// Frame size we propose in `connection.tune`, in bytes. RabbitMQ's default, which all clients accept; larger frames
/// make one big message hold up the other channels. A larger frame closes the connection with 501.
pub const FRAME_BYTES_MAX_DEFAULT: u32 = 128 * 1024;

/// Bytes of a frame that are not payload: type, channel, size, and the end octet.
pub const FRAME_OVERHEAD_BYTES: u32 = 8;

/// How deep tables and arrays may nest. The deepest table in normal use (`x-death`) has three levels; reading
/// is recursive, so the limit also bounds the stack. Deeper nesting closes the connection with 502.
pub const TABLE_DEPTH_MAX: u32 = 32;

/// Largest message body accepted unless configured otherwise, in bytes: RabbitMQ 4's `max_message_size`.
/// A larger body is read and thrown away, then its channel is closed with 406.
pub const MESSAGE_BYTES_MAX_DEFAULT: u64 = 16 * 1024 * 1024;

/// Largest body that a content header may announce at all, in bytes; configuration cannot exceed it. As RabbitMQ's
/// hard maximum: beyond it, reading the body only to refuse it is no longer sensible. Closes the connection with 501.
pub const MESSAGE_BYTES_HARD_MAX: u64 = 512 * 1024 * 1024;

/// A body in several frames is gathered in a buffer whose first size is at most this many times what has really
/// arrived: a peer cannot make us allocate by announcing a size alone.
pub const BODY_RESERVE_FACTOR: usize = 8;

/// Room in front of a body that is gathered from several frames, bytes: an envelope with usual properties and headers fits in. One
/// that does not costs a copy of the body.
pub const HEAD_ROOM_BYTES: usize = 1024;

/// Longest short string in bytes; its length is one octet on the wire.
pub const SHORT_STRING_BYTES_MAX: usize = 255;
