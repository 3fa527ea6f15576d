"""A server that is told to stop lets requests under way finish."""

import os

from conftest import Server, register


def test_a_download_under_way_outlives_the_order_to_stop(tmp_path, version):
    server = Server(tmp_path)
    ann = register(server, version)
    content = os.urandom(48 << 20)
    file = ann.put("/api/v1/files/named/film.mkv", data=content).json()
    received = bytearray()

    def take(piece):
        if not received:
            server.process.terminate()
        received.extend(piece)

    ann.stream(f"/api/v1/files/{file['id']}/content", take)
    assert bytes(received) == content
    ann.http.close()
    assert server.process.wait(timeout=10) == 0
