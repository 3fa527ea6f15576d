"""Every operation over every HTTP version."""

import concurrent.futures
import json
import os
import uuid

import pytest
from conftest import MAX_FILE_SIZE, PASSWORD, digest, problem, register

MIB = 1 << 20


def test_a_login_lives_by_its_tokens(ann, stranger):
    assert ann.get("/api/v1/users/me").json()["email"] == ann.email
    again = stranger.post("/api/v1/auth/login", json={"email": ann.email.upper(), "password": PASSWORD})
    assert again.status_code == 200 and again.json()["user"]["email"] == ann.email

    first = ann.login["refresh_token"]
    second = stranger.post("/api/v1/auth/refresh", json={"refresh_token": first}).json()
    third = stranger.post("/api/v1/auth/refresh", json={"refresh_token": second["refresh_token"]}).json()
    problem(stranger.post("/api/v1/auth/refresh", json={"refresh_token": first}), 401, "session-ended")
    problem(ann.get("/api/v1/users/me", headers={"Authorization": f"Bearer {third['access_token']}"}), 401, "session-ended")


def test_logging_out_ends_the_tokens(ann):
    assert ann.post("/api/v1/auth/logout").status_code == 204
    problem(ann.get("/api/v1/users/me"), 401, "session-ended")


def test_logins_are_listed_and_ended(ann, stranger):
    other = stranger.post("/api/v1/auth/login", json={"email": ann.email, "password": PASSWORD}).json()
    sessions = ann.get("/api/v1/auth/sessions").json()["items"]
    assert [(session["id"], session["current"]) for session in sessions] == [
        (other["session"], False),
        (ann.login["session"], True),
    ]
    assert ann.delete(f"/api/v1/auth/sessions/{other['session']}").status_code == 204
    problem(ann.delete(f"/api/v1/auth/sessions/{uuid.uuid4()}"), 404, "not-found")
    headers = {"Authorization": f"Bearer {other['access_token']}"}
    problem(ann.get("/api/v1/users/me", headers=headers), 401, "session-ended")


def test_people_change_their_names(ann, bob):
    assert ann.send("PATCH", "/api/v1/users/me", json={"name": "Anna"}).json()["name"] == "Anna"
    assert ann.get("/api/v1/users/me").json()["name"] == "Anna"
    assert bob.get(f"/api/v1/users?email={ann.email}").json()["name"] == "Anna"


def test_a_file_is_deleted_by_its_owner(ann, bob):
    file = ann.put("/api/v1/files/named/film.mkv", data=b"film").json()
    path = f"/api/v1/files/{file['id']}"
    problem(bob.delete(path), 404, "not-found")
    chat = ann.post("/api/v1/chats", json={"kind": "direct", "email": bob.email}).json()
    ann.post(f"/api/v1/chats/{chat['id']}/messages", json={"files": [file["id"]]})
    problem(bob.delete(path), 403, "forbidden")
    assert ann.delete(path).status_code == 204
    for client in (ann, bob):
        problem(client.get(f"{path}/content"), 404, "not-found")
    assert ann.get("/api/v1/files").json()["items"] == []


def test_strangers_are_told_what_is_missing(stranger, ann):
    answer = stranger.get("/api/v1/users/me")
    problem(answer, 401, "bad-token")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    problem(stranger.get(f"/api/v1/users/me?access_token={ann.token}"), 401, "bad-token")
    wrong = stranger.post("/api/v1/auth/login", json={"email": ann.email, "password": "wrong horse"})
    unknown = stranger.post("/api/v1/auth/login", json={"email": "nobody@example.org", "password": "wrong horse"})
    assert problem(wrong, 401, "wrong-credentials") == problem(unknown, 401, "wrong-credentials")
    taken = stranger.post("/api/v1/auth/register", json={"email": ann.email, "name": "A", "password": PASSWORD})
    problem(taken, 409, "email-taken")
    short = stranger.post("/api/v1/auth/register", json={"email": "x@example.org", "name": "X", "password": "short"})
    assert problem(short, 400, "invalid")["limit"] == 8


def test_nonsense_is_a_problem_and_never_a_fault(ann):
    problem(ann.get("/api/v1/nothing"), 404, "not-found")
    problem(ann.get("/api/v1/chats/no-id"), 404, "not-found")
    problem(ann.send("PATCH", "/api/v1/chats"), 405, "invalid")
    problem(ann.post("/api/v1/chats", data="{", headers={"Content-Type": "application/json"}), 400, "invalid")
    problem(ann.post("/api/v1/chats", data="{}", headers={"Content-Type": "text/plain"}), 415, "invalid")
    problem(ann.post("/api/v1/chats", json={"kind": "direct", "email": "no address"}), 400, "invalid")
    long = json.dumps({"kind": "group", "title": "x" * (600 << 10)})
    problem(ann.post("/api/v1/chats", data=long, headers={"Content-Type": "application/json"}), 413, "invalid")
    problem(ann.get("/api/v1/chats?limit=0"), 400, "invalid")
    problem(ann.get("/api/v1/chats?cursor=x"), 400, "invalid")
    assert "x-request-id" in ann.get("/api/v1/users/me").headers


