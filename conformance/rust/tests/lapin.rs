//! lapin over AMQP 0-9-1: the main paths, and the errors its users match on. Each test has queues of its own, and
//! exclusive ones where it can, so that tests may run side by side against one server.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::OnceLock;
use std::time::Duration;

use baton_conformance::{Server, unique};
use futures_lite::StreamExt;
use lapin::options::*;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, Error, ExchangeKind,
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

/// The server that all tests share: it lives as long as the test process.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

async fn connect(url: &str) -> Connection {
    timeout(PATIENCE, Connection::connect(url, ConnectionProperties::default())).await.unwrap().unwrap()
}

/// A connection (which must stay alive) and a channel with confirms.
async fn open() -> (Connection, Channel) {
    let connection = connect(&server().url).await;
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    (connection, channel)
}

fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert(key.into(), value);
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

async fn exclusive(channel: &Channel, arguments: FieldTable) -> String {
    let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
    channel.queue_declare("".into(), options, arguments).await.unwrap().name().to_string()
}

async fn publish(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> Confirmation {
    let sent =
        channel.basic_publish(exchange.into(), key.into(), BasicPublishOptions::default(), body, properties);
    timeout(PATIENCE, sent.await.unwrap()).await.unwrap().unwrap()
}

async fn send(channel: &Channel, queue: &str, bodies: &[&str]) {
    for body in bodies {
        assert!(publish(channel, "", queue, body.as_bytes(), BasicProperties::default()).await.is_ack());
    }
}

async fn consume(channel: &Channel, queue: &str, options: BasicConsumeOptions) -> Consumer {
    channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await.unwrap()
}

async fn next(consumer: &mut Consumer) -> lapin::message::Delivery {
    timeout(PATIENCE, consumer.next()).await.expect("a delivery in time").unwrap().unwrap()
}

/// Everything that is ready, oldest first.
async fn drain(channel: &Channel, queue: &str) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(message) = channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap()
    {
        found.push(String::from_utf8(message.delivery.data).unwrap());
    }
    found
}

async fn ready(channel: &Channel, queue: &str) -> u32 {
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    channel.queue_declare(queue.into(), passive, FieldTable::default()).await.unwrap().message_count()
}

/// The code and text with which the broker closed the channel or connection.
fn amqp_error(error: &Error) -> (AMQPErrorKind, String) {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(error) => (error.kind().clone(), error.get_message().to_string()),
        other => panic!("not an error of the broker: {other:?}"),
    }
}

fn soft(error: &Error, kind: AMQPSoftError) -> String {
    let (found, message) = amqp_error(error);
    assert_eq!(found, AMQPErrorKind::Soft(kind), "{message}");
    message
}

#[tokio::test]
async fn a_bad_password_is_refused_with_access_refused() {
    let url = server().url.replace("guest:guest", "guest:wrong");
    let error = Connection::connect(&url, ConnectionProperties::default()).await.err().unwrap();
    soft(&error, AMQPSoftError::ACCESSREFUSED);
}

#[tokio::test]
async fn an_unknown_vhost_is_refused_with_not_allowed() {
    let url = server().url.replace("%2f", "nope");
    let url = if url.ends_with("nope") { url } else { format!("{}/nope", url.trim_end_matches('/')) };
    let error = Connection::connect(&url, ConnectionProperties::default()).await.err().unwrap();
    assert_eq!(amqp_error(&error).0, AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED));
}

#[tokio::test]
async fn an_unknown_queue_closes_the_channel_with_not_found_and_nothing_else() {
    let (connection, channel) = open().await;
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let error = channel.queue_declare("nope".into(), passive, FieldTable::default()).await.err().unwrap();
    assert_eq!(soft(&error, AMQPSoftError::NOTFOUND), "NOT_FOUND - no queue 'nope' in vhost '/'");
    assert!(connection.status().connected());
    let other = connection.create_channel().await.unwrap();
    exclusive(&other, FieldTable::default()).await;
}

