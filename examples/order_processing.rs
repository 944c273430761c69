//! Order processing: the events of one customer are handled in order and once, also when a worker dies half-way.
//!
//! Order: a customer's events always go to the same queue, and `x-single-active-consumer` lets one worker at a time
//! read it; the others stand by. Once: an event that was handled but not acknowledged comes again, so the worker
//! remembers message ids together with its results (in a real system: in the same database transaction).
//!
//! Run it: `cargo run -p baton-conformance --example order_processing`
#![allow(clippy::print_stdout)] // it shows what it does

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures_lite::StreamExt;
use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Error};

/// Customers with odd and with even numbers: two readers work in parallel.
const QUEUES: [&str; 2] = ["orders.odd", "orders.even"];
const STEPS: [&str; 3] = ["created", "paid", "shipped"];

/// Stands for the application's database: what was done for whom, and which events were seen.
#[derive(Default)]
struct Database {
    seen: HashSet<String>,
    done: BTreeMap<String, Vec<String>>,
}

async fn connect() -> Result<Connection, Error> {
    let url =
        std::env::var("BATON_AMQP_URL").unwrap_or_else(|_| "amqp://guest:guest@localhost:5672/%2f".into());
    Connection::connect(&url, ConnectionProperties::default()).await
}

async fn publish(channel: &Channel, customer: u32, step: &str) -> Result<(), Error> {
    let event = format!("customer {customer}: {step}");
    let properties = BasicProperties::default().with_delivery_mode(2).with_message_id(event.as_str().into());
    let [odd, even] = QUEUES;
    let queue = if customer.is_multiple_of(2) { even } else { odd };
    let sent = channel.basic_publish(
        "".into(),
        queue.into(),
        BasicPublishOptions::default(),
        event.as_bytes(),
        properties,
    );
    sent.await?.await?; // the confirm: the event is on disk
    Ok(())
}

/// Handles events of `queue` until none comes any more, or until it "dies" with one handled and not acknowledged.
async fn work(
    name: &str,
    queue: &str,
    database: &mut Database,
    dies_after: Option<usize>,
) -> Result<(), Error> {
    let connection = connect().await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(1, BasicQosOptions::default()).await?;
    let mut events =
        channel.basic_consume(queue.into(), "".into(), Default::default(), FieldTable::default()).await?;
    let mut handled = 0;
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(700), events.next()).await {
        let event = event?;
        let text = String::from_utf8_lossy(&event.data).into_owned();
        if database.seen.insert(text.clone()) {
            let (customer, step) = text.split_once(": ").unwrap_or((&text, "?"));
            database.done.entry(customer.to_owned()).or_default().push(step.to_owned());
        } else {
            println!("{name}: seen before, skipped: {text}");
        }
        handled += 1;
        if dies_after == Some(handled) {
            println!("{name}: dies before it acknowledges: {text}");
            break;
        }
        event.ack(BasicAckOptions::default()).await?;
    }
    connection.close(200, "".into()).await // what was not acknowledged goes back to its place in the queue
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let connection = connect().await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut one_reader = FieldTable::default();
    one_reader.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    for queue in QUEUES {
        channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), one_reader.clone()).await?;
    }
    for step in STEPS {
        for customer in 1..=4 {
            publish(&channel, customer, step).await?;
        }
    }
    publish(&channel, 3, "paid").await?; // sent again, as after a lost confirm

    let mut database = Database::default();
    work("worker A", "orders.odd", &mut database, Some(3)).await?;
    for queue in QUEUES {
        work("worker B", queue, &mut database, None).await?;
    }
    for (customer, steps) in &database.done {
        println!("{customer}: {}", steps.join(", "));
    }
    connection.close(200, "".into()).await
}
