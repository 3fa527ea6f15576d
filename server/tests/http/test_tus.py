"""tus 1.0: every extension and every refusal, over every HTTP version, and across crashes."""

import base64
import email.utils
import hashlib
import random
import re
import socket
import ssl
import time
import uuid

import blake3
import pytest
import tusclient.client
from conftest import MAX_FILE_SIZE, Client, Server, problem, register

MIB = 1 << 20
TUS = "/api/v1/tus"
BYTES = {"Content-Type": "application/offset+octet-stream"}
MAX_CHECKED = 64 * MIB
MAX_PARTS = 100
MAX_METADATA = 4096


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def noise(length: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(length)


def tus(client, method, path, headers=None, **more):
    return client.send(method, path, headers={"Tus-Resumable": "1.0.0"} | (headers or {}), **more)


def create(client, length, name="film.mkv", headers=None, **more):
    known = {"Upload-Length": str(length), "Upload-Metadata": f"filename {base64_of(name.encode())}"}
    answer = tus(client, "POST", TUS, known | (headers or {}), **more)
    assert answer.status_code == 201, answer.text
    assert answer.headers["tus-resumable"] == "1.0.0"
    return answer


def patch(client, path, offset, data, headers=None):
    return tus(client, "PATCH", path, BYTES | {"Upload-Offset": str(offset)} | (headers or {}), data=data)


def offset(client, path) -> int:
    answer = tus(client, "HEAD", path)
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    return int(answer.headers["upload-offset"])


def content(client, file) -> bytes:
    answer = client.get(f"/api/v1/files/{file}/content")
    assert answer.status_code == 200
    return answer.content


def test_a_client_learns_what_there_is(stranger):
    answer = stranger.send("OPTIONS", TUS)
    assert answer.status_code == 204
    said = {name: answer.headers[name] for name in ("tus-resumable", "tus-version", "tus-extension", "tus-max-size")}
    assert said == {
        "tus-resumable": "1.0.0",
        "tus-version": "1.0.0",
        "tus-extension": "creation,creation-with-upload,expiration,checksum,termination,concatenation",
        "tus-max-size": str(MAX_FILE_SIZE),
    }
    assert answer.headers["tus-checksum-algorithm"] == "sha1,sha256"
    assert stranger.send("OPTIONS", f"{TUS}/{uuid.uuid4()}").status_code == 204


def test_another_version_is_refused(ann):
    for headers in ({"Tus-Resumable": "0.2.2"}, {}):
        answer = ann.send("POST", TUS, headers=headers | {"Upload-Length": "1"})
        problem(answer, 412, "unsupported-version")
        assert answer.headers["tus-version"] == answer.headers["tus-resumable"] == "1.0.0"


def test_a_file_goes_in_odd_pieces(ann, bob):
    data = noise(3 * MIB + 4_321)
    made = create(ann, len(data), headers={"Upload-Length": str(len(data))})
    path, at = made.headers["location"], 0
    file = path.rsplit("/", 1)[1]
    pieces = [1, 2, 0, 70_001, MIB - 70_004, MIB + 1, 13, 999_983]
    for length in pieces:
        answer = patch(ann, path, at, data[at : at + length])
        assert answer.status_code == 204, answer.text
        at += length
        assert int(answer.headers["upload-offset"]) == at == offset(ann, path)
        assert "file-id" not in answer.headers and "upload-expires" in answer.headers
    view = ann.get(f"/api/v1/uploads/{file}").json()
    assert (view["size"], view["stored"]) == (len(data), [[0, at // MIB - 1]])
    answer = patch(ann, path, at, data[at:])
    assert answer.status_code == 204 and answer.headers["file-id"] == file
    assert content(ann, file) == data
    head = tus(ann, "HEAD", path)
    assert (head.headers["upload-offset"], head.headers["upload-length"]) == (str(len(data)),) * 2
    assert head.headers["upload-metadata"] == f"filename {base64_of(b'film.mkv')}"
    assert ann.get(f"/api/v1/files/{file}").json()["name"] == "film.mkv"
    assert patch(ann, path, len(data), b"").headers["file-id"] == file, "a lost answer is given again"
    problem(patch(ann, path, 5, b"x"), 409, "conflict")
    chat = ann.post("/api/v1/chats", json={"kind": "direct", "email": bob.email}).json()
    assert ann.post(f"/api/v1/chats/{chat['id']}/messages", json={"files": [file]}).status_code == 201
    assert content(bob, file) == data


def test_an_upload_is_begun_with_bytes(ann):
    data = noise(MIB + 5)
    half = create(ann, len(data), headers=BYTES, data=data[:1_000])
    path = half.headers["location"]
    assert half.headers["upload-offset"] == "1000" and offset(ann, path) == 1_000
    assert patch(ann, path, 1_000, data[1_000:]).status_code == 204
    whole = create(ann, len(data), headers=BYTES, data=data)
    assert content(ann, whole.headers["file-id"]) == data
    empty = create(ann, 0)
    assert content(ann, empty.headers["file-id"]) == b""
    key = {"Idempotency-Key": str(uuid.uuid4())}
    twice = [create(ann, len(data), headers=key).headers["location"] for _ in range(2)]
    assert twice[0] == twice[1]


def test_what_makes_no_sense_is_refused(ann, bob, stranger):
    problem(tus(ann, "POST", TUS), 400, "invalid")
    problem(tus(ann, "POST", TUS, {"Upload-Defer-Length": "1"}), 400, "invalid")
    problem(tus(ann, "POST", TUS, {"Upload-Length": "-1"}), 400, "invalid")
    for metadata in ("filename *", f"filename {base64_of(b'../x')}"):
        problem(tus(ann, "POST", TUS, {"Upload-Length": "1", "Upload-Metadata": metadata}), 400, "invalid")
    path = create(ann, 10).headers["location"]
    problem(tus(ann, "PATCH", path, {"Upload-Offset": "0"}, data=b"x"), 415, "invalid")
    problem(tus(ann, "PATCH", path, BYTES, data=b"x"), 400, "invalid")
    problem(patch(ann, path, 1, b"x"), 409, "conflict")
    problem(patch(ann, path, 0, b"x", {"Upload-Checksum": "md5 AAAA"}), 400, "invalid")
    problem(patch(ann, path, 0, b"x" * 11), 413, "invalid")
    assert offset(ann, path) == 0
    problem(stranger.send("PATCH", path, headers=BYTES | {"Tus-Resumable": "1.0.0"}, data=b"x"), 401, "bad-token")
    for client, nobody in ((bob, path), (ann, f"{TUS}/{uuid.uuid4()}"), (ann, f"{TUS}/no-id")):
        assert tus(client, "HEAD", nobody).status_code == 404
        problem(patch(client, nobody, 0, b"x"), 404, "not-found")
        problem(tus(client, "DELETE", nobody), 404, "not-found")


def test_sizes_are_held_to_their_limits(ann):
    create(ann, MAX_FILE_SIZE)
    assert problem(tus(ann, "POST", TUS, {"Upload-Length": str(MAX_FILE_SIZE + 1)}), 413, "limit-reached")["limit"] == MAX_FILE_SIZE
    padding = "A" * (MAX_METADATA - len("filename YQ==,x "))
    create(ann, 1, headers={"Upload-Metadata": f"filename YQ==,x {padding}"})
    longer = {"Upload-Length": "1", "Upload-Metadata": f"filename YQ==,xx {padding}"}
    assert problem(tus(ann, "POST", TUS, longer), 422, "limit-reached")["limit"] == MAX_METADATA


def test_bytes_beyond_the_length_that_was_not_said_are_refused(server):
    """A body without Content-Length: what belongs to the upload is kept, what comes behind it is refused."""
    ann = register(server, "h1")
    path = create(ann, 3 * MIB // 2).headers["location"]
    data = noise(2 * MIB)
    answer = tus(ann, "PATCH", path, BYTES | {"Upload-Offset": "0", "Transfer-Encoding": "chunked"}, data=data)
    problem(answer, 413, "invalid")
    assert offset(ann, path) == 3 * MIB // 2
    assert content(ann, path.rsplit("/", 1)[1]) == data[: 3 * MIB // 2]


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_body_that_is_not_what_was_meant_does_not_count(ann, algorithm):
    data = noise(2 * MIB + 77)
    path = create(ann, len(data)).headers["location"]

    def sum_of(data):
        return {"Upload-Checksum": f"{algorithm} {base64_of(hashlib.new(algorithm, data).digest())}"}

    assert patch(ann, path, 0, data[:100], sum_of(data[:100])).status_code == 204
    problem(patch(ann, path, 100, data[100 : 2 * MIB], sum_of(b"other")), 460, "hash-mismatch")
    assert offset(ann, path) == 100
    problem(patch(ann, path, 100, data[100:] + b"x", sum_of(data[100:] + b"x")), 413, "invalid")
    assert patch(ann, path, 100, data[100 : 2 * MIB], sum_of(data[100 : 2 * MIB])).status_code == 204
    last = patch(ann, path, 2 * MIB, data[2 * MIB :], sum_of(data[2 * MIB :]))
    assert content(ann, last.headers["file-id"]) == data
    begun = create(ann, 10, headers=BYTES | sum_of(b"0123456789"), data=b"0123456789")
    assert content(ann, begun.headers["file-id"]) == b"0123456789"


def test_a_body_with_a_checksum_is_limited(server):
    """The limit is as large as the largest file of the usual server, so one with larger files is needed."""
    ann = register(server, "h2")
    data = bytes(MAX_CHECKED)
    sums = {"Upload-Checksum": f"sha1 {base64_of(hashlib.sha1(data).digest())}"}
    path = create(ann, MAX_CHECKED).headers["location"]
    assert problem(patch(ann, path, 0, data + b"x", sums), 413, "limit-reached")["limit"] == MAX_CHECKED
    unsaid = BYTES | sums | {"Upload-Offset": "0", "Transfer-Encoding": "chunked"}
    over_h1 = Client(server, "h1", ann.token)
    problem(tus(over_h1, "PATCH", path, unsaid, data=data + b"x" * MIB), 413, "limit-reached")
    assert offset(ann, path) == 0
    answer = patch(ann, path, 0, data, sums)
    assert answer.status_code == 204 and "file-id" in answer.headers


def test_uploads_expire(ann):
    path = create(ann, 10).headers["location"]
    answers = [tus(ann, "HEAD", path), patch(ann, path, 0, b"x")]
    for answer in answers:
        expires = email.utils.parsedate_to_datetime(answer.headers["upload-expires"]).timestamp()
        assert abs(expires - time.time() - 7 * 86_400) < 120
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answers[0].headers["upload-expires"])


def test_an_upload_is_terminated(ann):
    under_way = create(ann, 10, headers=BYTES, data=b"x").headers["location"]
    done = create(ann, 1, headers=BYTES, data=b"x")
    for path in (under_way, done.headers["location"]):
        assert tus(ann, "DELETE", path).status_code == 204
        assert tus(ann, "HEAD", path).status_code == 404
    problem(ann.get(f"/api/v1/files/{done.headers['file-id']}"), 404, "not-found")


def test_methods_may_be_overridden(ann):
    path = create(ann, 10).headers["location"]
    override = lambda method: {"X-HTTP-Method-Override": method}
    sent = tus(ann, "POST", path, BYTES | override("PATCH") | {"Upload-Offset": "0"}, data=b"01234")
    assert sent.status_code == 204 and sent.headers["upload-offset"] == "5"
    assert tus(ann, "POST", path, override("HEAD")).headers["upload-offset"] == "5"
    problem(tus(ann, "POST", path, override("PUT")), 405, "invalid")
    problem(tus(ann, "POST", path), 405, "invalid")
    assert tus(ann, "POST", path, override("DELETE")).status_code == 204
    assert tus(ann, "HEAD", path).status_code == 404


def test_partial_uploads_become_one_file(ann, bob):
    pieces = [noise(length, seed) for seed, length in enumerate([MIB + 17, 1, 0, 2 * MIB - 3, 500_000])]
    partial = {"Upload-Concat": "partial"}
    paths = [create(ann, len(piece), headers=partial | BYTES, data=piece).headers["location"] for piece in pieces]
    heads = [tus(ann, "HEAD", path).headers for path in paths]
    assert all(head["upload-concat"] == "partial" and head["upload-offset"] == head["upload-length"] for head in heads)
    assert ann.get("/api/v1/files").json()["items"] == [], "a part is no file"

    unfinished = create(ann, 5, headers=partial).headers["location"]
    ordinary = create(ann, 5).headers["location"]
    theirs = create(bob, 1, headers=partial | BYTES, data=b"x").headers["location"]
    final = lambda paths: {"Upload-Concat": "final;" + " ".join(paths), "Upload-Metadata": f"filename {base64_of(b'whole')}"}
    problem(tus(ann, "POST", TUS, final(paths + [unfinished])), 409, "incomplete")
    problem(tus(ann, "POST", TUS, final(paths + [ordinary])), 409, "conflict")
    problem(tus(ann, "POST", TUS, final(paths + [theirs])), 404, "not-found")
    problem(tus(ann, "POST", TUS, final(paths + paths[:1])), 400, "invalid")
    problem(tus(ann, "POST", TUS, {"Upload-Concat": "sideways"}), 400, "invalid")

    made = tus(ann, "POST", TUS, final([paths[0], ann.server.base + paths[1]] + paths[2:]))
    assert made.status_code == 201, made.text
    assert content(ann, made.headers["file-id"]) == b"".join(pieces)
    assert ann.get(f"/api/v1/files/{made.headers['file-id']}").json()["name"] == "whole"
    whole = made.headers["location"]
    head = tus(ann, "HEAD", whole)
    assert head.headers["upload-concat"].startswith("final;") and head.headers["upload-length"] == str(sum(map(len, pieces)))
    problem(patch(ann, whole, 0, b"x"), 403, "forbidden")
    assert all(tus(ann, "HEAD", path).status_code == 404 for path in paths), "their room is free again"


def test_the_number_of_parts_is_limited(server):
    ann = register(server, "h2")
    partial = {"Upload-Concat": "partial", **BYTES}
    paths = [create(ann, 1, headers=partial, data=bytes([n])).headers["location"] for n in range(MAX_PARTS + 1)]
    refused = tus(ann, "POST", TUS, {"Upload-Concat": "final;" + " ".join(paths)})
    assert problem(refused, 422, "limit-reached")["limit"] == MAX_PARTS
    made = tus(ann, "POST", TUS, {"Upload-Concat": "final;" + " ".join(paths[:MAX_PARTS])})
    assert made.status_code == 201, made.text
    assert content(ann, made.headers["file-id"]) == bytes(range(MAX_PARTS))


def test_chunks_may_be_stored_meanwhile(ann):
    data = noise(4 * MIB + 9)
    path = create(ann, len(data)).headers["location"]
    chunks = f"/api/v1/uploads/{path.rsplit('/', 1)[1]}/chunks"
    assert patch(ann, path, 0, data[:10]).status_code == 204
    assert ann.put(f"{chunks}/1", data=data[MIB : 2 * MIB]).status_code == 204
    assert offset(ann, path) == 10, "there is a gap"
    answer = patch(ann, path, 10, data[10:MIB])
    assert answer.headers["upload-offset"] == str(2 * MIB), "and now there is none"
    problem(patch(ann, path, MIB, data[MIB:]), 409, "conflict")
    assert ann.put(f"{chunks}/2", data=data[2 * MIB : 3 * MIB]).status_code == 204
    assert patch(ann, path, 3 * MIB, data[3 * MIB :]).status_code == 204
    assert content(ann, path.rsplit("/", 1)[1]) == data


def test_what_was_sent_by_chunks_alone_is_finished_when_asked_for(ann):
    data = noise(MIB)
    upload = ann.post("/api/v1/uploads", json={"name": "film", "size": MIB}).json()["id"]
    assert ann.put(f"/api/v1/uploads/{upload}/chunks/0", data=data).status_code == 204
    head = tus(ann, "HEAD", f"{TUS}/{upload}")
    assert head.headers["file-id"] == upload and content(ann, upload) == data


class Sending:
    """A PATCH whose body is sent bit by bit, over HTTP/1.1 and a socket of our own."""

    def __init__(self, client, path, offset, length):
        trusted = ssl.create_default_context(cafile=client.server.certificate)
        plain = socket.create_connection(("localhost", client.server.port), timeout=30)
        self.socket = trusted.wrap_socket(plain, server_hostname="localhost")
        head = [
            f"PATCH {path} HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {client.token}",
            "Tus-Resumable: 1.0.0",
            f"Upload-Offset: {offset}",
            "Content-Type: application/offset+octet-stream",
            f"Content-Length: {length}",
        ]
        self.socket.sendall("\r\n".join(head + ["", ""]).encode())

    def send(self, data):
        self.socket.sendall(data)

    def status(self) -> int:
        return int(self.socket.recv(4096).split()[1])

    def close(self):
        self.socket.close()


def until_stored(client, path, chunks):
    """Waits until the first chunks are stored; looking does not disturb who is sending."""
    deadline = time.monotonic() + 30
    while client.get(f"/api/v1/uploads/{path.rsplit('/', 1)[1]}").json()["stored"] != [[0, chunks - 1]]:
        assert time.monotonic() < deadline, "the chunks are not stored"
        time.sleep(0.02)


@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE"])
def test_a_stalled_request_is_taken_over_from(ann, method):
    data = noise(6 * MIB)
    path = create(ann, len(data)).headers["location"]
    stalled = Sending(ann, path, 0, len(data))
    stalled.send(data[: 3 * MIB + 1_000])
    until_stored(ann, path, 3)
    begun = time.monotonic()
    if method == "DELETE":
        assert tus(ann, "DELETE", path).status_code == 204
        assert tus(ann, "HEAD", path).status_code == 404
    else:
        if method == "HEAD":
            at = offset(ann, path)
            assert 3 * MIB <= at <= 3 * MIB + 1_000
        else:
            problem(patch(ann, path, 5, b"x"), 409, "conflict")
            at = offset(ann, path)
        last = patch(ann, path, at, data[at:])
        assert last.status_code == 204, last.text
        assert content(ann, last.headers["file-id"]) == data
    assert time.monotonic() - begun < 5, "nobody waits for the stalled one"
    assert stalled.status() == 423
    stalled.close()


def test_a_broken_connection_costs_nothing_that_was_received(ann):
    data = noise(5 * MIB)
    path, at = create(ann, len(data)).headers["location"], 0
    for chunks in (1, 2, 4):
        broken = Sending(ann, path, at, len(data) - at)
        broken.send(data[at : chunks * MIB + 500_000])
        until_stored(ann, path, chunks)
        broken.close()
        at = offset(ann, path)
        assert chunks * MIB <= at <= chunks * MIB + 500_000
    last = patch(ann, path, at, data[at:])
    assert content(ann, last.headers["file-id"]) == data


def test_a_killed_server_has_all_that_it_answered(tmp_path, version):
    server = Server(tmp_path)
    try:
        ann = register(server, version)
        data = noise(6 * MIB + 12_345)
        path, at = create(ann, len(data)).headers["location"], 0
        for length in (1, 700_000, MIB, 99):
            answer = patch(ann, path, at, data[at : at + length])
            at += length
            assert answer.headers["upload-offset"] == str(at)
            server.kill()
            server.start()
            ann = Client(server, version, ann.token)
            assert offset(ann, path) == at, "what was answered is there"
        # And in the middle of a request, which was not answered.
        sending = Sending(ann, path, at, len(data) - at)
        sending.send(data[at : 4 * MIB + 333_333])
        until_stored(ann, path, 4)
        server.kill()
        sending.close()
        server.start()
        ann = Client(server, version, ann.token)
        resumed = offset(ann, path)
        assert 4 * MIB <= resumed <= 4 * MIB + 333_333
        last = patch(ann, path, resumed, data[resumed:])
        file = ann.get(f"/api/v1/files/{last.headers['file-id']}").json()
        assert file["blake3"] == blake3.blake3(data).hexdigest()
        assert content(ann, file["id"]) == data
    finally:
        server.kill()


@pytest.mark.parametrize("checked", [False, True])
def test_tuspy_uploads_and_resumes(server, tmp_path, monkeypatch, checked):
    """A client that is not ours: stopped half-way, then taken up by another process's object from the address alone."""
    ann = register(server, "h1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", server.certificate)
    (tmp_path / "film.mkv").write_bytes(noise(64 * MIB - 5))
    headers = {"Authorization": f"Bearer {ann.token}"}
    client = tusclient.client.TusClient(server.base + TUS, headers=headers)
    common = {"chunk_size": 7_654_321, "upload_checksum": checked}
    path = str(tmp_path / "film.mkv")
    uploader = client.uploader(path, metadata={"filename": "film.mkv"}, **common)
    uploader.upload(stop_at=20 * MIB)
    assert 20 * MIB <= uploader.offset < 64 * MIB - 5
    again = client.uploader(path, url=uploader.url, **common)
    assert again.offset == uploader.offset == offset(ann, uploader.url.removeprefix(server.base))
    again.upload()
    file = ann.get(f"/api/v1/files/{uploader.url.rsplit('/', 1)[1]}").json()
    hashed = blake3.blake3((tmp_path / "film.mkv").read_bytes()).hexdigest()
    assert (file["name"], file["blake3"]) == ("film.mkv", hashed)
