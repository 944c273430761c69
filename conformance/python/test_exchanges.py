"""Exchanges: types, bindings, predeclared ones, equivalence, deletion, and the close codes clients match on."""
import pytest

from tools import bodies, closes_channel, closes_connection, depth, send

PREDECLARED = {"amq.direct": "direct", "amq.fanout": "fanout", "amq.topic": "topic",
               "amq.headers": "headers", "amq.match": "headers"}


def routed(channel, exchange, queues, *messages):
    """Publishes (routing_key, headers) pairs, body = their number; returns what each queue got."""
    for number, (key, headers) in enumerate(messages):
        send(channel, key, number, exchange=exchange, headers=headers)
    return [bodies(channel, name) for name in queues]


def test_direct_routes_by_the_whole_key(ch, queue, exchange):
    name, one, two = exchange(ch, "direct"), queue(ch), queue(ch)
    ch.queue_bind(one, name, "a")
    ch.queue_bind(two, name, "b")
    ch.queue_bind(two, name, "a")
    assert routed(ch, name, [one, two], ("a", None), ("b", None), ("a.b", None)) == [["0"], ["0", "1"]]


def test_fanout_ignores_the_key(ch, queue, exchange):
    name, one, two = exchange(ch, "fanout"), queue(ch), queue(ch)
    ch.queue_bind(one, name, "x")
    ch.queue_bind(two, name)
    assert routed(ch, name, [one, two], ("y", None), ("", None)) == [["0", "1"], ["0", "1"]]


def test_a_queue_bound_twice_gets_one_copy(ch, queue, exchange):
    name, one = exchange(ch, "topic"), queue(ch)
    ch.queue_bind(one, name, "a.*")
    ch.queue_bind(one, name, "#")
    ch.queue_bind(one, name, "#")
    assert routed(ch, name, [one], ("a.b", None)) == [["0"]]


@pytest.mark.parametrize("pattern,matching,others", [
    ("*", ["a"], ["", "a.b", "a.b.c"]),
    ("#", ["", "a", "a.b", "a.b.c"], []),
    ("a.*", ["a.b", "a."], ["a", "a.b.c", "b.a"]),
    ("a.#", ["a", "a.b", "a.b.c"], ["b", "ab"]),
    ("#.z", ["z", "a.z", "a.b.z"], ["z.a", "az"]),
    ("a.#.z", ["a.z", "a.b.z", "a.b.c.z"], ["a", "z", "a.b"]),
    ("*.stock.#", ["us.stock", "us.stock.a.b"], ["stock", "stock.a", "us.x.stock"]),
    ("#.#", ["", "a", "a.b"], []),
    ("*.*", ["a.b", "."], ["a", "a.b.c"]),
    ("#.b.#", ["b", "a.b", "b.c", "a.a.b.c"], ["a", "a.c"]),
    ("a.b", ["a.b"], ["a", "a.b.c", "a.c", ""]),
])
def test_topic_star_is_one_word_and_hash_any_number(ch, queue, exchange, pattern, matching, others):
    name, one = exchange(ch, "topic"), queue(ch)
    ch.queue_bind(one, name, pattern)
    for key in matching + others:
        send(ch, key, key, exchange=name)
    assert bodies(ch, one) == matching


@pytest.mark.parametrize("arguments,matching,others", [
    ({"x-match": "all", "a": "1", "b": 2}, [{"a": "1", "b": 2}, {"a": "1", "b": 2, "c": 3}],
     [{"a": "1"}, {"a": "1", "b": 3}, {"a": "1", "b": "2"}, {}, None]),
    ({"a": "1", "b": 2}, [{"a": "1", "b": 2}], [{"a": "1"}]),  # all is the default
    ({"x-match": "any", "a": "1", "b": 2}, [{"a": "1"}, {"b": 2, "a": "no"}], [{"a": "2"}, {"c": 1}, {}]),
    ({"x-match": "all", "a": None}, [{"a": "anything"}, {"a": 5}], [{"b": 1}]),  # void: present is enough
    ({"x-match": "all"}, [{}, {"z": 1}, None], []),
    ({"x-match": "any"}, [], [{}, {"z": 1}]),
    ({"x-match": "all", "a": "1", "x-b": "ignored"}, [{"a": "1"}, {"a": "1", "x-b": "other"}], [{"x-b": "ignored"}]),
    ({"x-match": "all-with-x", "a": "1", "x-b": "2"}, [{"a": "1", "x-b": "2"}], [{"a": "1"}, {"a": "1", "x-b": "3"}]),
    ({"x-match": "any-with-x", "a": "1", "x-b": "2"}, [{"x-b": "2"}, {"a": "1"}], [{"x-b": "3"}]),
])
def test_headers_matching(ch, queue, exchange, arguments, matching, others):
    name, one = exchange(ch, "headers"), queue(ch)
    ch.queue_bind(one, name, arguments=arguments)
    got = routed(ch, name, [one], *[("ignored", headers) for headers in matching + others])[0]
    assert got == [str(number) for number in range(len(matching))]


