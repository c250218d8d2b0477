"""A server on this machine that speaks https, with a certificate of its own making."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Answer = tuple[int, dict[str, str], bytes]

# Good for nothing but this: of 127.0.0.1, and in nobody's list of certificates.
KEY_AND_CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgiLH8aSmAm6NVuHoY
9TIEtqUcTX8hfOtMtHibA434AtqhRANCAAQQPA2z5uoD+TpARiXLvjZq/E0wiFSJ
/t2zZZz/XG++5wHwzWw/bVLQ3q76Hw+lnF3GjpIn9lSS/qSi5786HrHs
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBmTCCAT6gAwIBAgIUMY2YsSroYIe37/QT5YJleFKSXH4wCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNbXVsdGlkZCB0ZXN0czAgFw0yNjExMzAwOTM0MTBaGA8yMTI2
MTEwNjA5MzQxMFowGDEWMBQGA1UEAwwNbXVsdGlkZCB0ZXN0czBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABBA8DbPm6gP5OkBGJcu+Nmr8TTCIVIn+3bNlnP9cb77n
AfDNbD9tUtDervofD6WcXcaOkif2VJL+pKLnvzoeseyjZDBiMB0GA1UdDgQWBBRB
6/rCYZweQNKxg5ozE/KXznkHNjAfBgNVHSMEGDAWgBRB6/rCYZweQNKxg5ozE/KX
znkHNjAPBgNVHRMBAf8EBTADAQH/MA8GA1UdEQQIMAaHBH8AAAEwCgYIKoZIzj0E
AwIDSQAwRgIhANEMfQCYxiW5V4AuipzxmEzU5nCbhtvb/YRgB/JLVGfOAiEAgHUu
kjFG62Y3drOXzFvkN+GIpr4JrwzuGYTGZbpi1Qo=
-----END CERTIFICATE-----
"""


@contextmanager
def serving(folder: Path, answers: dict[str, Answer]) -> Iterator[tuple[str, Path]]:
    """Serve answers by path.

    Args:
        folder: where the certificate is written.
        answers: path -> status, headers and body.

    Returns:
        The address, and the file of the certificate.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answers[self.path]
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    path = folder / "certificate.pem"
    path.write_text(KEY_AND_CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # A client that refuses the certificate fails its own thread, not the server.
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}", path
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
