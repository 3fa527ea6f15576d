"""Pages of other origins call the API only where the operator says so."""

import pytest
from conftest import Client, Server, register

PAGE = "https://chat.example.org"
WANTED = {"Origin": PAGE, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}


@pytest.fixture
def open_to(tmp_path):
    started = []

    def start(origins: str) -> Server:
        started.append(Server(tmp_path / "server", CORS_ORIGINS=origins))
        return started[0]

    yield start
    for server in started:
        server.stop()


def test_no_page_of_another_origin_is_let_in_unasked(stranger):
    for answer in [stranger.send("OPTIONS", "/api/v1/files", WANTED), stranger.get("/healthz", headers={"Origin": PAGE})]:
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


def test_listed_origins_are_let_in_and_no_others(open_to, version):
    server = open_to(f"{PAGE},http://localhost:5173")
    stranger = Client(server, version)
    asked = stranger.send("OPTIONS", "/api/v1/files", WANTED)
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == PAGE
    assert "PUT" in asked.headers["access-control-allow-methods"]
    assert "authorization" in asked.headers["access-control-allow-headers"].lower()
    assert int(asked.headers["access-control-max-age"]) > 0
    assert "access-control-allow-credentials" not in asked.headers

    ann = register(server, version)
    file = ann.put("/api/v1/files/named/film.mkv", data=b"bytes", headers={"Origin": PAGE}).json()
    read = ann.get(f"/api/v1/files/{file['id']}/content", headers={"Origin": PAGE})
    assert read.headers["access-control-allow-origin"] == PAGE
    told = read.headers["access-control-expose-headers"].lower()
    assert all(name in told for name in ["etag", "content-range", "upload-offset", "x-request-id", "retry-after"])
    # A refusal too, or the page would not know why.
    refused = stranger.get("/api/v1/users/me", headers={"Origin": PAGE})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, PAGE)

    other = {**WANTED, "Origin": "https://evil.example"}
    assert "access-control-allow-origin" not in stranger.send("OPTIONS", "/api/v1/files", other).headers


def test_every_origin_may_be_let_in(open_to):
    stranger = Client(open_to("*"), "h2")
    assert stranger.get("/healthz", headers={"Origin": PAGE}).headers["access-control-allow-origin"] == "*"


def test_what_is_no_origin_is_a_setting_that_cannot_be_used(tmp_path):
    with pytest.raises(AssertionError, match="CORS_ORIGINS.*such as https://"):
        Server(tmp_path / "server", CORS_ORIGINS="chat.example.org/")
