//! The shapes of the actions' parameters, as AWS's service model has them. Members that are not known are ignored, and null is absence.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::wire::Text;

/// Text or nothing.
pub type OptText<'a> = Option<Text<'a>>;
/// Attributes of a queue, tags.
pub type TextMap<'a> = BTreeMap<Text<'a>, Text<'a>>;
/// Attributes of a message.
pub type AttributeMap<'a> = BTreeMap<Text<'a>, AttributeValue<'a>>;

macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attr:meta])* $field:ident: $type:ty),* $(,)? })*) => { $(
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, rename_all = "PascalCase", bound(deserialize = "'de: 'a"))]
        #[expect(missing_docs, reason = "the members are those of AWS's service model")]
        pub struct $name<'a> {
            $($(#[$attr])* pub $field: $type,)*
        }
    )* };
}

shapes! {
    /// The value of a message attribute.
    AttributeValue {
        data_type: OptText<'a>,
        string_value: OptText<'a>,
        binary_value: OptText<'a>,
        string_list_values: Option<Vec<Text<'a>>>,
        binary_list_values: Option<Vec<Text<'a>>>,
    }
    /// `CreateQueue`.
    CreateQueue {
        queue_name: OptText<'a>,
        attributes: Option<TextMap<'a>>,
        #[serde(alias = "tags")]
        tags: Option<TextMap<'a>>,
    }
    /// Actions that name a queue and no more: `DeleteQueue`, `PurgeQueue`, `ListQueueTags`.
    OneQueue {
        queue_url: OptText<'a>,
    }
    /// `GetQueueUrl`.
    GetQueueUrl {
        queue_name: OptText<'a>,
        #[serde(rename = "QueueOwnerAWSAccountId")]
        queue_owner_aws_account_id: OptText<'a>,
    }
    /// `GetQueueAttributes`.
    GetQueueAttributes {
        queue_url: OptText<'a>,
        attribute_names: Option<Vec<Text<'a>>>,
    }
    /// `SetQueueAttributes`.
    SetQueueAttributes {
        queue_url: OptText<'a>,
        attributes: Option<TextMap<'a>>,
    }
    /// `TagQueue`.
    TagQueue {
        queue_url: OptText<'a>,
        tags: Option<TextMap<'a>>,
    }
    /// `UntagQueue`.
    UntagQueue {
        queue_url: OptText<'a>,
        tag_keys: Option<Vec<Text<'a>>>,
    }
    /// `AddPermission`.
    AddPermission {
        queue_url: OptText<'a>,
        label: OptText<'a>,
        #[serde(rename = "AWSAccountIds")]
        aws_account_ids: Option<Vec<Text<'a>>>,
        actions: Option<Vec<Text<'a>>>,
    }
    /// `RemovePermission`.
    RemovePermission {
        queue_url: OptText<'a>,
        label: OptText<'a>,
    }
    /// `CancelMessageMoveTask`.
    CancelMessageMoveTask {
        task_handle: OptText<'a>,
    }
    /// `SendMessage`, and an entry of `SendMessageBatch`.
    SendMessage {
        queue_url: OptText<'a>,
        id: OptText<'a>,
        message_body: OptText<'a>,
        delay_seconds: Option<i64>,
        message_attributes: Option<AttributeMap<'a>>,
        message_system_attributes: Option<AttributeMap<'a>>,
        message_deduplication_id: OptText<'a>,
        message_group_id: OptText<'a>,
    }
    /// `SendMessageBatch`.
    SendMessageBatch {
        queue_url: OptText<'a>,
        entries: Option<Vec<SendMessage<'a>>>,
    }
    /// `ReceiveMessage`.
    ReceiveMessage {
        queue_url: OptText<'a>,
        attribute_names: Option<Vec<Text<'a>>>,
        message_system_attribute_names: Option<Vec<Text<'a>>>,
        message_attribute_names: Option<Vec<Text<'a>>>,
        max_number_of_messages: Option<i64>,
        visibility_timeout: Option<i64>,
        wait_time_seconds: Option<i64>,
        receive_request_attempt_id: OptText<'a>,
    }
    /// `DeleteMessage` and `ChangeMessageVisibility`, and an entry of their batches.
    Settle {
        queue_url: OptText<'a>,
        id: OptText<'a>,
        receipt_handle: OptText<'a>,
        visibility_timeout: Option<i64>,
    }
    /// `DeleteMessageBatch` and `ChangeMessageVisibilityBatch`.
    SettleBatch {
        queue_url: OptText<'a>,
        entries: Option<Vec<Settle<'a>>>,
    }
    /// `ListQueues` and `ListDeadLetterSourceQueues`.
    List {
        queue_url: OptText<'a>,
        queue_name_prefix: OptText<'a>,
        next_token: OptText<'a>,
        max_results: Option<i64>,
    }
    /// `StartMessageMoveTask` and `ListMessageMoveTasks`.
    MoveTask {
        source_arn: OptText<'a>,
        destination_arn: OptText<'a>,
        max_number_of_messages_per_second: Option<i64>,
        max_results: Option<i64>,
    }
}
