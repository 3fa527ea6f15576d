"""schemathesis makes requests of all kinds from the API's document, and holds the answers to it."""

import os
import subprocess

from conftest import register

CHECKS = ",".join(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "unsupported_method",
        "use_after_free",
    ]
)
# Answers without an end of their own, what would end the login that the other requests come with, and bodies of a type that
# schemathesis cannot make.
LEFT_OUT = "^/api/v1/(events|ws|auth/logout|tus.*|resumable.*|p2p/sessions/[^/]+/signals)$"


def test_every_answer_is_as_the_document_says(server, tmp_path):
    ann = register(server, "h1", "Ann")
    command = [os.environ["HYPERSEND_SCHEMATHESIS"], "run", f"{server.base}/openapi.json"]
    command += ["--tls-verify", server.certificate, "--header", f"Authorization: Bearer {ann.token}"]
    command += ["--checks", CHECKS, "--max-examples", "15", "--generation-deterministic", "--request-timeout", "20"]
    command += ["--exclude-path-regex", LEFT_OUT]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr
