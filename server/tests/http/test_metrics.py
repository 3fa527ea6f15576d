"""What an operator watches."""

import re

import pytest
from conftest import PASSWORD, Client, Server, problem, register

TOKEN = "only-the-operator-knows-this-token"
SIZE = 3 << 20


@pytest.fixture
def watched(tmp_path):
    server = Server(tmp_path / "server", METRICS_TOKEN=TOKEN)
    yield server
    server.stop()


class Metrics:
    """One look at them."""

    def __init__(self, server: Server):
        answer = Client(server, "h1", TOKEN).get("/metrics")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        assert answer.text.endswith("# EOF\n")
        self.lines = answer.text.splitlines()

    def value(self, name: str, **labels: str) -> float:
        """Of the one line of that name which has these labels; 0 if there is none yet."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = [line for line in self.lines if re.match(rf"hypersend_{name}[ {{]", line)]
        found = [line for line in lines if all(label in line for label in wanted)]
        assert len(found) <= 1, found
        return float(found[0].split()[-1]) if found else 0.0


def test_nobody_but_the_operator_sees_them(stranger, watched, version):
    problem(stranger.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}), 404, "not-found")
    problem(Client(watched, version).get("/metrics"), 401, "bad-token")
    problem(register(watched, version).get("/metrics"), 401, "bad-token")
    assert Client(watched, version, TOKEN).get("/metrics").status_code == 200


def test_they_count_what_happens(watched, version):
    ann, bob = register(watched, version, "Ann"), register(watched, version, "Bob")
    before = Metrics(watched)
    connections = before.value("connections", protocol={"h1": "http/1.1", "h2": "http/2", "h3": "http/3"}[version])
    # One that looks is there too, by HTTP/1.1.
    assert connections == (3 if version == "h1" else 2)

    for password, status in [(PASSWORD, 200), ("wrong", 401)]:
        login = {"email": ann.email, "password": password}
        assert Client(watched, version).post("/api/v1/auth/login", json=login).status_code == status
    file = ann.put("/api/v1/files/named/film.mkv", data=b"x" * SIZE).json()
    chat = ann.post("/api/v1/chats", json={"kind": "direct", "email": bob.email}).json()["id"]
    posted = ann.post(f"/api/v1/chats/{chat}/messages", json={"text": "the film", "files": [file["id"]]})
    assert posted.status_code == 201
    assert len(bob.get(f"/api/v1/files/{file['id']}/content").content) == SIZE
    bob.get("/nowhere")

    after = Metrics(watched)

    def more(name, **labels):
        return after.value(name, **labels) - before.value(name, **labels)

    assert more("logins_total", outcome="accepted") == 1
    assert more("logins_total", outcome="wrong") == 1
    assert more("messages_total") == more("message_seconds_count") == 1
    assert more("uploads_begun_total") == more("uploads_finished_total") == 1
    assert more("file_received_bytes_total") == more("file_sent_bytes_total") == SIZE
    posts = {"method": "POST", "route": "/api/v1/chats/{chat}/messages"}
    assert more("http_requests_total", status="201", **posts) == more("http_request_seconds_count", **posts) == 1
    assert more("http_requests_total", route="none", status="404") == 1
    assert after.value("process_resident_memory_bytes") > 1 << 20
    assert after.value("process_open_fds") > 10
    assert more("process_cpu_seconds_total") > 0
