"""An HTTP client that costs little, and what it measures."""

import socket
import time
from urllib.parse import urlsplit


class Client:
    """One connection."""

    def __init__(self, url):
        parts = urlsplit(url)
        self.host = parts.netloc
        self.socket = socket.create_connection((parts.hostname, parts.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, path, method="GET"):
        """The body of the answer, which has to be a good one."""
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\nhost: {self.host}\r\n\r\n".encode())
        received = b""
        while b"\r\n\r\n" not in received:
            received += self.some()
        head, body = received.split(b"\r\n\r\n", 1)
        status = int(head.split(b" ", 2)[1])
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        while len(body) < length:
            body += self.some()
        if status >= 300:
            raise RuntimeError(f"{path}: {status} {body[:200]}")
        return body

    def some(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise RuntimeError("the connection was closed")
        return data

    def lines(self, path):
        """How many lines of JSON an answer has, which is not kept."""
        # Those of the protocol end in two bytes, those of the answer in one.
        return sum(piece.count(b"\n") - piece.count(b"\r") for piece in map(bytes, self.stream(path)))

    def drain(self, path):
        """Takes an answer to its end and throws it away: what a client costs is taken from a service on the same cores."""
        for _ in self.stream(path):
            pass

    def stream(self, path):
        """An answer in pieces, each of which stands until the next."""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nhost: {self.host}\r\nconnection: close\r\n\r\n".encode())
        buffer, end = memoryview(bytearray(1 << 18)), b""
        while size := self.socket.recv_into(buffer):
            yield buffer[:size]
            end = (end + buffer[max(0, size - 5) : size])[-5:]
        if end != b"0\r\n\r\n":
            raise RuntimeError(f"{path}: cut off")


def latency(client, path, seconds=4, most=400):
    """Median and 99th percentile in ms, without the first answers."""
    for _ in range(5):
        client.ask(path)
    took, end = [], time.perf_counter() + seconds
    while len(took) < most and (time.perf_counter() < end or len(took) < 5):
        begun = time.perf_counter()
        client.ask(path)
        took.append((time.perf_counter() - begun) * 1000)
    took.sort()
    return {"p50": took[len(took) // 2], "p99": took[min(len(took) - 1, len(took) * 99 // 100)], "asked": len(took)}