def test_people_talk(ann, bob):
    chat = ann.post("/api/v1/chats", json={"kind": "direct", "email": bob.email}).json()
    assert ann.post("/api/v1/chats", json={"kind": "direct", "email": bob.email}).json()["id"] == chat["id"]
    path = f"/api/v1/chats/{chat['id']}"
    key = {"Idempotency-Key": str(uuid.uuid4())}
    posted = [ann.post(f"{path}/messages", json={"text": "hello"}, headers=key) for _ in range(2)]
    assert [answer.status_code for answer in posted] == [201, 201]
    assert posted[0].json() == posted[1].json() and posted[0].json()["seq"] == 1
    line = bob.get("/api/v1/chats").json()["items"][0]
    assert (line["id"], line["unread"], line["last_message"]["text"]) == (chat["id"], 1, "hello")
    assert bob.put(f"{path}/read", json={"seq": 1}).json() == {"seq": 1}
    assert bob.get("/api/v1/chats").json()["items"][0]["unread"] == 0

    problem(bob.delete(f"{path}/messages/1"), 403, "forbidden")
    assert ann.delete(f"{path}/messages/1").status_code == 204
    message = bob.get(f"{path}/messages").json()["items"][0]
    assert message["text"] is None and message["deleted"] and message["revision"] == 1
    problem(ann.post(f"{path}/messages", json={"text": " "}), 400, "invalid")
    problem(ann.post(f"{path}/messages", json={}), 400, "invalid")


def test_groups_are_made_once_and_paged(server, version, ann, bob):
    carol = register(server, version, "Carol")
    key = {"Idempotency-Key": "the film club"}
    new = {"kind": "group", "title": "Film club", "members": [bob.email]}
    group = ann.post("/api/v1/chats", json=new, headers=key).json()
    assert ann.post("/api/v1/chats", json=new, headers=key).json()["id"] == group["id"]
    path = f"/api/v1/chats/{group['id']}"
    problem(carol.get(path), 404, "not-found")
    problem(bob.post(f"{path}/members", json={"emails": [carol.email]}), 403, "forbidden")
    assert len(ann.post(f"{path}/members", json={"emails": [carol.email]}).json()["members"]) == 3
    me = carol.get("/api/v1/users/me").json()["id"]
    assert carol.delete(f"{path}/members/{me}").status_code == 204
    problem(carol.get(f"{path}/messages"), 404, "not-found")

    for n in range(5):
        ann.post("/api/v1/chats", json={"kind": "group", "title": f"group {n}"})
    seen, cursor = [], ""
    while True:
        page = ann.get(f"/api/v1/chats?limit=2{cursor}").json()
        seen += [chat["id"] for chat in page["items"]]
        if "next" not in page:
            break
        cursor = f"&cursor={page['next']}"
    assert len(seen) == len(set(seen)) == 6


def test_a_file_goes_and_comes_back(ann, bob):
    content = os.urandom(5 * MIB + 123)
    key = {"Idempotency-Key": str(uuid.uuid4())}
    stored = ann.put("/api/v1/files/named/film%20%C3%BC.mkv", data=content, headers=key)
    assert stored.status_code == 201 and stored.json()["name"] == "film ü.mkv"
    assert ann.put("/api/v1/files/named/film%20%C3%BC.mkv", data=content, headers=key).status_code == 200
    file = stored.json()
    path = f"/api/v1/files/{file['id']}"
    assert ann.get(path).json() == file
    assert ann.get("/api/v1/files").json()["items"] == [file]

    whole = ann.get(f"{path}/content")
    assert whole.content == content
    tag = whole.headers["etag"]
    assert tag == f'"{file["blake3"]}"' and whole.headers["accept-ranges"] == "bytes"
    assert "film%20%C3%BC.mkv" in whole.headers["content-disposition"]
    head = ann.send("HEAD", f"{path}/content")
    assert head.status_code == 200 and head.headers["content-length"] == str(len(content)) and head.content == b""

    def ranged(value, **headers):
        return ann.get(f"{path}/content", headers={"Range": value, **headers})

    middle = ranged("bytes=1048570-2097160")
    assert middle.status_code == 206 and middle.content == content[1048570:2097161]
    assert middle.headers["content-range"] == f"bytes 1048570-2097160/{len(content)}"
    assert ranged("bytes=-5").content == content[-5:]
    assert ranged("bytes=0-0", **{"If-Range": '"other"'}).content == content
    beyond = ranged(f"bytes={len(content)}-")
    problem(beyond, 416, "invalid")
    assert beyond.headers["content-range"] == f"bytes */{len(content)}"
    assert ann.get(f"{path}/content", headers={"If-None-Match": tag}).status_code == 304
    problem(ann.get(f"{path}/content", headers={"If-Match": '"other"'}), 412, "conflict")

    problem(bob.get(path), 404, "not-found")
    problem(bob.get(f"{path}/content"), 404, "not-found")
    chat = ann.post("/api/v1/chats", json={"kind": "direct", "email": bob.email}).json()
    ann.post(f"/api/v1/chats/{chat['id']}/messages", json={"files": [file["id"]]})
    card = bob.get(f"/api/v1/chats/{chat['id']}/messages").json()["items"][0]["files"][0]
    assert card == {"id": file["id"], "name": file["name"], "size": file["size"]}
    assert bob.get(f"{path}/content").content == content


