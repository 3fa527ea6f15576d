"""A real server process, and clients that are not ours, over HTTP/1.1, HTTP/2 and HTTP/3."""

import base64
import hashlib
import os
import pathlib
import subprocess
import uuid

import pytest
from clients import Http

VERSIONS = ["h1", "h2", "h3"]
PASSWORD = "correct horse battery"
MAX_FILE_SIZE = 64 << 20


class Server:
    def __init__(self, home: pathlib.Path, **settings: str):
        self.home, self.settings = home, settings
        home.mkdir(exist_ok=True)
        self.log = open(home / "log", "ab")
        self.address = "127.0.0.1:0"
        self.start()

    def start(self):
        usual = {
            "LISTEN": self.address,
            "RELAY_LISTEN": "127.0.0.1:0",
            "BCRYPT_COST": "10",
            "MAX_FILE_SIZE": str(MAX_FILE_SIZE),
            "LOGINS_PER_ACCOUNT_PER_MINUTE": "100000",
            "LOGINS_PER_ADDRESS_PER_MINUTE": "100000",
            "REGISTRATIONS_PER_ADDRESS_PER_MINUTE": "100000",
            "RESUMABLE_UPLOADS_DRAFT": "on",
        } | self.settings
        self.process = subprocess.Popen(
            [os.environ["HYPERSEND_LAB_SERVER"]], cwd=self.home, env=usual, stdout=subprocess.PIPE, stderr=self.log
        )
        line = self.process.stdout.readline().decode()
        assert line.startswith("listening on "), (line, (self.home / "log").read_text())
        self.address = line.split()[-1]
        self.port = int(self.address.rsplit(":", 1)[1])
        self.base = f"https://localhost:{self.port}"

    @property
    def certificate(self) -> str:
        return str(self.home / "certs" / "dev-cert.pem")

    def stop(self):
        self.process.terminate()
        assert self.process.wait(timeout=10) == 0

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


class Client:
    """One HTTP version, one account."""

    def __init__(self, server: Server, version: str, token: str | None = None):
        self.server, self.version, self.token = server, version, token
        self.http = Http(version, server.port, server.certificate)

    def authorized(self, headers) -> dict:
        headers = dict(headers or {})
        if self.token and "authorization" not in {name.lower() for name in headers}:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers

    def send(self, method: str, path: str, headers=None, **more):
        response = self.http.request(method, self.server.base + path, headers=self.authorized(headers), **more)
        assert response.spoken == self.version
        return response

    def stream(self, path: str, take, headers=None):
        """Gives the answer's body to `take`, piece by piece as it comes."""
        return self.http.stream(self.server.base + path, take, headers=self.authorized(headers))

    def get(self, path, **more):
        return self.send("GET", path, **more)

    def post(self, path, **more):
        return self.send("POST", path, **more)

    def put(self, path, **more):
        return self.send("PUT", path, **more)

    def delete(self, path, **more):
        return self.send("DELETE", path, **more)


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def stranger(server, version):
    return Client(server, version)


def register(server, version, name="Ann"):
    client = Client(server, version)
    email = f"{name.lower()}-{uuid.uuid4()}@example.org"
    answer = client.post("/api/v1/auth/register", json={"email": email, "name": name, "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    client.token, client.email, client.login = answer.json()["access_token"], email, answer.json()
    return client


@pytest.fixture
def ann(server, version):
    return register(server, version, "Ann")


@pytest.fixture
def bob(server, version):
    return register(server, version, "Bob")


def problem(response, status: int, code: str) -> dict:
    """The Problem Details of a refusal."""
    assert response.status_code == status, (response.status_code, response.text)
    assert response.headers["content-type"] == "application/problem+json"
    details = response.json()
    assert (details["status"], details["code"]) == (status, code)
    assert details["type"] == f"urn:hypersend:problem:{code}" and details["title"] and details["detail"]
    return details


def digest(data: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"
