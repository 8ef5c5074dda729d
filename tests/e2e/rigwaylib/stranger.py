# SPDX-License-Identifier: MIT
"""Whoever comes to a rig's own port: any key, TLS as a laptop speaks it, and
HELLO as bytes of the protocol page. Also the datagrams of discovery, and the
inside of a code. Runs in a network namespace as a program of its own:
stranger.py ask PIN PORT [ADDRESS...] | hello HOST PORT FOLDER [WHAT]."""
import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct
import subprocess
import sys


def field(tag, value):
    return struct.pack(">BH", tag, len(value)) + value


def frame(kind, body, stream=0):
    return struct.pack(">BBHI", kind, 0, len(body), stream) + body


def hello(carrier=1, name=b"stranger", invite=None, session=None):
    body = (field(1, b"\0\1") + field(2, b"\0\1")
            + field(3, session or os.urandom(16)) + field(4, os.urandom(8))
            + field(5, bytes(8)) + field(6, struct.pack(">I", carrier))
            + field(7, b"") + field(8, struct.pack(">I", 16384))
            + field(9, struct.pack(">I", 16)) + field(10, name))
    if invite:
        body += field(11, invite[0]) + field(12, invite[1])
    return frame(1, body)


def fields(body):
    got = {}
    while body:
        tag, n = struct.unpack(">BH", body[:3])
        got[tag], body = body[3:3 + n], body[3 + n:]
    return got


def hkdf(ikm, info, n=32):
    key = hmac.new(bytes(32), ikm, hashlib.sha256).digest()
    return hmac.new(key, info + b"\1", hashlib.sha256).digest()[:n]


class Code:
    """A code's inside, as section 12 has it."""

    def __init__(self, text):
        text = text.strip()
        assert text.startswith("rw1")
        raw = text[3:].upper()
        b = base64.b32decode(raw + "=" * (-len(raw) % 8))[2:-4]
        self.kind, _, n = b[0], b[1], b[2]
        b = b[3:]
        self.relays, self.relay_pin, self.addrs = [], None, []
        for _ in range(n):
            b, at = self._text(b)
            self.relays.append(at)
        if n:
            self.relay_pin, b = b[:32], b[32:]
        self.bits, b = b[:16], b[16:]
        if self.kind != 2:
            return
        self.rig_pin, b = b[:32], b[32:]
        self.name, b = b[1:1 + b[0]].decode(), b[1 + b[0]:]
        n, b = b[0], b[1:]
        for _ in range(n):
            b, at = self._text(b)
            self.addrs.append(at)
        assert not b

    @staticmethod
    def _text(b):
        n = struct.unpack(">H", b[:2])[0]
        return b[2 + n:], b[2:2 + n].decode()

    def invite(self):
        """What HELLO shows: the id and the rig's secret."""
        return (hkdf(self.bits, b"rigway invite 1 id", 16),
                hkdf(self.bits, b"rigway invite 1 rig"))


def make_key(folder):
    key, cert = (os.path.join(folder, f) for f in ("s.key", "s.crt"))
    if not os.path.exists(cert):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes",
             "-keyout", key, "-out", cert, "-subj", "/CN=rigway", "-days",
             "2"], check=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return key, cert


class Stranger:
    """One key."""

    def __init__(self, folder):
        key, cert = make_key(folder)
        self.ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.ctx.check_hostname = False
        self.ctx.verify_mode = ssl.CERT_NONE
        self.ctx.minimum_version = ssl.TLSVersion.TLSv1_3
        self.ctx.load_cert_chain(cert, key)
        self.ctx.set_alpn_protocols(["rigway/1"])

    def connect(self, host, port, timeout=10.0):
        s = socket.create_connection((host, port), timeout)
        return self.ctx.wrap_socket(s)

    @staticmethod
    def read_frame(tls):
        """(type, payload), or None at the end."""
        def exactly(n):
            got = b""
            while len(got) < n:
                more = tls.recv(n - len(got))
                if not more:
                    return None
                got += more
            return got
        try:
            head = exactly(8)
            if head is None:
                return None
            kind, _, n, _ = struct.unpack(">BBHI", head)
            return kind, exactly(n) if n else b""
        except (ssl.SSLError, ConnectionError):
            return None

    def greet(self, host, port, **kw):
        """Says HELLO; returns the answer, and the connection."""
        tls = self.connect(host, port)
        tls.sendall(hello(**kw))
        return self.read_frame(tls), tls


def probe(pin, nonce):
    p = b"rigway?1" + nonce + bytes(8)
    key = hkdf(pin, b"rigway probe 1")
    return p + hmac.new(key, p, hashlib.sha256).digest()


def answer_port(pin, nonce, data):
    """The port in a sound answer, else None."""
    key = hkdf(pin, b"rigway answer 1")
    if len(data) != 58 or data[:8] != b"rigway!1" or data[8:24] != nonce:
        return None
    want = hmac.new(key, data[:26], hashlib.sha256).digest()
    return struct.unpack(">H", data[24:26])[0] if data[26:] == want else None


def ask(pin, to, timeout=3.0, iface=None, source=None, nonce=None):
    """Asks one address or a group; returns (from, port) of the first sound
    answer, or None. With a nonce: the same question again."""
    nonce = nonce or os.urandom(16)
    info = socket.getaddrinfo(to[0], to[1], type=socket.SOCK_DGRAM)[0]
    with socket.socket(info[0], socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        if source:
            s.bind((source, 0))
        if iface and info[0] == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF,
                         socket.if_nametoindex(iface))
        s.sendto(probe(pin, nonce), info[4])
        try:
            while True:
                data, peer = s.recvfrom(2048)
                port = answer_port(pin, nonce, data)
                if port is not None:
                    return peer[0], port
        except (socket.timeout, OSError):
            return None


def main():
    """ask PIN HOST PORT [IFACE]: prints "ADDRESS PORT" or "silence".
    hello HOST PORT FOLDER: prints the type of the answer and its text."""
    what, argv = sys.argv[1], sys.argv[2:]
    if what == "ask":
        got = ask(bytes.fromhex(argv[0]), (argv[1], int(argv[2])),
                  iface=argv[3] if len(argv) > 3 else None)
        print(*(got or ("silence",)))
    else:
        try:
            got, tls = Stranger(argv[2]).greet(argv[0], int(argv[1]))
        except (OSError, ssl.SSLError) as e:
            print("closed", type(e).__name__)
            return
        print(*(got if got else ("closed",)))


if __name__ == "__main__":
    main()
