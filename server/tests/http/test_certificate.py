"""Certificates: obtained from an ACME server that is not ours, and replaced under connections that go on."""

import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import time

import pytest
from conftest import Server

PEBBLE = pathlib.Path(os.environ["HYPERSEND_PEBBLE"])
NAME = "chat.example.org"


def leaf(server: Server, name: str) -> bytes:
    """The certificate that the server shows to whoever asks for the name."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname=name) as tls:
            return tls.getpeercert(binary_form=True)


def eventually(what: str, look, seconds: float = 40):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError(f"in vain: {what}")


def free_port(kind=socket.SOCK_STREAM) -> int:
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Stream:
    """A connection over HTTP/1.1 that is kept."""

    def __init__(self, server: Server):
        context = ssl.create_default_context(cafile=server.certificate)
        self.tls = context.wrap_socket(socket.create_connection(("127.0.0.1", server.port)), server_hostname="localhost")

    def asks(self) -> bool:
        """Whether it is still answered."""
        self.tls.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        return self.tls.recv(1 << 12).startswith(b"HTTP/1.1 200 OK")


def test_files_that_change_are_taken_up_and_no_connection_is_dropped(tmp_path):
    other = Server(tmp_path / "other")
    other.stop()
    files = tmp_path / "files"
    shutil.copytree(other.home / "certs", files)
    cert, key = files / "dev-cert.pem", files / "dev-key.pem"
    server = Server(tmp_path / "server", TLS_CERT=str(cert), TLS_KEY=str(key))
    (server.home / "certs").mkdir(exist_ok=True)
    shutil.copy(cert, server.certificate)
    kept, before = Stream(server), leaf(server, "localhost")
    assert kept.asks()

    # Half of the change is no change: the server goes on with what it has.
    third = Server(tmp_path / "third")
    third.stop()
    shutil.copy(third.home / "certs" / "dev-key.pem", key)
    eventually("the server notices", lambda: kept.asks() and b"not taken up" in (server.home / "log").read_bytes())
    assert leaf(server, "localhost") == before
    shutil.copy(third.home / "certs" / "dev-cert.pem", cert)
    eventually("the new certificate is shown", lambda: kept.asks() and leaf(server, "localhost") != before)
    assert kept.asks()
    server.stop()


@pytest.fixture
def authority(tmp_path):
    """Starts an ACME server which believes that all names lead to this machine, at a given port."""
    if not (PEBBLE / "pebble").exists():
        pytest.skip("Debian's package pebble could not be had")
    running = []
    pems = Server(tmp_path / "pems")
    pems.stop()

    def start(port: int) -> dict:
        directory, management, dns = free_port(), free_port(), free_port(socket.SOCK_DGRAM)
        config = {
            "listenAddress": f"127.0.0.1:{directory}",
            "managementListenAddress": f"127.0.0.1:{management}",
            "certificate": pems.certificate,
            "privateKey": str(pems.home / "certs" / "dev-key.pem"),
            "httpPort": 1,
            "tlsPort": port,
        }
        (tmp_path / "pebble.json").write_text(json.dumps({"pebble": config}))
        log = open(tmp_path / "pebble.log", "ab")
        names = ["pebble-challtestsrv", "-dns01", f"127.0.0.1:{dns}", "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1"]
        names += ["-http01", "", "-https01", "", "-tlsalpn01", "", "-management", f"127.0.0.1:{free_port()}"]
        pebble = ["pebble", "-config", str(tmp_path / "pebble.json"), "-dnsserver", f"127.0.0.1:{dns}"]
        for command in [names, pebble]:
            # It waits before it checks, and refuses good nonces, unless told otherwise.
            quick = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
            program = str(PEBBLE / command[0])
            running.append(subprocess.Popen([program, *command[1:]], env=quick, stdout=log, stderr=log))

        def answers():
            try:
                return socket.create_connection(("127.0.0.1", directory), timeout=1)
            except OSError:
                return None

        eventually("pebble answers", answers).close()
        return {
            "ACME_DOMAINS": NAME,
            "ACME_CONTACT": "operator@example.org",
            "ACME_DIRECTORY": f"https://localhost:{directory}/dir",
            "ACME_ROOT": pems.certificate,
        }

    yield start
    for process in running:
        process.kill()
        process.wait()


def test_a_certificate_is_obtained_kept_and_used(tmp_path, authority):
    port = free_port()
    server = Server(tmp_path / "server", LISTEN=f"127.0.0.1:{port}", **authority(port))
    development = leaf(server, NAME)
    assert b"Pebble" not in development
    obtained = eventually("a certificate is obtained", lambda: (shown := leaf(server, NAME)) != development and shown)
    assert b"Pebble" in obtained
    kept = server.home / "data" / "acme"
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in kept.iterdir()} == {
        "account.json": "0o600",
        "cert.pem": "0o600",
        "key.pem": "0o600",
    }
    server.stop()
    server.start()
    assert leaf(server, NAME) == obtained, "it is there at once, and no other is asked for"
    server.stop()


def test_an_authority_that_does_not_find_the_server_is_told_of(tmp_path, authority):
    port = free_port()
    server = Server(tmp_path / "server", LISTEN=f"127.0.0.1:{port}", **authority(free_port()))
    told = lambda: b"did not find this server" in (server.home / "log").read_bytes()  # noqa: E731
    eventually("the operator is told", told)
    assert server.process.poll() is None
    server.stop()
