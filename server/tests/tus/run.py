"""Clients that are not ours against a server that is killed, as is the client; see scripts/tus-clients."""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "http"))

import blake3  # noqa: E402
from conftest import Server, register  # noqa: E402

MIB = 1 << 20
PIECE = 8 * MIB
PATIENCE = 600


def make(path: pathlib.Path, size: int) -> str:
    hasher = blake3.blake3()
    with open(path, "wb") as file:
        for at in range(0, size, PIECE):
            piece = os.urandom(min(PIECE, size - at))
            file.write(piece)
            hasher.update(piece)
    return hasher.hexdigest()


class Run:
    def __init__(self, client, name, program, file, *more):
        self.client, self.name, self.file = client, name, file
        self.kept = file.with_name(f"{name}.address")
        self.command = [*program, f"{client.server.base}/api/v1/tus", client.token, str(file), str(self.kept), *more]

    def start(self):
        certificate = self.client.server.certificate
        trust = {"REQUESTS_CA_BUNDLE": certificate, "NODE_EXTRA_CA_CERTS": certificate}
        self.process = subprocess.Popen(self.command, env=os.environ | trust)

    def say(self, text):
        print(f"{self.name}: {text}", flush=True)

    def upload(self) -> str:
        return self.kept.read_text().rsplit("/", 1)[1]

    def until(self, share: float):
        """Waits until so much is stored; looking does not disturb who is sending."""
        deadline = time.monotonic() + PATIENCE
        while True:
            assert time.monotonic() < deadline and self.process.poll() is None, "the client does not get on"
            if self.kept.exists() and self.kept.read_text():
                view = self.client.get(f"/api/v1/uploads/{self.upload()}").json()
                stored = sum(last - first + 1 for first, last in view["stored"])
                if stored >= share * view["chunk_count"]:
                    return stored
            time.sleep(0.05)

    def finish(self):
        assert self.process.wait(timeout=PATIENCE) == 0, "the client failed"

    def check(self, expected):
        file = self.client.get(f"/api/v1/files/{self.upload()}").json()
        assert (file["size"], file["blake3"], file["name"]) == (self.file.stat().st_size, expected, "film.mkv"), file
        self.say(f"whole, {file['size']} bytes, BLAKE3 {file['blake3'][:16]}… is the file's")


def peak_mib(server) -> int:
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) // 1024


def interrupted(run: Run, expected: str):
    begun, server = time.monotonic(), run.client.server
    run.start()
    run.say(f"{run.until(0.25)} chunks stored, the client is killed")
    run.process.kill()
    run.process.wait()
    run.start()
    run.say(f"{run.until(0.6)} chunks stored, the server is killed")
    peak = peak_mib(server)
    server.kill()
    server.start()
    run.finish()
    run.check(expected)
    run.say(f"{time.monotonic() - begun:.1f} s; the server's memory: {peak} and {peak_mib(server)} MiB at most")


def main(mib: int):
    target = HERE.parent.parent.parent / "target"
    tuspy, tus_js = [sys.executable, str(HERE / "send.py")], ["node", str(HERE / "send.mjs")]
    with tempfile.TemporaryDirectory(dir=target) as home:
        file = pathlib.Path(home) / "film.mkv"
        expected = make(file, mib * MIB - 5)
        server = Server(pathlib.Path(home), MAX_FILE_SIZE="16T", ACCESS_TOKEN_MINUTES="1440")
        try:
            client = register(server, "h2")
            interrupted(Run(client, "tuspy", tuspy, file), expected)
            interrupted(Run(client, "tus-js-client", tus_js, file, "1"), expected)
            parts = Run(client, "tus-js-client in 4 parts", tus_js, file, "4")
            parts.start()
            parts.finish()
            parts.check(expected)
        finally:
            server.kill()


main(int(sys.argv[1]))