#[tokio::test]
async fn different_arguments_close_the_channel_with_precondition_failed() {
    let (_connection, channel) = open().await;
    let (name, options) = (unique("q"), QueueDeclareOptions { exclusive: true, ..Default::default() });
    let arguments = |ttl| table([("x-message-ttl", AMQPValue::LongInt(ttl))]);
    channel.queue_declare(name.as_str().into(), options, arguments(1000)).await.unwrap();
    let error = channel.queue_declare(name.as_str().into(), options, arguments(2000)).await.err().unwrap();
    let message = soft(&error, AMQPSoftError::PRECONDITIONFAILED);
    assert_eq!(
        message,
        format!(
            "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue '{name}' in vhost '/': \
             received '2000' but current is '1000'"
        )
    );
}

#[tokio::test]
async fn an_exclusive_queue_is_locked_to_other_connections() {
    let (_owner, channel) = open().await;
    let name = exclusive(&channel, FieldTable::default()).await;
    let (_other, second) = open().await;
    let error = second.basic_get(name.as_str().into(), BasicGetOptions::default()).await.err().unwrap();
    soft(&error, AMQPSoftError::RESOURCELOCKED);
}

#[tokio::test]
async fn many_publishes_in_flight_are_each_confirmed_and_stay_in_order() {
    let (_connection, channel) = open().await;
    let queue = exclusive(&channel, FieldTable::default()).await;
    let mut confirms = Vec::new();
    for number in 0..1000 {
        let body = number.to_string();
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish(
            "".into(),
            queue.as_str().into(),
            options,
            body.as_bytes(),
            Default::default(),
        );
        confirms.push(sent.await.unwrap());
    }
    for confirm in confirms {
        assert!(timeout(PATIENCE, confirm).await.unwrap().unwrap().is_ack());
    }
    assert_eq!(drain(&channel, &queue).await, (0..1000).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_unroutable_mandatory_message_is_returned_with_its_confirm() {
    let (_connection, channel) = open().await;
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let sent =
        channel.basic_publish("".into(), "conf.nowhere".into(), options, b"back", BasicProperties::default());
    let confirmation = timeout(PATIENCE, sent.await.unwrap()).await.unwrap().unwrap();
    assert!(confirmation.is_ack());
    let returned = confirmation.take_message().expect("the return came before the confirm");
    assert_eq!(
        (returned.reply_code, returned.reply_text.as_str(), returned.delivery.data.as_slice()),
        (312, "NO_ROUTE", &b"back"[..])
    );
}

#[tokio::test]
async fn an_unroutable_message_that_is_not_mandatory_is_acked() {
    let (_connection, channel) = open().await;
    let confirmation = publish(&channel, "", "conf.nowhere", b"x", BasicProperties::default()).await;
    assert_eq!(confirmation, Confirmation::Ack(None));
}

#[tokio::test]
async fn a_refused_publish_is_nacked() {
    let (_connection, channel) = open().await;
    let arguments = table([("x-max-length", AMQPValue::LongInt(1)), ("x-overflow", text("reject-publish"))]);
    let queue = exclusive(&channel, arguments).await;
    send(&channel, &queue, &["in"]).await;
    assert!(publish(&channel, "", &queue, b"out", BasicProperties::default()).await.is_nack());
    assert_eq!(drain(&channel, &queue).await, ["in"]);
}

#[tokio::test]
async fn prefetch_holds_back_until_an_ack_and_ack_multiple_covers_all() {
    let (connection, channel) = open().await;
    let queue = exclusive(&channel, FieldTable::default()).await;
    send(&channel, &queue, &["1", "2", "3", "4", "5"]).await;
    let consuming = connection.create_channel().await.unwrap();
    consuming.basic_qos(3, BasicQosOptions::default()).await.unwrap();
    let mut consumer = consume(&consuming, &queue, BasicConsumeOptions::default()).await;
    next(&mut consumer).await;
    let second = next(&mut consumer).await;
    next(&mut consumer).await;
    assert_eq!(ready(&channel, &queue).await, 2);
    second.ack(BasicAckOptions { multiple: true }).await.unwrap();
    assert_eq!(next(&mut consumer).await.data, b"4");
    assert_eq!(next(&mut consumer).await.data, b"5");
    consuming.close(200, "".into()).await.unwrap();
    assert_eq!(drain(&channel, &queue).await, ["3", "4", "5"]);
}

#[tokio::test]
async fn nack_requeues_in_place_and_marks_redelivered() {
    let (_connection, channel) = open().await;
    let queue = exclusive(&channel, FieldTable::default()).await;
    send(&channel, &queue, &["1", "2"]).await;
    let first = channel.basic_get(queue.as_str().into(), BasicGetOptions::default()).await.unwrap().unwrap();
    assert!(!first.delivery.redelivered);
    first.delivery.nack(BasicNackOptions { requeue: true, multiple: false }).await.unwrap();
    let again =
        channel.basic_get(queue.as_str().into(), BasicGetOptions { no_ack: true }).await.unwrap().unwrap();
    assert_eq!((again.delivery.data.as_slice(), again.delivery.redelivered), (&b"1"[..], true));
}

#[tokio::test]
async fn an_unknown_delivery_tag_closes_the_channel_with_precondition_failed() {
    let (_connection, channel) = open().await;
    channel.basic_ack(99, BasicAckOptions::default()).await.unwrap();
    let error = channel.basic_qos(1, BasicQosOptions::default()).await.err();
    if let Some(error) = error.filter(Error::is_amqp_error) {
        assert_eq!(
            soft(&error, AMQPSoftError::PRECONDITIONFAILED),
            "PRECONDITION_FAILED - unknown delivery tag 99"
        );
    }
    assert!(!channel.status().connected());
}

#[tokio::test]
async fn an_exclusive_consumer_refuses_others() {
    let (connection, channel) = open().await;
    let queue = exclusive(&channel, FieldTable::default()).await;
    let _consumer =
        consume(&channel, &queue, BasicConsumeOptions { exclusive: true, ..Default::default() }).await;
    let other = connection.create_channel().await.unwrap();
    let refused = other.basic_consume(
        queue.as_str().into(),
        "".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    soft(&refused.await.err().unwrap(), AMQPSoftError::ACCESSREFUSED);
}

#[tokio::test]
async fn deleting_the_queue_ends_its_consumers() {
    let (connection, channel) = open().await;
    let queue = exclusive(&channel, FieldTable::default()).await;
    let mut consumer = consume(&channel, &queue, BasicConsumeOptions::default()).await;
    let other = connection.create_channel().await.unwrap();
    other.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    assert!(timeout(PATIENCE, consumer.next()).await.unwrap().is_none());
    assert!(channel.status().connected());
}

#[tokio::test]
async fn closing_the_connection_returns_what_it_held() {
    let (_connection, channel) = open().await;
    let name = unique("q");
    channel
        .queue_declare(name.as_str().into(), QueueDeclareOptions::durable(), FieldTable::default())
        .await
        .unwrap();
    send(&channel, &name, &["work"]).await;
    let (dying, dying_channel) = open().await;
    next(&mut consume(&dying_channel, &name, BasicConsumeOptions::default()).await).await;
    let mut survivor =
        consume(&channel, &name, BasicConsumeOptions { no_ack: true, ..Default::default() }).await;
    dying.close(200, "".into()).await.unwrap();
    let delivery = next(&mut survivor).await;
    assert_eq!((delivery.data.as_slice(), delivery.redelivered), (&b"work"[..], true));
    channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
}

#[tokio::test]
async fn a_transaction_commits_publishes_and_acks_together_and_rolls_back() {
    let (connection, channel) = open().await;
    let (source, target) =
        (exclusive(&channel, FieldTable::default()).await, exclusive(&channel, FieldTable::default()).await);
    send(&channel, &source, &["in"]).await;
    let tx = connection.create_channel().await.unwrap();
    tx.tx_select().await.unwrap();
    let publish = async |body: &'static [u8]| {
        let options = BasicPublishOptions::default();
        tx.basic_publish("".into(), target.as_str().into(), options, body, BasicProperties::default())
            .await
            .unwrap();
    };
    publish(b"discarded").await;
    tx.tx_rollback().await.unwrap();
    let taken = tx.basic_get(source.as_str().into(), BasicGetOptions::default()).await.unwrap().unwrap();
    publish(b"out").await;
    tx.basic_ack(taken.delivery.delivery_tag, BasicAckOptions::default()).await.unwrap();
    assert_eq!(ready(&channel, &target).await, 0);
    tx.tx_commit().await.unwrap();
    tx.close(200, "".into()).await.unwrap();
    assert_eq!(
        (drain(&channel, &source).await, drain(&channel, &target).await),
        (vec![], vec!["out".to_owned()])
    );
}

#[tokio::test]
async fn a_topic_exchange_bound_to_another_routes_by_pattern() {
    let (_connection, channel) = open().await;
    let (topic, fan) = (unique("topic"), unique("fan"));
    let options = ExchangeDeclareOptions { auto_delete: true, ..Default::default() };
    channel
        .exchange_declare(topic.as_str().into(), ExchangeKind::Topic, options, FieldTable::default())
        .await
        .unwrap();
    channel
        .exchange_declare(fan.as_str().into(), ExchangeKind::Fanout, options, FieldTable::default())
        .await
        .unwrap();
    let queue = exclusive(&channel, FieldTable::default()).await;
    let (to, from) = (fan.as_str().into(), topic.as_str().into());
    channel
        .exchange_bind(to, from, "a.#".into(), ExchangeBindOptions::default(), FieldTable::default())
        .await
        .unwrap();
    let (to, from) = (queue.as_str().into(), fan.as_str().into());
    channel
        .queue_bind(to, from, "".into(), QueueBindOptions::default(), FieldTable::default())
        .await
        .unwrap();
    for key in ["a", "a.b", "b"] {
        assert!(publish(&channel, &topic, key, key.as_bytes(), BasicProperties::default()).await.is_ack());
    }
    assert_eq!(drain(&channel, &queue).await, ["a", "a.b"]);
}

#[tokio::test]
async fn a_rejected_message_is_dead_lettered_with_its_history() {
    let (_connection, channel) = open().await;
    let dead = exclusive(&channel, FieldTable::default()).await;
    let arguments = table([("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text(&dead))]);
    let queue = exclusive(&channel, arguments).await;
    send(&channel, &queue, &["poison"]).await;
    let message =
        channel.basic_get(queue.as_str().into(), BasicGetOptions::default()).await.unwrap().unwrap();
    message.delivery.reject(BasicRejectOptions { requeue: false }).await.unwrap();
    let mut consumer =
        consume(&channel, &dead, BasicConsumeOptions { no_ack: true, ..Default::default() }).await;
    let delivery = next(&mut consumer).await;
    let headers = delivery.properties.headers().clone().unwrap();
    let Some(AMQPValue::FieldArray(deaths)) = headers.inner().get("x-death") else { panic!("{headers:?}") };
    let AMQPValue::FieldTable(death) = &deaths.as_slice()[0] else { panic!("{deaths:?}") };
    let value = |key: &str| death.inner().get(key).cloned().unwrap();
    assert_eq!(value("queue"), text(&queue));
    assert_eq!(value("reason"), text("rejected"));
    assert_eq!(value("count"), AMQPValue::LongLongInt(1));
    assert!(matches!(value("time"), AMQPValue::Timestamp(_)));
}

#[tokio::test]
async fn headers_keep_their_wire_types() {
    let (_connection, channel) = open().await;
    let queue = exclusive(&channel, FieldTable::default()).await;
    let headers = table([
        ("bool", AMQPValue::Boolean(true)),
        ("i8", AMQPValue::ShortShortInt(-1)),
        ("u8", AMQPValue::ShortShortUInt(255)),
        ("i16", AMQPValue::ShortInt(-300)),
        ("u16", AMQPValue::ShortUInt(65535)),
        ("i32", AMQPValue::LongInt(-70_000)),
        ("u32", AMQPValue::LongUInt(u32::MAX)),
        ("i64", AMQPValue::LongLongInt(i64::MIN)),
        ("f32", AMQPValue::Float(1.5)),
        ("f64", AMQPValue::Double(2.25)),
        ("time", AMQPValue::Timestamp(1_700_000_000)),
        ("void", AMQPValue::Void),
        ("text", text("ü€")),
        ("table", AMQPValue::FieldTable(table([("k", AMQPValue::ShortInt(1))]))),
        ("array", AMQPValue::FieldArray(vec![AMQPValue::LongInt(1), text("a")].into())),
        ("bytes", AMQPValue::ByteArray(vec![0, 255].into())),
    ]);
    let properties =
        BasicProperties::default().with_headers(headers.clone()).with_priority(7).with_message_id("m".into());
    assert!(publish(&channel, "", &queue, b"", properties.clone()).await.is_ack());
    let message =
        channel.basic_get(queue.as_str().into(), BasicGetOptions { no_ack: true }).await.unwrap().unwrap();
    assert_eq!(message.delivery.properties, properties);
}

#[tokio::test]
async fn a_large_body_comes_back_whole() {
    let (_connection, channel) = open().await;
    let queue = exclusive(&channel, FieldTable::default()).await;
    let body: Vec<u8> = (0..=u8::MAX).cycle().take(5_000_003).collect();
    assert!(publish(&channel, "", &queue, &body, BasicProperties::default()).await.is_ack());
    let message =
        channel.basic_get(queue.as_str().into(), BasicGetOptions { no_ack: true }).await.unwrap().unwrap();
    assert!(message.delivery.data == body);
}

#[tokio::test]
async fn rpc_by_direct_reply_to() {
    let (connection, asking) = open().await;
    let queue = exclusive(&asking, FieldTable::default()).await;
    let serving = connection.create_channel().await.unwrap();
    let no_ack = BasicConsumeOptions { no_ack: true, ..Default::default() };
    let mut requests = consume(&serving, &queue, no_ack).await;
    let mut replies = consume(&asking, "amq.rabbitmq.reply-to", no_ack).await;
    let properties = BasicProperties::default()
        .with_reply_to("amq.rabbitmq.reply-to".into())
        .with_correlation_id("c".into());
    assert!(publish(&asking, "", &queue, b"ping", properties).await.is_ack());
    let request = next(&mut requests).await;
    let to = request.properties.reply_to().clone().unwrap();
    let answer =
        BasicProperties::default().with_correlation_id(request.properties.correlation_id().clone().unwrap());
    serving.basic_publish("".into(), to, BasicPublishOptions::default(), b"pong", answer).await.unwrap();
    let reply = next(&mut replies).await;
    assert_eq!(
        (reply.data.as_slice(), reply.properties.correlation_id().clone().unwrap().as_str()),
        (&b"pong"[..], "c")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirmed_messages_survive_a_sigkill() {
    let mut own = Server::start();
    if !own.is_own() {
        return; // listed in SKIPS.md: needs a broker of our own
    }
    let connection = connect(&own.url).await;
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    channel
        .queue_declare("kept".into(), QueueDeclareOptions::durable(), FieldTable::default())
        .await
        .unwrap();
    for number in 0..200 {
        let properties = BasicProperties::default().with_delivery_mode(2);
        assert!(publish(&channel, "", "kept", number.to_string().as_bytes(), properties).await.is_ack());
    }
    own.kill_and_restart();
    let connection = connect(&own.url).await;
    let channel = connection.create_channel().await.unwrap();
    assert_eq!(drain(&channel, "kept").await, (0..200).map(|number| number.to_string()).collect::<Vec<_>>());
}
