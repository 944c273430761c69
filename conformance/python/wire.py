"""A socket that speaks AMQP 0-9-1 frame by frame, for what no well-behaved client does. pika's codec, none of its state."""
import socket
import struct

from pika import frame, spec

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
CAPABILITIES = {"authentication_failure_close": True, "consumer_cancel_notify": True, "basic.nack": True,
                "publisher_confirms": True, "connection.blocked": True}


class Closed(Exception):
    """The peer closed the socket."""


class Wire:
    def __init__(self, server, seconds=10.0):
        self.sock = socket.create_connection((server.host, server.port), timeout=seconds)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.drop()

    def drop(self):
        """Closes the socket without a word, as a dead process does."""
        self.sock.close()

    def raw(self, data):
        self.sock.sendall(data)

    def method(self, channel, method):
        self.raw(frame.Method(channel, method).marshal())

    def publish(self, channel, routing_key, body=b"", exchange="", properties=None, mandatory=False):
        self.raw(frame.Method(channel, spec.Basic.Publish(exchange=exchange, routing_key=routing_key,
                                                          mandatory=mandatory)).marshal()
                 + frame.Header(channel, len(body), properties or spec.BasicProperties()).marshal()
                 + (frame.Body(channel, body).marshal() if body else b""))

    def read_exactly(self, count):
        """`count` bytes, or Closed."""
        while len(self.buffer) < count:
            try:
                chunk = self.sock.recv(65536)
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                raise Closed(self.buffer)
            self.buffer += chunk
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def raw_frame(self):
        """The next frame undecoded: (type, channel, payload)."""
        kind, channel, size = struct.unpack(">BHI", self.read_exactly(7))
        payload = self.read_exactly(size)
        assert self.read_exactly(1) == b"\xce"
        return kind, channel, payload

    def frame(self, heartbeats=False):
        """The next frame, decoded; heartbeats are passed over unless asked for."""
        while True:
            kind, channel, payload = self.raw_frame()
            _, decoded = frame.decode_frame(struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce")
            if heartbeats or not isinstance(decoded, frame.Heartbeat):
                return decoded

    def expect(self, kind):
        """The next frame must be this method; returns it."""
        received = self.frame()
        method = getattr(received, "method", received)
        assert isinstance(method, kind), f"expected {kind.NAME}, got {received}"
        return method

    def start(self):
        self.raw(PROTOCOL_HEADER)
        return self.expect(spec.Connection.Start)

    def start_ok(self, mechanism="PLAIN", response=b"\0guest\0guest", capabilities=None):
        self.method(0, spec.Connection.StartOk(
            client_properties={"capabilities": CAPABILITIES if capabilities is None else capabilities},
            mechanism=mechanism, response=response, locale="en_US"))

    def open(self, vhost="/", channel_max=None, frame_max=None, heartbeat=0, capabilities=None):
        """The whole way to an open connection; returns the server's connection.tune."""
        self.start()
        self.start_ok(capabilities=capabilities)
        tune = self.expect(spec.Connection.Tune)
        self.method(0, spec.Connection.TuneOk(tune.channel_max if channel_max is None else channel_max,
                                              tune.frame_max if frame_max is None else frame_max, heartbeat))
        self.method(0, spec.Connection.Open(virtual_host=vhost))
        self.expect(spec.Connection.OpenOk)
        return tune

    def open_channel(self, channel=1):
        self.method(channel, spec.Channel.Open())
        self.expect(spec.Channel.OpenOk)
        return channel

    def expect_connection_close(self):
        """The broker must close the connection and then the socket. Returns (code, text), None if it only hung up."""
        try:
            while True:
                method = getattr(self.frame(), "method", None)
                if isinstance(method, spec.Connection.Close):
                    self.method(0, spec.Connection.CloseOk())
                    self.expect_hang_up()
                    return method.reply_code, method.reply_text
        except Closed:
            return None

    def expect_hang_up(self):
        try:
            while True:
                self.frame()
        except Closed:
            return
