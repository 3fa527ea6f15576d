"""Transfers from client to client: what is offered, and what became of it."""

import uuid

from conftest import problem, register
from test_events import direct, events

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
    assert made[1].json() == offered and offered["status"] == "offered" and offered["files"] == new["files"]
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