def test_invalid_x_match_closes_with_406(ch, queue, exchange):
    name, one = exchange(ch, "headers"), queue(ch)
    with closes_channel(406):
        ch.queue_bind(one, name, arguments={"x-match": "some"})


def test_exchange_to_exchange_binding_routes_on(ch, queue, exchange):
    source, middle, end, one = exchange(ch, "topic"), exchange(ch, "fanout"), exchange(ch, "direct"), queue(ch)
    ch.exchange_bind(middle, source, "a.#")
    ch.exchange_bind(end, middle)
    ch.queue_bind(one, end, "a.b")
    assert routed(ch, source, [one], ("a.b", None), ("a.c", None), ("b", None)) == [["0"]]
    ch.exchange_unbind(middle, source, "a.#")
    assert routed(ch, source, [one], ("a.b", None)) == [[]]


def test_a_circle_of_exchanges_delivers_once(ch, queue, exchange):
    one, two, name = exchange(ch, "fanout"), exchange(ch, "fanout"), queue(ch)
    ch.exchange_bind(one, two)
    ch.exchange_bind(two, one)
    ch.queue_bind(name, one)
    ch.queue_bind(name, two)
    assert routed(ch, one, [name], ("", None)) == [["0"]]


def test_alternate_exchange_gets_what_no_binding_takes(ch, queue, exchange):
    fallback, one, two = exchange(ch, "fanout"), queue(ch), queue(ch)
    main = exchange(ch, "direct", {"alternate-exchange": fallback})
    ch.queue_bind(one, main, "known")
    ch.queue_bind(two, fallback)
    ch.basic_publish(main, "unknown", b"0", mandatory=True)  # routed by the alternate: no return
    ch.basic_publish(main, "known", b"1", mandatory=True)
    assert (bodies(ch, one), bodies(ch, two)) == (["1"], ["0"])


def test_alternate_exchanges_form_a_chain(ch, queue, exchange):
    last, name = exchange(ch, "fanout"), queue(ch)
    middle = exchange(ch, "direct", {"alternate-exchange": last})
    first = exchange(ch, "direct", {"alternate-exchange": middle})
    ch.queue_bind(name, last)
    assert routed(ch, first, [name], ("k", None)) == [["0"]]


def test_default_exchange_routes_to_the_queue_of_that_name(ch, queue):
    name = queue(ch)
    assert routed(ch, "", [name], (name, None)) == [["0"]]


@pytest.mark.parametrize("name,kind", PREDECLARED.items())
def test_amq_exchanges_are_predeclared(ch, queue, name, kind):
    ch.exchange_declare(name, kind, durable=True)  # equivalent: accepted
    ch.exchange_declare(name, passive=True)
    one = queue(ch)
    ch.queue_bind(one, name, one, arguments={"x-match": "all", "only": one})
    send(ch, one, "0", exchange=name, headers={"only": one})
    assert bodies(ch, one) == ["0"]


def test_declaring_an_amq_name_closes_with_403(plain):
    with closes_channel(403, "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'"):
        plain.exchange_declare("amq.mine", "direct")


@pytest.mark.parametrize("name", PREDECLARED)
def test_deleting_a_predeclared_exchange_closes_with_403(plain, name):
    with closes_channel(403, f"ACCESS_REFUSED - deletion of system exchange '{name}' in vhost '/' not allowed"):
        plain.exchange_delete(name)


DEFAULT_EXCHANGE = "ACCESS_REFUSED - operation not permitted on the default exchange"


def test_the_default_exchange_cannot_be_declared_deleted_or_bound(connection, queue, ch):
    name = queue(ch)
    for forbidden in (lambda c: c.queue_bind(name, "", "k"), lambda c: c.queue_unbind(name, "", name),
                      lambda c: c.exchange_delete(""), lambda c: c.exchange_bind("amq.fanout", "", "k"),
                      lambda c: c.exchange_declare("", "direct", durable=True)):
        with closes_channel(403, DEFAULT_EXCHANGE):
            forbidden(connection.channel())


def test_publish_to_an_unknown_exchange_closes_with_404(ch):
    with closes_channel(404, "NOT_FOUND - no exchange 'nope' in vhost '/'"):
        ch.basic_publish("nope", "k", b"")


def test_passive_declare_of_an_unknown_exchange_closes_with_404(ch):
    with closes_channel(404, "NOT_FOUND - no exchange 'nope' in vhost '/'"):
        ch.exchange_declare("nope", passive=True)


