"""A real browser, which is made to speak QUIC: what a page of somebody's own does with the API, over HTTP/3."""

import base64
import hashlib
import os
import subprocess

import pytest
from conftest import PASSWORD

CHROMIUM = os.environ.get("HYPERSEND_CHROMIUM")
SIZE = 40 << 20

CONVERSATION = """
async ([password, size]) => {
    const call = async (method, path, token, body, type = "application/json") => {
        const headers = { "Content-Type": type, ...(token && { Authorization: `Bearer ${token}` }) };
        const answer = await fetch(`/api/v1${path}`, { method, headers, body });
        if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
        return answer;
    };
    const json = async (...request) => (await call(...request)).json();
    const register = async (name) => {
        const email = `${name}-${crypto.randomUUID()}@example.org`;
        const login = await json("POST", "/auth/register", null, JSON.stringify({ email, name, password }));
        return { email, token: login.access_token };
    };
    const [ann, bob] = [await register("ann"), await register("bob")];

    // Bob listens: an EventSource cannot send a header, so it shows a ticket.
    const { ticket } = await json("POST", "/events/tickets", bob.token);
    const source = new EventSource(`/api/v1/events?after=0&ticket=${encodeURIComponent(ticket)}`);
    const posted = new Promise((resolve, reject) => {
        source.onmessage = ({ data }) => {
            const event = JSON.parse(data);
            if (event.type === "posted") resolve(event.message);
        };
        source.onerror = () => reject(new Error("the events broke off"));
    });

    // Ann sends a file, its chunks side by side, and posts it.
    const content = new Uint8Array(size);
    for (let at = 0; at < size; at += 65536) crypto.getRandomValues(content.subarray(at, at + 65536));
    const upload = await json("POST", "/uploads", ann.token, JSON.stringify({ name: "film.mkv", size }));
    await Promise.all(Array.from({ length: upload.chunk_count }, (_, index) => {
        const chunk = content.subarray(index * upload.chunk_size, (index + 1) * upload.chunk_size);
        const path = `/uploads/${upload.id}/chunks/${index}`;
        return call("PUT", path, ann.token, chunk, "application/octet-stream");
    }));
    const file = await json("POST", `/uploads/${upload.id}/complete`, ann.token, "{}");
    const chat = await json("POST", "/chats", ann.token, JSON.stringify({ kind: "direct", email: bob.email }));
    const message = JSON.stringify({ text: "the film", files: [file.id] });
    await json("POST", `/chats/${chat.id}/messages`, ann.token, message);

    // Bob has heard of it, and fetches it.
    const heard = await posted;
    source.close();
    const fetched = await call("GET", `/files/${heard.files[0].id}/content`, bob.token);
    const bytes = new Uint8Array(await fetched.arrayBuffer());
    const digest = async (data) => new Uint8Array(await crypto.subtle.digest("SHA-256", data)).join();
    const entries = performance.getEntriesByType("resource").filter(({ name }) => name.includes("/api/v1/"));
    return {
        text: heard.text,
        equal: (await digest(bytes)) === (await digest(content)),
        protocols: [...new Set(entries.map(({ nextHopProtocol }) => nextHopProtocol))],
    };
}
"""


def key_hash(certificate: str) -> str:
    """What Chromium calls a certificate that it is told to trust: the SHA-256 of its public key."""
    key = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], check=True, capture_output=True)
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], check=True, capture_output=True, input=key.stdout)
    return base64.b64encode(hashlib.sha256(der.stdout).digest()).decode()


@pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium")
def test_two_people_converse_in_a_browser_over_http3(server):
    from playwright.sync_api import sync_playwright

    origin = f"localhost:{server.port}"
    flags = [
        f"--origin-to-force-quic-on={origin}",
        f"--ignore-certificate-errors-spki-list={key_hash(server.certificate)}",
        "--host-resolver-rules=MAP localhost 127.0.0.1",
        "--no-sandbox",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_page()
        page.goto(f"https://{origin}/docs/")
        assert page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol") == "h3"
        said = page.evaluate(CONVERSATION, [PASSWORD, SIZE])
        browser.close()
    assert said == {"text": "the film", "equal": True, "protocols": ["h3"]}
