"""WebSockets, spoken by one thread.

The library's own blocking client reads in a thread beside the writing one, and the TLS objects of Python before 3.13 do not
bear that: connections hung, and the heap was corrupted. So its other client is driven here, one call at a time.
"""

import asyncio
import ssl

from websockets.asyncio import client


class Socket:
    """An open WebSocket; a context manager that closes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, inner: client.ClientConnection):
        self.loop, self.inner = loop, inner

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.loop.run_until_complete(self.inner.close())
        finally:
            self.loop.close()

    def send(self, said: str | bytes):
        """A message, of text or binary."""
        self.loop.run_until_complete(self.inner.send(said))

    def recv(self, timeout: float) -> str | bytes:
        """The next message, within so many seconds."""
        return self.loop.run_until_complete(asyncio.wait_for(self.inner.recv(), timeout))


def connect(server, path: str) -> Socket:
    """Opens a WebSocket at a path of a server."""
    tls = ssl.create_default_context(cafile=server.certificate)
    loop = asyncio.new_event_loop()
    try:
        # No pings: between two calls nobody would hear the answer.
        opening = client.connect(f"wss://localhost:{server.port}{path}", ssl=tls, ping_interval=None)
        return Socket(loop, loop.run_until_complete(opening.__aenter__()))
    except BaseException:
        loop.close()
        raise