def test_binding_to_unknown_things_closes_with_404(connection, ch, queue, exchange):
    name, one = exchange(ch), queue(ch)
    with closes_channel(404, "NOT_FOUND - no exchange 'nope' in vhost '/'"):
        connection.channel().queue_bind(one, "nope", "k")
    with closes_channel(404, "NOT_FOUND - no queue 'nope' in vhost '/'"):
        connection.channel().queue_bind("nope", name, "k")
    with closes_channel(404, "NOT_FOUND - no exchange 'nope' in vhost '/'"):
        connection.channel().exchange_bind("nope", name, "k")


def test_unbinding_what_is_not_bound_is_accepted(ch, queue, exchange):
    name, one = exchange(ch), queue(ch)
    ch.queue_unbind(one, name, "never bound")
    ch.exchange_unbind(name, "amq.fanout", "never bound")


def test_unknown_exchange_type_closes_the_connection_with_503(plain):
    with closes_connection(503, "COMMAND_INVALID - unknown exchange type 'round-robin'"):
        plain.exchange_declare("conf.e.type", "round-robin")


@pytest.mark.parametrize("change,text", [
    ({"kind": "fanout"}, "inequivalent arg 'type' for exchange '{}' in vhost '/': received 'fanout' but current is 'direct'"),
    ({"durable": False}, "inequivalent arg 'durable' for exchange '{}' in vhost '/': received 'false' but current is 'true'"),
    ({"auto_delete": True},
     "inequivalent arg 'auto_delete' for exchange '{}' in vhost '/': received 'true' but current is 'false'"),
    ({"internal": True}, "inequivalent arg 'internal' for exchange '{}' in vhost '/': received 'true' but current is 'false'"),
])
def test_declaring_an_exchange_differently_closes_with_406(ch, exchange, change, text):
    name = exchange(ch, "direct")
    exchange(ch, "direct", name=name)  # the same again is accepted
    with closes_channel(406, "PRECONDITION_FAILED - " + text.format(name)):
        exchange(ch, change.pop("kind", "direct"), name=name, **change)


def test_a_different_alternate_exchange_closes_with_406(ch, exchange):
    name = exchange(ch, "direct", {"alternate-exchange": "amq.fanout"})
    with closes_channel(406):
        exchange(ch, "direct", {"alternate-exchange": "amq.direct"}, name=name)


def test_passive_declare_ignores_type_and_flags(ch, exchange):
    name = exchange(ch, "direct")
    ch.exchange_declare(name, "fanout", passive=True, durable=False)


def test_delete_if_unused_closes_with_406_while_bound(ch, connection, queue, exchange):
    name, one = exchange(ch), queue(ch)
    ch.queue_bind(one, name, "k")
    with closes_channel(406, f"PRECONDITION_FAILED - exchange '{name}' in vhost '/' in use"):
        connection.channel().exchange_delete(name, if_unused=True)
    ch.queue_unbind(one, name, "k")
    ch.exchange_delete(name, if_unused=True)


def test_deleting_an_exchange_removes_its_bindings(ch, queue, exchange):
    name, one = exchange(ch, "fanout"), queue(ch)
    ch.queue_bind(one, name)
    ch.exchange_delete(name)
    exchange(ch, "fanout", name=name)
    send(ch, "", "lost", exchange=name)
    assert depth(ch, one) == 0


def test_deleting_an_unknown_exchange_is_accepted(ch):
    ch.exchange_delete("conf.e.never")


def test_an_auto_delete_exchange_goes_with_its_last_binding(ch, queue, exchange):
    name, one = exchange(ch, auto_delete=True), queue(ch)
    ch.queue_bind(one, name, "a")
    ch.queue_bind(one, name, "b")
    ch.queue_unbind(one, name, "a")
    ch.exchange_declare(name, passive=True)
    ch.queue_unbind(one, name, "b")
    with closes_channel(404, f"NOT_FOUND - no exchange '{name}' in vhost '/'"):
        ch.exchange_declare(name, passive=True)


def test_an_auto_delete_exchange_goes_with_its_last_queue(ch, queue, exchange):
    name, one = exchange(ch, auto_delete=True), queue(ch)
    ch.queue_bind(one, name, "a")
    ch.queue_delete(one)
    with closes_channel(404, f"NOT_FOUND - no exchange '{name}' in vhost '/'"):
        ch.exchange_declare(name, passive=True)


def test_publishing_to_an_internal_exchange_closes_with_403(ch, exchange):
    name = exchange(ch, "fanout", internal=True)
    with closes_channel(403, f"ACCESS_REFUSED - cannot publish to internal exchange '{name}' in vhost '/'"):
        ch.basic_publish(name, "", b"")


def test_an_internal_exchange_is_reached_through_a_binding(ch, queue, exchange):
    inner, outer, one = exchange(ch, "fanout", internal=True), exchange(ch, "fanout"), queue(ch)
    ch.exchange_bind(inner, outer)
    ch.queue_bind(one, inner)
    assert routed(ch, outer, [one], ("", None)) == [["0"]]
