"""HTTP's own resumable uploads, draft-ietf-httpbis-resumable-upload with interop version 8."""

import random
import uuid

from conftest import MAX_FILE_SIZE, Client, Server, digest, problem, register

MIB = 1 << 20
RESUMABLE = "/api/v1/resumable"
PARTIAL = {"Content-Type": "application/partial-upload"}
MISMATCH = "https://iana.org/assignments/http-problem-types#mismatching-upload-offset"
INCONSISTENT = "https://iana.org/assignments/http-problem-types#inconsistent-upload-length"


def noise(length: int) -> bytes:
    return random.Random(7).randbytes(length)


def begin(client, length, data=b"", headers=None):
    said = {"Upload-Complete": "?0", "Upload-Length": str(length), "Content-Disposition": 'inline; filename="film.mkv"'}
    return client.post(RESUMABLE, headers=said | (headers or {}), data=data)


def patch(client, path, offset, data, complete=False, headers=None):
    said = {"Upload-Offset": str(offset), "Upload-Complete": "?1" if complete else "?0"}
    return client.send("PATCH", path, headers=PARTIAL | said | (headers or {}), data=data)


def offset(client, path) -> int:
    answer = client.send("HEAD", path)
    assert answer.status_code == 204 and answer.headers["cache-control"] == "no-store"
    return int(answer.headers["upload-offset"])


def test_a_file_goes_in_pieces(ann):
    data = noise(2 * MIB + 4_321)
    made = begin(ann, len(data), data[:10])
    assert made.status_code == 201, made.text
    assert (made.headers["upload-complete"], made.headers["upload-offset"]) == ("?0", "10")
    path, at = made.headers["location"], 10
    for length in (0, 1, 1_234_567):
        answer = patch(ann, path, at, data[at : at + length])
        at += length
        assert (answer.status_code, answer.headers["upload-complete"]) == (204, "?0")
        assert int(answer.headers["upload-offset"]) == at == offset(ann, path)
    # All bytes are there, and yet it is not complete before that is said.
    assert patch(ann, path, at, data[at:]).status_code == 204
    head = ann.send("HEAD", path)
    assert (head.headers["upload-complete"], head.headers["upload-length"]) == ("?0", str(len(data)))
    last = patch(ann, path, len(data), b"", complete=True)
    assert (last.status_code, last.headers["upload-complete"], last.json()["name"]) == (200, "?1", "film.mkv")
    assert ann.get(f"/api/v1/files/{last.json()['id']}/content").content == data
    assert ann.send("HEAD", path).headers["upload-complete"] == "?1"
    assert patch(ann, path, len(data), b"", complete=True).json() == last.json(), "a lost answer is given again"
    problem(ann.delete(path), 409, "conflict")


def test_a_file_goes_in_one_request(ann):
    data = noise(MIB + 1)
    whole = ann.post(RESUMABLE, headers={"Upload-Complete": "?1", "Upload-Draft-Interop-Version": "8"}, data=data)
    assert whole.status_code == 201, whole.text
    assert whole.headers["upload-complete"] == "?1" and whole.headers["upload-draft-interop-version"] == "8"
    assert whole.json()["name"] == "unnamed"
    assert ann.get(f"/api/v1/files/{whole.json()['id']}/content").content == data
    key = {"Idempotency-Key": str(uuid.uuid4())}
    begun = [begin(ann, 5, b"01", key) for _ in range(2)]
    assert begun[0].headers["location"] == begun[1].headers["location"]
    assert begun[1].headers["upload-offset"] == "2"


