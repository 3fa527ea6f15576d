"""HTTP clients that are not ours: curl, or niquests, whichever HYPERSEND_HTTP_CLIENT names. Each is one HTTP version."""

import os

NAME = os.environ.get("HYPERSEND_HTTP_CLIENT", "curl")


class Curl:
    """curl by curl_cffi."""

    def __init__(self, version: str, port: int, certificate: str):
        from curl_cffi import CurlHttpVersion, requests

        versions = {"h1": CurlHttpVersion.V1_1, "h2": CurlHttpVersion.V2TLS, "h3": CurlHttpVersion.V3ONLY}
        self.session = requests.Session(http_version=versions[version], verify=certificate)

    def request(self, method: str, url: str, **more):
        response = self.session.request(method, url, timeout=60, **more)
        # As curl counts them (CURLINFO_HTTP_VERSION).
        response.spoken = {1: "h1", 2: "h1", 3: "h2", 30: "h3", 31: "h3"}[response.http_version]
        return response

    def stream(self, url: str, take, **more):
        """Gives the body to `take`, piece by piece as it comes."""

        def counted(piece):
            take(piece)
            return len(piece)

        return self.session.get(url, content_callback=counted, timeout=60, **more)

    def close(self):
        self.session.close()


class Niquests:
    """niquests: urllib3-future over TCP, qh3 over QUIC."""

    def __init__(self, version: str, port: int, certificate: str):
        import niquests

        others = {f"disable_http{other}": True for other in "123" if f"h{other}" != version}
        self.session, self.certificate = niquests.Session(**others), certificate
        if version == "h3":
            self.session.quic_cache_layer.add_domain("localhost", port)

    def request(self, method: str, url: str, **more):
        response = self.session.request(method, url, timeout=60, verify=self.certificate, **more)
        response.spoken = {10: "h1", 11: "h1", 20: "h2", 30: "h3"}[response.http_version]
        return response

    def stream(self, url: str, take, **more):
        """Gives the body to `take`, piece by piece as it comes."""
        response = self.session.get(url, timeout=60, verify=self.certificate, stream=True, **more)
        for piece in response.iter_content(-1):
            take(piece)
        return response

    def close(self):
        self.session.close()


CLIENTS = {"curl": Curl, "niquests": Niquests}
Http = CLIENTS[NAME]
ConnectionError = OSError  # both derive their errors from it
