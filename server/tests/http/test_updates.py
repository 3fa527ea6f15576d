"""Releases of client programs."""

import json

import pytest
from conftest import Client, Server, problem

LATEST = "/api/v1/updates/latest?platform=linux-x86_64&current="


def release(version: str) -> dict:
    url = f"https://example.org/hypersend-{version}"
    build = {"platform": "linux-x86_64", "url": url, "sha256": "ab" * 32, "size": 12_345}
    return {"version": version, "notes": "news", "builds": [build]}


def publish(path, *versions: str):
    path.write_text(json.dumps({"releases": [release(version) for version in versions]}))


@pytest.fixture
def published(tmp_path):
    publish(tmp_path / "updates.json", "1.0.0", "1.1.0")
    server = Server(tmp_path / "server", UPDATES_FILE=str(tmp_path / "updates.json"))
    yield server, tmp_path / "updates.json"
    server.stop()


def test_clients_find_what_is_newer(published, version):
    server, path = published
    stranger = Client(server, version)
    items = stranger.get("/api/v1/updates").json()["items"]
    assert items == [release("1.1.0"), release("1.0.0")]
    found = stranger.get(LATEST + "1.0.0").json()
    assert found == {"version": "1.1.0", "notes": "news", "build": release("1.1.0")["builds"][0]}
    assert stranger.get(LATEST + "1.1.0").status_code == 204
    problem(stranger.get("/api/v1/updates/latest?platform=amiga&current=1.0.0"), 404, "not-found")
    problem(stranger.get(LATEST + "soon"), 400, "invalid")
    publish(path, "1.2.0")
    assert stranger.get(LATEST + "1.1.0").json()["version"] == "1.2.0"
    path.write_text("nonsense")
    assert stranger.get(LATEST + "1.1.0").json()["version"] == "1.2.0"
    assert b"releases not taken up" in (server.home / "log").read_bytes()


def test_nothing_is_published_unless_the_operator_does(stranger):
    assert stranger.get("/api/v1/updates").json() == {"items": []}
    problem(stranger.get(LATEST + "1.0.0"), 404, "not-found")


def test_nonsense_keeps_the_server_from_starting(tmp_path):
    (tmp_path / "updates.json").write_text(json.dumps({"releases": [release("1.0")]}))
    with pytest.raises(AssertionError, match="docs/operations.md describes"):
        Server(tmp_path / "server", UPDATES_FILE=str(tmp_path / "updates.json"))