def test_an_upload_in_chunks_is_resumed_and_checked(ann, bob):
    content = os.urandom(9 * MIB + 7)
    new = {"name": "film.mkv", "size": len(content), "key": os.urandom(32).hex()}
    upload = ann.post("/api/v1/uploads", json=new).json()
    assert (upload["chunk_size"], upload["chunk_count"], upload["stored"]) == (MIB, 10, [])
    path = f"/api/v1/uploads/{upload['id']}"

    def chunk(n):
        return content[n * MIB : (n + 1) * MIB]

    def put(n, **headers):
        return ann.put(f"{path}/chunks/{n}", data=chunk(n), headers=headers)

    problem(bob.get(path), 404, "not-found")
    problem(bob.put(f"{path}/chunks/0", data=chunk(0)), 404, "not-found")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert [answer.status_code for answer in pool.map(put, [9, 3, 0, 1, 4])] == [204] * 5
    assert ann.get(path).json()["stored"] == [[0, 1], [3, 4], [9, 9]]
    assert ann.post("/api/v1/uploads", json=new).json()["stored"] == [[0, 1], [3, 4], [9, 9]]
    problem(put(2, **{"Content-Digest": digest(b"something else")}), 400, "hash-mismatch")
    problem(ann.put(f"{path}/chunks/2", data=b"short"), 400, "invalid")
    problem(ann.put(f"{path}/chunks/10", data=b""), 404, "not-found")
    problem(ann.post(f"{path}/complete"), 409, "incomplete")
    assert ann.get(path).json()["stored"] == [[0, 1], [3, 4], [9, 9]]
    for n in [2, 5, 6, 7, 8]:
        assert put(n, **{"Content-Digest": digest(chunk(n))}).status_code == 204
    file = ann.post(f"{path}/complete").json()
    assert ann.post(f"{path}/complete").json() == file, "an answer may be lost"
    assert ann.get(path).json()["file"] == file
    assert ann.get(f"/api/v1/files/{file['id']}/content").content == content


def test_an_upload_may_be_dropped(ann):
    upload = ann.post("/api/v1/uploads", json={"name": "film.mkv", "size": 5}).json()
    path = f"/api/v1/uploads/{upload['id']}"
    assert ann.delete(path).status_code == 204
    problem(ann.get(path), 404, "not-found")
    assert ann.delete(path).status_code in (204, 404), "an answer may be lost"


def test_what_is_too_large_is_refused_before_it_is_sent(ann):
    limit = problem(ann.post("/api/v1/uploads", json={"name": "x", "size": MAX_FILE_SIZE + 1}), 413, "limit-reached")
    assert limit["limit"] == MAX_FILE_SIZE
    assert ann.post("/api/v1/uploads", json={"name": "x", "size": MAX_FILE_SIZE}).status_code == 201
    problem(ann.put("/api/v1/files/named/x", data=b"x" * (MAX_FILE_SIZE + 1)), 413, "limit-reached")
    problem(ann.put("/api/v1/files/named/a%2Fb", data=b"x"), 400, "invalid")


def test_an_empty_file_is_a_file(ann):
    file = ann.put("/api/v1/files/named/empty", data=b"", headers={"Content-Length": "0"}).json()
    assert file["size"] == 0
    assert ann.get(f"/api/v1/files/{file['id']}/content").content == b""


def test_the_server_says_what_it_can(stranger, version):
    answer = stranger.get("/api/v1/capabilities")
    limits = answer.json()["limits"]
    assert (limits["max_file_size"], limits["max_checked_append"], limits["max_form"]) == (MAX_FILE_SIZE, 64 << 20, 4 << 30)
    assert answer.json()["resumable_uploads_draft"]
    assert stranger.get("/healthz").text == "ok\n" and stranger.get("/readyz").text == "ready\n"
    document = stranger.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1") and "/api/v1/files/{file}/content" in document["paths"]
    assert "swagger" in stranger.get("/docs/").text.lower()
    assert ("alt-svc" in answer.headers) == (version != "h3"), "TCP points at HTTP/3"


@pytest.mark.parametrize("origin", ["https://evil.example"])
def test_other_origins_are_not_let_in(ann, origin):
    answer = ann.get("/api/v1/users/me", headers={"Origin": origin})
    assert "access-control-allow-origin" not in answer.headers
