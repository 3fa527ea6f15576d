"""Clients that are slow, silent or hostile over TCP cost themselves: others are answered as ever, and memory stays."""

import socket
import ssl
import time

import h2.config
import h2.connection
import h2.errors
import pytest
from conftest import Server, problem, register
from clients import ConnectionError

# What other clients wait at most while somebody misbehaves, in seconds; alone it is a few milliseconds.
PROMPTLY = 2.0
# What the server may need for a hundred misbehaving connections, in bytes.
MEMORY = 64 << 20


@pytest.fixture
def own(tmp_path):
    server = Server(tmp_path)
    yield server
    server.stop()


def resident(server: Server) -> int:
    for line in open(f"/proc/{server.process.pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no VmRSS")


def tcp(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def tls(server: Server, *protocols: str) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=server.certificate)
    context.set_alpn_protocols(list(protocols))
    return context.wrap_socket(tcp(server), server_hostname="localhost")


class Watch:
    """Somebody who behaves, meanwhile."""

    def __init__(self, server: Server):
        self.server, self.ann = server, register(server, "h2")
        self.before, self.longest = resident(server), 0.0

    def ask(self):
        start = time.monotonic()
        assert self.ann.get("/api/v1/users/me").status_code == 200
        self.longest = max(self.longest, time.monotonic() - start)

    def check(self):
        self.ask()
        assert self.longest < PROMPTLY
        assert resident(self.server) - self.before < MEMORY


def is_closed_within(connection: socket.socket, seconds: float) -> bool:
    """Whether the server ends the connection."""
    connection.settimeout(seconds)
    try:
        while connection.recv(1 << 16):
            pass
        return True
    except TimeoutError:
        return False
    except OSError:
        return True


def test_handshakes_and_heads_that_do_not_come_end(own):
    watch = Watch(own)
    silent = [tcp(own) for _ in range(100)]
    slow = [tls(own, "http/1.1") for _ in range(100)]
    start = time.monotonic()
    alive = list(slow)
    for byte in b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 60:
        for connection in list(alive):
            try:
                connection.send(bytes([byte]))
            except OSError:
                alive.remove(connection)
        watch.ask()
        if not alive or time.monotonic() - start > 20:
            break
        time.sleep(1)
    assert not alive, "a head that drips is cut off"
    assert all(is_closed_within(connection, 15) for connection in silent)
    watch.check()


def test_bodies_that_drip_hold_up_nobody_else(own):
    watch = Watch(own)
    dripping = []

    def drip_one_more():
        connection = tls(own, "http/1.1")
        connection.send(
            f"PUT /api/v1/files/named/{len(dripping)}.bin HTTP/1.1\r\nhost: localhost\r\n"
            f"authorization: Bearer {watch.ann.token}\r\ncontent-length: 1048576\r\n\r\nx".encode()
        )
        dripping.append(connection)

    film = {"data": b"x" * (3 << 20)}
    for _ in range(31):
        drip_one_more()
    time.sleep(0.5)
    assert watch.ann.put("/api/v1/files/named/film.mkv", **film).status_code == 201
    drip_one_more()
    time.sleep(0.5)
    refused = watch.ann.put("/api/v1/files/named/film.mkv", **film)
    assert int(refused.headers["retry-after"]) > 0
    problem(refused, 503, "unavailable")

    bob = register(own, "h1", "Bob")
    for _ in range(3):
        for connection in dripping:
            connection.send(b"x")
        start = time.monotonic()
        assert bob.put("/api/v1/files/named/film.mkv", **film).status_code == 201
        watch.longest = max(watch.longest, time.monotonic() - start)
        watch.ask()
    watch.check()
    for connection in dripping:
        connection.close()


def test_heads_of_more_than_16_kib_are_refused(own, version):
    ann = register(own, version)
    for length, status in [(15_000, 200), (17_000, 431)]:
        assert ann.get("/api/v1/users/me", headers={"x-long": "x" * length}).status_code == status
    try:
        assert ann.get("/api/v1/users/me", headers={"x-long": "x" * (64 << 10)}).status_code == 431
    except ConnectionError:
        # Over TCP the connection may be closed before the client has sent all of it.
        assert version != "h3"
    assert register(own, version).get("/api/v1/users/me").status_code == 200


class Http2:
    """HTTP/2 by hand."""

    def __init__(self, server: Server, token: str):
        self.socket = tls(server, "h2")
        self.state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.state.initiate_connection()
        self.token = token
        self.flush()

    def flush(self):
        self.socket.sendall(self.state.data_to_send())

    def head(self, method: str, path: str, **more):
        fields = {":method": method, ":path": path, ":scheme": "https", ":authority": "localhost"}
        return [*fields.items(), ("authorization", f"Bearer {self.token}"), *more.items()]

    def ends_within(self, seconds: float) -> bool:
        return is_closed_within(self.socket, seconds)


def test_a_flood_of_resets_ends_the_connection(own):
    watch = Watch(own)
    flood = Http2(own, watch.ann.token)
    sent = 0
    try:
        for sent in range(20_000):
            stream = flood.state.get_next_available_stream_id()
            flood.state.send_headers(stream, flood.head("GET", "/api/v1/chats"), end_stream=True)
            flood.state.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
            if sent % 50 == 49:
                flood.flush()
            if sent % 1_000 == 999:
                watch.ask()
    except OSError:
        pass
    assert sent < 19_999, "the server put up with all of them"
    assert flood.ends_within(5)
    watch.check()


def test_streams_that_say_nothing_more_take_no_room_from_others(own):
    watch = Watch(own)
    connections = [Http2(own, watch.ann.token) for _ in range(20)]
    for connection in connections:
        for _ in range(100):
            stream = connection.state.get_next_available_stream_id()
            head = connection.head("POST", "/api/v1/chats", **{"content-type": "application/json"})
            connection.state.send_headers(stream, head, end_stream=False)
        connection.flush()
    for _ in range(5):
        watch.ask()
    watch.check()


def test_answers_that_nobody_reads_are_bounded(own):
    watch = Watch(own)
    file = watch.ann.put("/api/v1/files/named/film.mkv", data=b"x" * (32 << 20)).json()
    for _ in range(20):
        connection = tls(own, "http/1.1")
        connection.send(
            f"GET /api/v1/files/{file['id']}/content HTTP/1.1\r\nhost: localhost\r\n"
            f"authorization: Bearer {watch.ann.token}\r\n\r\n".encode()
        )
        watch.ask()
    time.sleep(1)
    watch.check()


def test_one_user_has_so_many_downloads_and_not_one_more(own):
    watch = Watch(own)
    path = f"/api/v1/files/{watch.ann.put('/api/v1/files/named/film.mkv', data=b'x' * (32 << 20)).json()['id']}/content"
    unread = [Http2(own, watch.ann.token) for _ in range(4)]
    for connection in unread:
        for _ in range(16):
            stream = connection.state.get_next_available_stream_id()
            connection.state.send_headers(stream, connection.head("GET", path), end_stream=True)
        connection.flush()
    time.sleep(1)
    busy = problem(watch.ann.get(path), 503, "unavailable")
    assert busy["retry_after_ms"] == 10_000
    bob = register(own, "h2", "Bob")
    mine = bob.put("/api/v1/files/named/short", data=b"short").json()["id"]
    assert bob.get(f"/api/v1/files/{mine}/content").content == b"short"
    unread[0].socket.close()
    assert len(watch.ann.get(path).content) == 32 << 20
