//! Producers are kept back while something is short, each in the way it can bear, and nobody else is.

use super::*;

fn unconfirmed(token: u64, key: &str, body: usize) -> Request {
    match publish(token, key, body) {
        Request::Publish(mut publish) => {
            publish.confirm = false;
            Request::Publish(publish)
        }
        other => other,
    }
}

const MEMORY: Alarms = Alarms { memory: true, disk: false };
const DISK: Alarms = Alarms { memory: false, disk: true };

#[test]
fn an_alarm_keeps_producers_back_and_nobody_else() {
    let mut driver = start(&MemoryStore::default(), Options::default());
    let (producer, consumer) = (driver.connect(), driver.connect());
    submit(&producer, publish(1, "q", 10));
    submit(&producer, publish(2, "q", 10));
    submit(&producer, publish(3, "q", 10));
    driver.rest(T0.after_ms(200));
    assert_eq!(told(&producer), ["p1", "p2", "p3"]);
    driver.set_alarms(MEMORY);
    driver.rest(T0.after_ms(210));
    assert_eq!(told(&producer), ["b+"]);
    assert_eq!((driver.stats().memory_alarm, driver.stats().blocks), (1, 1));
    assert_eq!(driver.health(), Health::Running, "consumers shall come");
    // The same connection sends and consumes.
    submit(&producer, subscribe(2));
    submit(&producer, publish(4, "q", 10));
    driver.rest(T0.after_ms(220));
    let events = events(&producer);
    let refused = events.iter().any(|event| {
        matches!(event, Event::Published { token: Token(4), outcome: PublishOutcome::Refused(refusal) }
            if refusal.code == RefusalCode::MemoryFull && refusal.text.contains("limits.memory_bytes_max"))
    });
    assert!(refused, "{events:?}");
    let leased: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Delivered(delivery) => Some(delivery.at),
            _ => None,
        })
        .collect();
    assert_eq!(leased.len(), 2);
    submit(&producer, settle(Some(5), leased[0]));
    driver.rest(T0.after_ms(230));
    assert_eq!(told(&producer), ["s5", "d3"]);
    // Another reason does not say it again; a newcomer hears it.
    driver.set_alarms(DISK);
    let late = driver.connect();
    submit(&late, publish(6, "q", 10));
    driver.rest(T0.after_ms(240));
    assert!(told(&producer).is_empty());
    assert_eq!(told(&late), ["b+", "x6 DiskFull"]);
    assert_eq!((driver.stats().memory_alarm, driver.stats().disk_alarm, driver.stats().blocks), (0, 1, 1));
    driver.set_alarms(Alarms::default());
    driver.rest(T0.after_ms(250));
    assert_eq!(
        (told(&producer), told(&late), told(&consumer)),
        (vec!["b-".to_owned()], vec!["b-".to_owned()], vec!["b+".to_owned(), "b-".to_owned()])
    );
    submit(&late, publish(7, "q", 10));
    driver.rest(T0.after_ms(260));
    assert_eq!(told(&late), ["p7"]);
}

#[test]
fn what_asks_for_no_answer_waits_for_the_end_of_an_alarm_in_order() {
    let mut driver = start(&MemoryStore::default(), Options::default());
    let (producer, gone) = (driver.connect(), driver.connect());
    driver.set_alarms(MEMORY);
    driver.rest(T0.after_ms(200));
    for token in 1..=3 {
        submit(&producer, unconfirmed(token, "q", 10));
    }
    submit(&gone, Request::Open { token: Token(50), namespace: "/".into(), label: String::new() });
    submit(&gone, unconfirmed(4, "q", 10));
    driver.rest(T0.after_ms(210));
    drop(gone);
    driver.rest(T0.after_ms(220));
    assert_eq!(told(&producer), ["b+"]);
    assert_eq!((driver.stats().held, driver.stats().published, driver.stats().refused), (4, 0, 0));
    driver.set_alarms(Alarms::default());
    submit(&producer, publish(5, "q", 10));
    submit(&producer, subscribe(10));
    driver.rest(T0.after_ms(230));
    assert_eq!(
        (driver.stats().held, driver.stats().published),
        (0, 5),
        "also that of the connection that is gone"
    );
    let told = told(&producer);
    assert_eq!(told.iter().filter(|what| what.starts_with('d')).count(), 5, "{told:?}");
    assert!(told.contains(&"p5".to_owned()) && told.contains(&"b-".to_owned()), "{told:?}");
}

#[test]
fn a_connection_that_waits_out_alarms_is_answered_when_they_are_over() {
    let mut driver = start(&MemoryStore::default(), Options::default());
    let (patient, other) = (driver.connect(), driver.connect());
    patient.wait_out_alarms();
    driver.set_alarms(MEMORY);
    let group = |token| Request::Group {
        token: Token(token),
        requests: vec![publish(0, "q", 10), publish(0, "q", 10)],
    };
    for (port, first) in [(&patient, 1), (&other, 11)] {
        submit(port, publish(first, "q", 10));
        submit(port, group(first + 1));
    }
    driver.rest(T0.after_ms(200));
    assert_eq!(
        (told(&patient), told(&other)),
        (
            vec!["b+".to_owned()],
            vec!["b+".to_owned(), "x11 MemoryFull".to_owned(), "r12 MemoryFull".to_owned()]
        )
    );
    assert_eq!(driver.stats().held, 2);
    let body = crate::alarms::HELD_BYTES_PER_CONNECTION_MAX;
    submit(&patient, publish(3, "q", body));
    driver.rest(T0.after_ms(210));
    assert_eq!(told(&patient), ["x3 MemoryFull"], "there is a limit");
    driver.set_alarms(Alarms::default());
    driver.rest(T0.after_ms(220));
    let told = told(&patient);
    assert!(["b-", "p1", "r2"].iter().all(|what| told.contains(&(*what).to_owned())), "{told:?}");
    assert_eq!((driver.stats().held, driver.stats().published), (0, 1));
}

#[test]
fn what_waits_is_limited_and_an_orderly_end_does_not_lose_it() {
    let store = MemoryStore::default();
    let mut driver = start(&store, Options::default());
    let (greedy, modest) = (driver.connect(), driver.connect());
    driver.set_alarms(DISK);
    driver.rest(T0.after_ms(200));
    let body = crate::alarms::HELD_BYTES_PER_CONNECTION_MAX / 2;
    submit(&greedy, unconfirmed(1, "q", body));
    submit(&greedy, unconfirmed(2, "q", body));
    submit(&modest, unconfirmed(3, "q", body));
    driver.rest(T0.after_ms(210));
    assert_eq!(told(&greedy), ["b+", "x2 DiskFull"]);
    assert_eq!(told(&modest), ["b+"]);
    driver.shutdown(T0.after_ms(220)).unwrap();
    let driver = start(&store, Options::default());
    assert_eq!(driver.stats().messages, 2);
}
