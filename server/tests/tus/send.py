"""Sends a file by tuspy, or goes on with it: endpoint, token, file, and where the upload's address is kept."""

import pathlib
import sys

from tusclient.client import TusClient

endpoint, token, file, kept = sys.argv[1:]
address = pathlib.Path(kept)
url = address.read_text() if address.exists() else None
client = TusClient(endpoint, headers={"Authorization": f"Bearer {token}"})
uploader = client.uploader(
    file, url=url, chunk_size=9_999_991, metadata={"filename": "film.mkv"}, retries=10, retry_delay=1
)
if url is None:
    uploader.set_url(uploader.create_url())
    address.write_text(uploader.url)
print(f"from byte {uploader.offset}", flush=True)
uploader.upload()
