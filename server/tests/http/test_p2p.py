"""Transfers from client to client: what is offered, and what became of it."""

import json
import uuid

import pytest
from conftest import problem, register
from sockets import connect
from test_events import direct, events
from websockets.exceptions import ConnectionClosed

SESSIONS = "/api/v1/p2p/sessions"


def who(client):
    return client.get("/api/v1/users/me").json()["id"]


def test_an_offer_is_answered_and_heard_of(server, version, ann, bob):
    chat = direct(ann, bob)
    new = {"chat": chat, "receiver": who(bob), "files": [{"name": "film ü.mkv", "size": 40 << 30}]}
    key = {"Idempotency-Key": str(uuid.uuid4())}
    made = [ann.post(SESSIONS, json=new, headers=key) for _ in range(2)]
    assert [answer.status_code for answer in made] == [201, 201]
    offered = made[0].json()
    assert made[1].json() == offered and offered["status"] == "offered"
    assert offered["files"] == [new["files"][0] | {"folder": False}]
    seen = [event for _, event in events(bob, "/api/v1/events?after=0", 2)]
    assert (seen[1]["type"], seen[1]["session"], seen[1]["chat"]) == ("p2p", offered["id"], chat)

    path = f"{SESSIONS}/{offered['id']}"
    assert bob.get(path).json() == offered
    problem(ann.send("PATCH", path, json={"status": "accepted"}), 403, "forbidden")
    accepted = bob.send("PATCH", path, json={"status": "accepted", "path": "relayed"}).json()
    assert (accepted["status"], accepted["path"]) == ("accepted", "relayed")
    assert ann.send("PATCH", path, json={"path": "direct"}).json()["path"] == "direct"
    assert bob.send("PATCH", path, json={"status": "finished"}).json()["status"] == "finished"
    problem(ann.send("PATCH", path, json={"status": "cancelled"}), 409, "conflict")
    problem(ann.send("PATCH", path, json={"status": "lost"}), 400, "invalid")

    carol = register(server, version, "Carol")
    problem(carol.get(path), 404, "not-found")
    problem(carol.post(SESSIONS, json=new), 404, "not-found")
    problem(ann.post(SESSIONS, json=new | {"receiver": who(carol)}), 400, "invalid")
    problem(ann.post(SESSIONS, json=new | {"files": []}), 400, "invalid")
    many = problem(ann.post(SESSIONS, json=new | {"files": new["files"] * 65}), 422, "limit-reached")
    assert many["limit"] == 64


def test_offers_are_paged(ann, bob):
    chat, receiver = direct(ann, bob), who(bob)
    files = [{"name": "a", "size": 1}]
    made = [ann.post(SESSIONS, json={"chat": chat, "receiver": receiver, "files": files}).json()["id"] for _ in range(5)]
    seen, cursor = [], ""
    while True:
        page = bob.get(f"{SESSIONS}?limit=2{cursor}").json()
        seen += [session["id"] for session in page["items"]]
        if "next" not in page:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == made[::-1]
    problem(bob.get(f"{SESSIONS}?cursor=x"), 400, "invalid")


def signals(server, client, session):
    """An open WebSocket of signals, after its first message; and that."""
    ticket = client.post("/api/v1/events/tickets").json()["ticket"]
    socket = connect(server, f"{SESSIONS}/{session}/signals?ticket={ticket}")
    return socket, json.loads(socket.recv(10))


def closed(socket):
    """The code with which the server closes, after whatever it still says."""
    with pytest.raises(ConnectionClosed) as error:
        while True:
            socket.recv(10)
    return error.value.rcvd.code


def test_the_two_sides_speak_by_signals(server, version, ann, bob):
    new = {"chat": direct(ann, bob), "receiver": who(bob), "files": [{"name": "film", "size": 1}]}
    session = ann.post(SESSIONS, json=new).json()["id"]
    hers, opened = signals(server, ann, session)
    with hers:
        assert isinstance(opened["relays"], list) and len(opened["relays"]) <= 4
        hers.send(b"early")
        his, _ = signals(server, bob, session)
        with his:
            assert his.recv(10) == b"early"
            his.send(b"\0" * 8192)
            assert hers.recv(10) == b"\0" * 8192
            # The newest counts.
            newer, _ = signals(server, ann, session)
            with newer:
                assert closed(hers) == 4027
                assert newer.recv(10) == b"\0" * 8192
                newer.send(b"newer")
                assert his.recv(10) == b"newer"
                ann.send("PATCH", f"{SESSIONS}/{session}", json={"status": "cancelled"})
                assert (closed(newer), closed(his)) == (4023, 4023)

    path = f"{SESSIONS}/{session}/signals"
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAA=="
    if version == "h1":
        problem(ann.get(path, headers=upgrade), 409, "conflict")
        carol = register(server, version, "Carol")
        problem(carol.get(path, headers=upgrade), 404, "not-found")


def test_a_signal_has_its_bounds(server, ann, bob):
    new = {"chat": direct(ann, bob), "receiver": who(bob), "files": [{"name": "film", "size": 1}]}
    session = ann.post(SESSIONS, json=new).json()["id"]
    for value, code in [(b"", 4020), (b"x" * 8193, 1009)]:
        socket, _ = signals(server, ann, session)
        with socket:
            socket.send(value)
            if code == 4020:
                assert closed(socket) == code
            else:
                with pytest.raises(ConnectionClosed):
                    socket.recv(10)