def test_what_contradicts_itself_is_refused(ann, bob, stranger):
    path = begin(ann, 10, b"012").headers["location"]
    answer = patch(ann, path, 5, b"x")
    assert answer.status_code == 409 and answer.headers["content-type"] == "application/problem+json"
    assert (answer.headers["upload-offset"], answer.headers["upload-complete"]) == ("3", "?0")
    details = answer.json()
    assert (details["type"], details["expected-offset"], details["provided-offset"]) == (MISMATCH, 3, 5)
    inconsistent = [
        ann.post(RESUMABLE, headers={"Upload-Complete": "?1", "Upload-Length": "5"}, data=b"1234"),
        patch(ann, path, 3, b"x", headers={"Upload-Length": "11"}),
        patch(ann, path, 3, b"x", complete=True),
    ]
    for answer in inconsistent:
        assert (answer.status_code, answer.json()["type"]) == (400, INCONSISTENT)
    problem(patch(ann, path, 3, b"x" * 8), 413, "invalid")
    problem(ann.post(RESUMABLE, data=b"x"), 400, "invalid")
    problem(ann.post(RESUMABLE, headers={"Upload-Complete": "?0"}, data=b"x"), 400, "invalid")
    problem(ann.post(RESUMABLE, headers={"Upload-Complete": "true", "Upload-Length": "1"}, data=b"x"), 400, "invalid")
    problem(ann.send("PATCH", path, headers={"Upload-Offset": "3", "Upload-Complete": "?0"}, data=b"x"), 415, "invalid")
    problem(ann.post(RESUMABLE, headers={"Upload-Draft-Interop-Version": "7"}), 400, "unsupported-version")
    problem(stranger.post(RESUMABLE, headers={"Upload-Complete": "?1"}, data=b"x"), 401, "bad-token")
    problem(patch(bob, path, 3, b"x"), 404, "not-found")
    assert offset(ann, path) == 3


def test_limits_are_said_and_held(ann):
    limits = ann.send("OPTIONS", RESUMABLE).headers["upload-limit"]
    assert limits == f"max-size={MAX_FILE_SIZE}, max-age={7 * 86_400}"
    assert begin(ann, MAX_FILE_SIZE).headers["upload-limit"].startswith(f"max-size={MAX_FILE_SIZE}, max-age=6")
    assert problem(begin(ann, MAX_FILE_SIZE + 1), 413, "limit-reached")["limit"] == MAX_FILE_SIZE


def test_a_digest_is_checked_before_anything_counts(ann):
    data = noise(MIB + 9)
    path = begin(ann, len(data)).headers["location"]
    problem(patch(ann, path, 0, data, headers={"Content-Digest": digest(b"other")}), 400, "hash-mismatch")
    assert offset(ann, path) == 0
    last = patch(ann, path, 0, data, complete=True, headers={"Content-Digest": digest(data)})
    assert last.status_code == 200, last.text


def test_an_upload_is_cancelled(ann):
    path = begin(ann, 10, b"x").headers["location"]
    assert ann.delete(path).status_code == 204
    assert ann.send("HEAD", path).status_code == 404


def test_an_upload_goes_on_by_another_protocol_and_after_a_crash(tmp_path, version):
    server = Server(tmp_path)
    try:
        ann = register(server, version)
        data = noise(MIB + 99)
        path = begin(ann, len(data), data[:1_000]).headers["location"]
        server.kill()
        server.start()
        ann = Client(server, version, ann.token)
        assert offset(ann, path) == 1_000
        tus = path.replace("resumable", "tus")
        headers = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream", "Upload-Offset": "1000"}
        assert ann.send("PATCH", tus, headers=headers, data=data[1_000:2_000]).status_code == 204
        last = patch(ann, path, 2_000, data[2_000:], complete=True)
        assert ann.get(f"/api/v1/files/{last.json()['id']}/content").content == data
    finally:
        server.kill()


def test_it_is_off_unless_the_operator_wants_it(tmp_path):
    server = Server(tmp_path, RESUMABLE_UPLOADS_DRAFT="")
    try:
        ann = register(server, "h2")
        problem(begin(ann, 1), 404, "not-found")
        assert RESUMABLE not in ann.get("/openapi.json").json()["paths"]
    finally:
        server.kill()
