# SPDX-License-Identifier: MIT
"""Small services, run as programs of their own so that they can stand in any
network namespace:

  servers.py echo   HOST PORT    sends back what comes, half-close as well
  servers.py sink   HOST PORT    reads all, says "flows" after 1 MiB; at the
                                 end answers its SHA-256 and length as a line
  servers.py source HOST PORT N [RATE]  sends N bytes of the pattern and ends
  servers.py page   HOST PORT TEXT      a web page
  servers.py eof    HOST PORT    reads all until the end, then sends it all back
  servers.py hold   HOST PORT [N]  accepts, never reads, never writes; with a
                                 receive buffer of N bytes
  servers.py reset  HOST PORT N  sends N bytes, then resets

Prints "ready PORT" when it listens, and for each finished connection one line.
"""
import hashlib
import http.server
import os
import socket
import struct
import sys
import threading
import time

CHUNK = 1 << 16
_BLOCK = hashlib.shake_256(b"rigway test pattern").digest(CHUNK - 8)


def chunk(i):
    """Chunk i of the pattern: no two chunks are alike, so that a byte lost,
    doubled or moved shows."""
    return struct.pack(">Q", i) + _BLOCK


def pattern(n):
    i = 0
    while n > 0:
        c = chunk(i)
        yield c if n >= CHUNK else c[:n]
        n -= CHUNK
        i += 1


def pattern_hash(n):
    h = hashlib.sha256()
    for c in pattern(n):
        h.update(c)
    return h.hexdigest()


def say(*what):
    print(*what, flush=True)


def echo(s, _):
    total = 0
    while True:
        d = s.recv(CHUNK)
        if not d:
            break
        total += len(d)
        s.sendall(d)
    s.shutdown(socket.SHUT_WR)
    say("echoed", total)


def sink(s, _):
    h, total = hashlib.sha256(), 0
    buf = bytearray(1 << 18)
    view = memoryview(buf)
    while True:
        n = s.recv_into(buf)
        if not n:
            break
        if total < 1 << 20 <= total + n:
            say("flows")
        total += n
        h.update(view[:n])
    line = f"{h.hexdigest()} {total}\n"
    say("eof", line.strip())
    s.sendall(line.encode())


def source(s, args):
    n = int(args[0])
    rate = float(args[1]) if len(args) > 1 else 0
    sent, t0 = 0, time.monotonic()
    for c in pattern(n):
        s.sendall(c)
        sent += len(c)
        if rate:
            ahead = sent / rate - (time.monotonic() - t0)
            if ahead > 0:
                time.sleep(ahead)
    s.shutdown(socket.SHUT_WR)
    say("sent", sent)
    while s.recv(CHUNK):
        pass


def eof(s, _):
    got = bytearray()
    while True:
        d = s.recv(CHUNK)
        if not d:
            break
        got += d
    say("eof", len(got))
    s.sendall(got)


def hold(s, _):
    held.append(s)
    say("held", len(held))
    threading.Event().wait()


def reset(s, args):
    n = int(args[0])
    for c in pattern(n):
        s.sendall(c)
    # Only a reset once the peer has it all shows a reset and not a loss.
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    d = s.recv(1)
    say("reset after", d)


held = []
KINDS = {"echo": echo, "sink": sink, "source": source, "eof": eof,
         "hold": hold, "reset": reset}


def serve(kind, host, port, args):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    ls = socket.socket(family, socket.SOCK_STREAM)
    ls.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if kind is hold and args:
        ls.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(args[0]))
    ls.bind((host, port))
    ls.listen(1024)
    say("ready", ls.getsockname()[1])

    def one(s, peer):
        with s:
            try:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                kind(s, args)
            except OSError as e:
                say("broken", type(e).__name__, e.errno)

    while True:
        s, peer = ls.accept()
        threading.Thread(target=one, args=(s, peer), daemon=True).start()


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    text = b""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(self.text)))
        self.end_headers()
        self.wfile.write(self.text)

    def log_message(self, fmt, *args):
        say("page", fmt % args)


def main():
    kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if kind == "page":
        Page.text = sys.argv[4].encode()
        server = http.server.ThreadingHTTPServer
        server.request_queue_size = 1024
        server.address_family = (socket.AF_INET6 if ":" in host
                                 else socket.AF_INET)
        srv = server((host, port), Page)
        say("ready", srv.server_address[1])
        srv.serve_forever()
    serve(KINDS[kind], host, port, sys.argv[4:])


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        os._exit(0)
