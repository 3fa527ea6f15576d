"""What happens, as it happens."""

import json
import uuid

from conftest import problem, register
from sockets import connect


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
    ticket = bob.post("/api/v1/events/tickets").json()["ticket"]
    with connect(server, f"/api/v1/ws?after=0&ticket={ticket}") as socket:
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


def heard(socket, kind):
    """The next of this type, whatever else comes before it."""
    while True:
        said = json.loads(socket.recv(20))
        if said["type"] == kind:
            return said


def test_a_websocket_watches_who_is_present_and_types(server):
    ann, bob, eve = (register(server, "h1", name) for name in ("Ann", "Bob", "Eve"))
    chat, presence = direct(ann, bob), f"/api/v1/chats/{direct(ann, bob)}/presence"

    def talk(client):
        ticket = client.post("/api/v1/events/tickets").json()["ticket"]
        return connect(server, f"/api/v1/ws?ticket={ticket}")

    with talk(ann) as hers, talk(eve) as eves:
        assert heard(hers, "reset")
        assert ann.get(presence).json() == {"present": []}, "requests do not count"
        hers.send(json.dumps({"type": "watch", "chat": chat}))
        assert heard(hers, "present") == {"type": "present", "chat": chat, "users": []}
        eves.send(json.dumps({"type": "watch", "chat": chat}))
        assert heard(eves, "refused")["code"] == "not-found"
        problem(eve.get(presence), 404, "not-found")
        with talk(bob) as his:
            came = heard(hers, "presence")
            assert came["chat"] == chat and came["present"] is True
            assert ann.get(presence).json() == {"present": [came["user"]]}
            assert len(bob.get(presence).json()["present"]) == 1
            his.send(json.dumps({"type": "typing", "chat": chat}))
            assert heard(hers, "typing") == {"type": "typing", "chat": chat, "user": came["user"]}
        assert heard(hers, "presence") == {**came, "present": False}
        hers.send(json.dumps({"type": "unwatch", "chat": chat}))
        hers.send("nonsense")
        assert heard(hers, "refused"), "what came before it is done"
        with talk(bob) as his:
            his.send(json.dumps({"type": "typing", "chat": chat}))
            his.send(json.dumps({"type": "post", "id": str(uuid.uuid4()), "chat": chat, "text": "seen"}))
            said = json.loads(hers.recv(20))
            assert said["type"] == "posted", "nothing is heard of what is not watched"


def test_a_websocket_watches_so_many_chats(server):
    ann = register(server, "h1", "Ann")
    groups = [ann.post("/api/v1/chats", json={"kind": "group", "title": str(n)}).json()["id"] for n in range(33)]
    ticket = ann.post("/api/v1/events/tickets").json()["ticket"]
    with connect(server, f"/api/v1/ws?ticket={ticket}") as socket:
        for group in groups[:32]:
            socket.send(json.dumps({"type": "watch", "chat": group}))
            assert heard(socket, "present")["chat"] == group
        socket.send(json.dumps({"type": "watch", "chat": groups[32]}))
        assert heard(socket, "refused")["code"] == "limit-reached"
        socket.send(json.dumps({"type": "watch", "chat": groups[0]}))
        assert heard(socket, "present")["chat"] == groups[0], "one of them again is none more"
        socket.send(json.dumps({"type": "unwatch", "chat": groups[0]}))
        socket.send(json.dumps({"type": "watch", "chat": groups[32]}))
        assert heard(socket, "present")["chat"] == groups[32]
