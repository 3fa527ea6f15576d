"""What happens, as it happens."""

import json
import ssl
import uuid

from conftest import problem, register
from websockets.sync.client import connect


def direct(ann, bob):
    return ann.post("/api/v1/chats", json={"kind": "direct", "email": bob.email}).json()["id"]


def events(client, path, count):
    """The first events of a stream, which is then broken off."""
    return events_with(client, path, count, {})


class Enough(Exception):
    """Breaks a stream off."""


def events_with(client, path, count, headers):
    received, seen = b"", []

    def take(piece):
        nonlocal received
        received += piece
        while b"\n\n" in received:
            event, received = received.split(b"\n\n", 1)
            fields = dict(line.split(": ", 1) for line in event.decode().splitlines() if not line.startswith(":"))
            if fields:
                seen.append((fields["id"], json.loads(fields["data"])))
        if len(seen) >= count:
            raise Enough

    try:
        answer = client.stream(path, take, headers)
        raise AssertionError((answer.status_code, received))
    except Enough:
        return seen[:count]


def test_events_are_resumed_where_they_broke(ann, bob):
    chat = direct(ann, bob)
    for n in range(3):
        ann.post(f"/api/v1/chats/{chat}/messages", json={"text": str(n)})
    seen = events(bob, "/api/v1/events?after=0", 4)
    assert [event["type"] for _, event in seen] == ["joined", "posted", "posted", "posted"]
    assert [event["message"]["text"] for _, event in seen[1:]] == ["0", "1", "2"]
    rest = events_with(bob, "/api/v1/events", 1, {"Last-Event-ID": seen[2][0]})
    assert rest == seen[3:]
    reset = events(bob, "/api/v1/events", 1)
    assert reset == [("4", {"type": "reset", "cursor": 4})]


def test_a_ticket_opens_one_stream(ann, stranger):
    ticket = ann.post("/api/v1/events/tickets").json()["ticket"]
    path = f"/api/v1/events?ticket={ticket}"
    assert events(stranger, path, 1) == [("0", {"type": "reset", "cursor": 0})]
    problem(stranger.get(path), 401, "bad-token")
    problem(stranger.get("/api/v1/events?ticket=made-up"), 401, "bad-token")


def test_a_websocket_says_and_hears(server):
    ann, bob = register(server, "h1", "Ann"), register(server, "h1", "Bob")
    chat = direct(ann, bob)
    tls = ssl.create_default_context(cafile=server.certificate)
    ticket = bob.post("/api/v1/events/tickets").json()["ticket"]
    with connect(f"wss://localhost:{server.port}/api/v1/ws?after=0&ticket={ticket}", ssl=tls) as socket:
        assert json.loads(socket.recv(10))["type"] == "joined"
        post = {"type": "post", "id": str(uuid.uuid4()), "chat": chat, "text": "from a socket"}
        heard = []
        for _ in range(2):
            socket.send(json.dumps(post))
            heard.append(json.loads(socket.recv(10)))
        heard.append(json.loads(socket.recv(10)))
        sent = [answer for answer in heard if answer["type"] == "sent"]
        posted = [event for event in heard if event["type"] == "posted"]
        assert [answer["seq"] for answer in sent] == [1, 1] and posted[0]["message"]["text"] == "from a socket"
        socket.send("nonsense")
        assert json.loads(socket.recv(10))["type"] == "refused"
        socket.send(json.dumps({"type": "read", "chat": str(uuid.uuid4()), "seq": 1}))
        assert json.loads(socket.recv(10))["code"] == "not-found"
        assert bob.post("/api/v1/auth/logout").status_code == 204
        try:
            while True:
                socket.recv(10)
        except Exception as closed:  # noqa: BLE001
            assert "1001" in str(closed), closed
    assert ann.get(f"/api/v1/chats/{chat}/messages").json()["items"][0]["text"] == "from a socket"


def test_a_websocket_watches_who_is_present_and_types(server):
    ann, bob, eve = (register(server, "h1", name) for name in ("Ann", "Bob", "Eve"))
    chat = direct(ann, bob)
    ann_id, bob_id = ann.login["user"]["id"], bob.login["user"]["id"]
    path = f"/api/v1/chats/{chat}/presence"
    assert ann.get(path).json() == {"present": []}
    problem(eve.get(path), 404, "not-found")
    tls = ssl.create_default_context(cafile=server.certificate)

    def socket_of(client):
        ticket = client.post("/api/v1/events/tickets").json()["ticket"]
        return connect(f"wss://localhost:{server.port}/api/v1/ws?ticket={ticket}", ssl=tls)

    def heard(socket):
        while True:
            said = json.loads(socket.recv(20))
            if said["type"] not in ("reset", "joined"):
                return said

    def say(socket, **intent):
        socket.send(json.dumps(intent))

    with socket_of(ann) as hers:
        say(hers, type="watch", chat=chat)
        assert heard(hers) == {"type": "present", "chat": chat, "users": []}
        with socket_of(bob) as his:
            assert heard(hers) == {"type": "presence", "chat": chat, "user": bob_id, "present": True}
            assert ann.get(path).json() == {"present": [bob_id]}
            say(his, type="typing", chat=chat)
            assert heard(hers) == {"type": "typing", "chat": chat, "user": bob_id}
            say(his, type="watch", chat=chat)
            assert heard(his) == {"type": "present", "chat": chat, "users": [ann_id]}
        assert heard(hers) == {"type": "presence", "chat": chat, "user": bob_id, "present": False}
        say(hers, type="unwatch", chat=chat)
        with socket_of(bob) as his:
            say(his, type="typing", chat=chat)
            say(hers, type="watch", chat=str(uuid.uuid4()))
            assert heard(hers)["code"] == "not-found", "nothing of the chat that is not watched any more"
        with socket_of(eve) as stranger:
            say(stranger, type="watch", chat=chat)
            assert heard(stranger)["code"] == "not-found"
            made = [eve.post("/api/v1/chats", json={"kind": "group", "title": f"group {n}"}) for n in range(33)]
            others = [chat.json()["id"] for chat in made]
            for other in others[:32]:
                say(stranger, type="watch", chat=other)
                assert heard(stranger)["type"] == "present"
            say(stranger, type="watch", chat=others[32])
            assert heard(stranger)["code"] == "limit-reached"
