"""A client generated from the API's document alone compiles, and does what it says."""

import json
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).parents[3]
SOURCES = ROOT / "server" / "tests" / "typescript"


def test_a_generated_client_holds_a_conversation(server, tmp_path):
    for source in [*SOURCES.iterdir(), ROOT / "docs" / "openapi.json"]:
        shutil.copy(source, tmp_path)
    (tmp_path / "node_modules").symlink_to(os.environ["HYPERSEND_NODE_MODULES"])
    for step in ["generate", "build"]:
        done = subprocess.run(["npm", "run", "--silent", step], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    trust = {**os.environ, "NODE_EXTRA_CA_CERTS": server.certificate}
    command = ["node", "built/conversation.js", server.base]
    done = subprocess.run(command, cwd=tmp_path, env=trust, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"text": "the film", "name": "film.mkv", "size": 3_000_000, "equal": True}
