//! AMQP 0-9-1 on the wire, as lean as a load generator needs it: [`encode`] writes method and content frames into a
//! caller's buffer, [`template`] keeps publishes prebuilt so that a message costs two small patches, [`scan`] walks
//! received frames without allocating. No socket here (that is `conn`), and no claim to be a complete client.
//! Numbers come from the AMQP 0-9-1 definition with RabbitMQ's extensions (classes 10, 20, 40, 50, 60, 85).

pub mod encode;
pub mod scan;
pub mod template;
#[cfg(test)]
mod tests;

/// Frame type octets.
pub mod frame {
    /// A method.
    pub const METHOD: u8 = 1;
    /// A content header.
    pub const HEADER: u8 = 2;
    /// A piece of content body.
    pub const BODY: u8 = 3;
    /// A heartbeat.
    pub const HEARTBEAT: u8 = 8;
    /// The octet that ends every frame.
    pub const END: u8 = 0xCE;
}

/// A method's class id and method id.
pub type MethodId = (u16, u16);

/// The methods this client sends or understands.
pub mod method {
    use super::MethodId;
    /// connection.start
    pub const CONNECTION_START: MethodId = (10, 10);
    /// connection.start-ok
    pub const CONNECTION_START_OK: MethodId = (10, 11);
    /// connection.tune
    pub const CONNECTION_TUNE: MethodId = (10, 30);
    /// connection.tune-ok
    pub const CONNECTION_TUNE_OK: MethodId = (10, 31);
    /// connection.open
    pub const CONNECTION_OPEN: MethodId = (10, 40);
    /// connection.open-ok
    pub const CONNECTION_OPEN_OK: MethodId = (10, 41);
    /// connection.close
    pub const CONNECTION_CLOSE: MethodId = (10, 50);
    /// connection.close-ok
    pub const CONNECTION_CLOSE_OK: MethodId = (10, 51);
    /// channel.open
    pub const CHANNEL_OPEN: MethodId = (20, 10);
    /// channel.open-ok
    pub const CHANNEL_OPEN_OK: MethodId = (20, 11);
    /// channel.close
    pub const CHANNEL_CLOSE: MethodId = (20, 40);
    /// exchange.declare
    pub const EXCHANGE_DECLARE: MethodId = (40, 10);
    /// exchange.declare-ok
    pub const EXCHANGE_DECLARE_OK: MethodId = (40, 11);
    /// queue.declare
    pub const QUEUE_DECLARE: MethodId = (50, 10);
    /// queue.declare-ok
    pub const QUEUE_DECLARE_OK: MethodId = (50, 11);
    /// queue.bind
    pub const QUEUE_BIND: MethodId = (50, 20);
    /// queue.bind-ok
    pub const QUEUE_BIND_OK: MethodId = (50, 21);
    /// queue.delete
    pub const QUEUE_DELETE: MethodId = (50, 40);
    /// queue.delete-ok
    pub const QUEUE_DELETE_OK: MethodId = (50, 41);
    /// basic.qos
    pub const BASIC_QOS: MethodId = (60, 10);
    /// basic.qos-ok
    pub const BASIC_QOS_OK: MethodId = (60, 11);
    /// basic.consume
    pub const BASIC_CONSUME: MethodId = (60, 20);
    /// basic.consume-ok
    pub const BASIC_CONSUME_OK: MethodId = (60, 21);
    /// basic.cancel, which a server with consumer_cancel_notify sends too
    pub const BASIC_CANCEL: MethodId = (60, 30);
    /// basic.publish
    pub const BASIC_PUBLISH: MethodId = (60, 40);
    /// basic.return
    pub const BASIC_RETURN: MethodId = (60, 50);
    /// basic.deliver
    pub const BASIC_DELIVER: MethodId = (60, 60);
    /// basic.ack, both ways
    pub const BASIC_ACK: MethodId = (60, 80);
    /// basic.nack, both ways
    pub const BASIC_NACK: MethodId = (60, 120);
    /// confirm.select
    pub const CONFIRM_SELECT: MethodId = (85, 10);
    /// confirm.select-ok
    pub const CONFIRM_SELECT_OK: MethodId = (85, 11);
}

/// Why received bytes were not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A frame did not end with 0xCE: the stream is out of step.
    #[error("a frame of {size} bytes does not end with 0xCE")]
    BadFrameEnd {
        /// The payload size that the frame announced.
        size: u32,
    },
    /// A frame is larger than the negotiated maximum.
    #[error("a frame of {size} bytes is larger than this client's buffer")]
    FrameTooLarge {
        /// The payload size that the frame announced.
        size: u32,
    },
    /// A method or header ended before its fields did.
    #[error("{what} is shorter than its fields")]
    Short {
        /// Which method or frame.
        what: &'static str,
    },
    /// Content frames in an order that the protocol does not allow.
    #[error("content out of order: {what}")]
    ContentOrder {
        /// What came and when.
        what: &'static str,
    },
    /// A message body that this load generator did not write.
    #[error("a message body is not one of ours: {what}")]
    ForeignBody {
        /// What is wrong with it.
        what: &'static str,
    },
}
