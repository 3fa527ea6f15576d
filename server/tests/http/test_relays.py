"""Relays that say that they are there, and whom they are told to."""

import base64
import re
import uuid

import pytest
from conftest import Client, Server, problem, register
from test_events import direct
from test_metrics import Metrics
from test_p2p import SESSIONS, signals, who

TOKEN = "only-the-operator-knows-this-token"


@pytest.fixture
def open_to_relays(tmp_path):
    server = Server(tmp_path / "server", RELAY_TOKEN=TOKEN, METRICS_TOKEN=TOKEN)
    yield server
    server.stop()


def test_a_relay_that_says_it_is_there_is_handed_out(stranger, open_to_relays, version):
    server = open_to_relays
    path = f"/api/v1/relays/{uuid.uuid4()}"
    standing = {"name": "fra1", "host": "fra1.example.org", "ports": [8444, 8445], "sessions": 3, "max_sessions": 100}
    problem(stranger.put(path, json=standing, headers={"Authorization": f"Bearer {TOKEN}"}), 404, "not-found")
    operator = Client(server, version, TOKEN)
    for token in ["x" * 40, TOKEN[:-1]]:
        problem(operator.put(path, json=standing, headers={"Authorization": f"Bearer {token}"}), 401, "bad-token")
    problem(Client(server, version).put(path, json=standing), 401, "bad-token")
    problem(register(server, version).put(path, json=standing), 401, "bad-token")
    for bad in [{"ports": []}, {"ports": [0]}, {"ports": [1, 2, 3]}, {"host": "a b"}, {"name": ""}, {"sessions": -1}]:
        problem(operator.put(path, json=standing | bad), 400, "invalid")
    said = operator.put(path, json=standing)
    assert said.status_code == 200, said.text
    assert said.json()["next_seconds"] == 10 and len(base64.b64decode(said.json()["server_key"])) == 32

    ann, bob = register(server, version, "Ann"), register(server, version, "Bob")
    new = {"chat": direct(ann, bob), "receiver": who(bob), "files": [{"name": "film", "size": 1}]}
    session = ann.post(SESSIONS, json=new).json()["id"]

    def relays():
        socket, opened = signals(server, ann, session)
        with socket:
            return {seat["name"]: seat for seat in opened["relays"]}

    def listed():
        return {relay["name"]: relay for relay in ann.get("/api/v1/relays").json()["items"]}

    problem(Client(server, version).get("/api/v1/relays"), 401, "bad-token")
    problem(operator.get("/api/v1/relays"), 401, "bad-token")
    seats = relays()
    assert set(seats) == {"fra1", "server"}
    assert seats["fra1"]["host"] == "fra1.example.org" and seats["fra1"]["ports"] == [8444, 8445]
    assert listed() == {name: {key: seat[key] for key in seat if key != "ticket"} for name, seat in seats.items()}
    assert "host" not in seats["server"] and len(seats["server"]["ports"]) == 2
    for seat in seats.values():
        ticket = base64.b64decode(seat["ticket"])
        assert len(ticket) == 121 and ticket.startswith(uuid.UUID(seat["relay"]).bytes + uuid.UUID(session).bytes)
    # Where it does not say where it is, it is where it comes from.
    del standing["host"]
    assert operator.put(path, json=standing).status_code == 200
    assert re.fullmatch(r"127\.0\.0\.1|::1", relays()["fra1"]["host"])
    assert operator.put(path, json=standing | {"draining": True, "ports": []}).status_code == 200
    assert set(relays()) == set(listed()) == {"server"}
    assert Metrics(server).value("relay_leaving") == 0 and Metrics(server).value("relay_sessions") == 0
