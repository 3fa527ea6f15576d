"""Files from a form, as `curl -F` and browsers send them."""

import random
import socket
import ssl
import uuid

import pytest
from conftest import MAX_FILE_SIZE, Client, Server, problem, register
from curl_cffi import CurlMime

MIB = 1 << 20
FILES = "/api/v1/files"
MAX_FILES = 32
MAX_FORM = 4 << 30


def noise(length: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(length)


def send(client, files, headers=None):
    form = CurlMime()
    for name, data in files:
        form.addpart(name="file", filename=name, data=data, content_type="application/octet-stream")
    try:
        return client.post(FILES, multipart=form, headers=headers)
    finally:
        form.close()


def test_files_go_in_a_form(ann):
    files = [("film.mkv", noise(3 * MIB + 77)), ("empty", b""), ("notes.txt", b"\r\n--\r\n"), ("été.bin", noise(MIB))]
    answer = send(ann, files)
    assert answer.status_code == 201, answer.text
    views = answer.json()
    assert [(view["name"], view["size"]) for view in views] == [(name, len(data)) for name, data in files]
    for view, (_, data) in zip(views, files):
        assert ann.get(f"{FILES}/{view['id']}/content").content == data


def test_a_form_sent_twice_is_stored_once(ann):
    key = {"Idempotency-Key": str(uuid.uuid4())}
    twice = [send(ann, [("a", b"one"), ("a", b"one")], key).json() for _ in range(2)]
    assert twice[0] == twice[1] and len({view["id"] for view in twice[0]}) == 2
    problem(send(ann, [("a", b"other")], key), 409, "conflict")


def test_a_form_is_stored_whole_or_not_at_all(ann, stranger):
    problem(send(ann, [("a", b"one"), ("b/c", b"two")]), 400, "invalid")
    assert problem(send(ann, [("a", b"one"), ("b", bytes(MAX_FILE_SIZE + 1))]), 413, "limit-reached")["limit"] == MAX_FILE_SIZE
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\ndata\r\n'
    for body in (part, part + b"--x", b"--x--", part + b'--x\r\nContent-Disposition: form-data; name="b"\r\n\r\n5\r\n--x--'):
        problem(ann.post(FILES, data=body, headers=kind), 400, "invalid")
    problem(ann.post(FILES, data=b"x", headers={"Content-Type": "text/plain"}), 415, "invalid")
    problem(send(stranger, [("a", b"one")]), 401, "bad-token")
    assert ann.get(FILES).json()["items"] == []


def test_the_number_of_files_is_limited(ann):
    many = [(f"file {n}", b"x") for n in range(MAX_FILES + 1)]
    assert problem(send(ann, many), 422, "limit-reached")["limit"] == MAX_FILES
    assert len(send(ann, many[:-1]).json()) == MAX_FILES
    assert send(ann, [("large", bytes(MAX_FILE_SIZE))]).status_code == 201


@pytest.mark.parametrize("length, status", [(MAX_FORM + 1, 413), (MAX_FORM, 400), (None, 411)])
def test_the_length_of_a_form_is_said_and_limited(server, length, status):
    """By its announced length alone: a form within the limit is refused for what it is, and not before it is read."""
    ann = register(server, "h1")
    trusted = ssl.create_default_context(cafile=server.certificate)
    with socket.create_connection(("localhost", server.port), timeout=30) as plain:
        with trusted.wrap_socket(plain, server_hostname="localhost") as connection:
            said = f"Content-Length: {length}" if length else "Transfer-Encoding: chunked"
            head = f"POST {FILES} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ann.token}\r\n{said}\r\n"
            head += "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
            connection.sendall(head.encode())
            if length:
                connection.sendall(b"--x\r\nContent-Disposition: form-data\r\n\r\n")
            assert int(connection.recv(4096).split()[1]) == status


def test_memory_stays_flat(tmp_path):
    server = Server(tmp_path, MAX_FILE_SIZE="1G")
    try:
        ann = register(server, "h2")
        assert send(ann, [("large", bytes(300 * MIB))]).status_code == 201
        status = (tmp_path.parent / f"/proc/{server.process.pid}/status").read_text()
        peak = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
        assert peak < 100 << 10, f"{peak} KiB"
    finally:
        server.kill()
