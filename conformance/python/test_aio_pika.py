"""aio-pika: iterators, confirms, its RPC pattern, and robust connections that survive a broker restart."""
import asyncio

import aio_pika
import pytest
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.patterns import RPC, Master

from tools import baton_only

pytestmark = pytest.mark.asyncio


@pytest.fixture
async def robust(server):
    connection = await aio_pika.connect_robust(server.url())
    yield connection
    await connection.close()


@pytest.fixture
async def channel(robust):
    return await robust.channel()


async def temporary(channel, **kw):
    return await channel.declare_queue("", exclusive=True, **kw)


async def test_publish_is_confirmed_and_the_iterator_yields_in_order(channel):
    queue = await temporary(channel)
    for number in range(100):
        await channel.default_exchange.publish(Message(str(number).encode()), queue.name)
    seen = []
    async with queue.iterator() as messages:
        async for message in messages:
            async with message.process():
                seen.append(int(message.body))
            if len(seen) == 100:
                break
    assert seen == list(range(100))


async def test_many_publishes_in_flight_are_all_confirmed(channel):
    queue = await temporary(channel)
    await asyncio.gather(*(channel.default_exchange.publish(Message(b"x"), queue.name) for _ in range(500)))
    assert (await queue.declare()).message_count == 500


async def test_an_unroutable_publish_raises(robust):
    channel = await robust.channel(on_return_raises=True)
    with pytest.raises(aio_pika.exceptions.DeliveryError):
        await channel.default_exchange.publish(Message(b"x"), "conf.nowhere", mandatory=True)


async def test_get_fails_on_an_empty_queue_or_returns_none(channel):
    queue = await temporary(channel)
    assert await queue.get(fail=False) is None
    with pytest.raises(aio_pika.exceptions.QueueEmpty):
        await queue.get()


async def test_process_requeues_when_the_handler_raises(channel):
    queue = await temporary(channel)
    await channel.default_exchange.publish(Message(b"x"), queue.name)
    message = await queue.get()
    with pytest.raises(RuntimeError):
        async with message.process(requeue=True):
            raise RuntimeError("handler")
    again = await queue.get(timeout=5)
    assert (again.body, again.redelivered) == (b"x", True)
    await again.ack()


async def test_prefetch_shares_work_between_two_consumers(robust):
    async with robust.channel() as one, robust.channel() as two, robust.channel() as sender:
        queue = await temporary(one)
        counts, done = [0, 0], asyncio.Event()

        def handler(index):
            async def on_message(message):
                counts[index] += 1
                await asyncio.sleep(0.002)
                await message.ack()
                if sum(counts) == 40:
                    done.set()
            return on_message

        for index, channel in enumerate((one, two)):
            await channel.set_qos(prefetch_count=1)
            await (await channel.get_queue(queue.name)).consume(handler(index))
        for _ in range(40):
            await sender.default_exchange.publish(Message(b"x"), queue.name)
        await asyncio.wait_for(done.wait(), 10)
        assert min(counts) >= 10, counts


async def test_headers_exchange_and_table_headers(channel):
    exchange = await channel.declare_exchange("conf.aio.headers", ExchangeType.HEADERS, auto_delete=True)
    queue = await temporary(channel)
    await queue.bind(exchange, arguments={"x-match": "all", "kind": "a"})
    await exchange.publish(Message(b"x", headers={"kind": "a", "n": 5, "nested": {"list": [1, 2]}}), "")
    message = await queue.get(timeout=5)
    assert dict(message.headers) == {"kind": "a", "n": 5, "nested": {"list": [1, 2]}}
    await message.ack()


async def test_the_rpc_pattern_calls_and_raises(robust):
    async with robust.channel() as channel:
        rpc = await RPC.create(channel)

        async def multiply(*, x, y):
            return x * y

        async def fail():
            raise ValueError("remote")

        await rpc.register("conf.aio.multiply", multiply, auto_delete=True)
        await rpc.register("conf.aio.fail", fail, auto_delete=True)
        assert await asyncio.wait_for(asyncio.gather(*(rpc.call("conf.aio.multiply", kwargs={"x": x, "y": 3}) for x in range(20))), 10) == [
            x * 3 for x in range(20)]
        with pytest.raises(ValueError):
            await asyncio.wait_for(rpc.call("conf.aio.fail"), 10)
        await rpc.close()


async def test_the_master_worker_pattern(robust):
    async with robust.channel() as channel:
        master, seen, done = Master(channel), [], asyncio.Event()

        async def work(*, task_id):
            seen.append(task_id)
            if len(seen) == 10:
                done.set()

        worker = await master.create_worker("conf.aio.work", work, auto_delete=True)
        for task_id in range(10):
            await master.proxy.conf.aio.work(task_id=task_id)
        await asyncio.wait_for(done.wait(), 10)
        await worker.close()
        assert seen == list(range(10))


async def test_a_transaction_of_aio_pika(robust):
    async with robust.channel(publisher_confirms=False) as channel:
        queue = await temporary(channel)
        async with channel.transaction():
            await channel.default_exchange.publish(Message(b"x"), queue.name)
            assert (await queue.declare()).message_count == 0
        assert (await queue.get(timeout=5)).body == b"x"


async def test_a_robust_consumer_goes_on_after_a_restart(own_server):
    """The connection, its queue, its consumer and its publisher all come back by themselves."""
    connection = await aio_pika.connect_robust(own_server.url(), reconnect_interval=0.2)
    try:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=10)
        queue = await channel.declare_queue("conf.aio.robust", durable=True)
        seen, event = [], asyncio.Event()

        async def on_message(message):
            await message.ack()
            seen.append(message.body.decode())
            event.set()

        await queue.consume(on_message)
        for body in ("before", "after"):
            if body == "after":
                await asyncio.to_thread(own_server.kill_and_restart)
            for _ in range(100):  # while the connection is being restored a publish may fail
                try:
                    await asyncio.wait_for(channel.default_exchange.publish(
                        Message(body.encode(), delivery_mode=DeliveryMode.PERSISTENT), queue.name), 5)
                    break
                except (aio_pika.exceptions.AMQPError, asyncio.TimeoutError, ConnectionError, RuntimeError):
                    await asyncio.sleep(0.1)
            while body not in seen:
                event.clear()
                await asyncio.wait_for(event.wait(), 15)
        assert [seen[0], seen[-1]] == ["before", "after"]
        await queue.delete(if_unused=False, if_empty=False)
    finally:
        await connection.close()


@baton_only("the delayed message plugin's header")
async def test_a_delayed_message(channel):
    queue = await temporary(channel)
    await channel.default_exchange.publish(Message(b"x", headers={"x-delay": 300}), queue.name)
    assert await queue.get(fail=False) is None
    async with queue.iterator(timeout=5) as messages:
        async for message in messages:
            await message.ack()
            assert message.body == b"x"
            break
