# SPDX-License-Identifier: MIT
"""What a hostile relay, or anyone on the wire, can do: a proxy that stands
before the relay, knows TLS records, and so knows where a device stops speaking
to the relay and the end-to-end session begins: at the second ClientHello on
the same connection.
"""
import os
import select
import socket
import ssl
import struct
import subprocess
import threading

UP, DOWN = "up", "down"      # towards the relay, towards the device
HANDSHAKE, APPDATA = 0x16, 0x17


def _is_hello(rec):
    return len(rec) > 5 and rec[0] == HANDSHAKE and rec[5] == 1


class Conn:
    """One connection through the proxy."""

    def __init__(self, proxy, number, device, relay):
        self.proxy, self.number = proxy, number
        self.sock = {UP: relay, DOWN: device}     # where to write to
        self.bytes = {UP: 0, DOWN: 0}
        self.records = {UP: 0, DOWN: 0}
        self.inner = {UP: 0, DOWN: 0}             # records since the session
        self.is_inner = False
        self.lock = threading.Lock()
        self.dead = False

    def send(self, way, data):
        self.bytes[way] += len(data)
        if self.proxy.recording is not None:
            self.proxy.recording[way].append(bytes(data))
        self.sock[way].sendall(data)

    def kill(self, reset=False):
        self.dead = True
        for s in self.sock.values():
            try:
                if reset:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 struct.pack("ii", 1, 0))
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for s in self.sock.values():
            s.close()


class Proxy:
    """Stands at self.port before the relay's port.

    fault: None, or called as fault(conn, way, record) for each TLS record of
    an end-to-end session; returns the bytes to send in its place (a bytes
    object, b"" to drop it) or None to cut the connection.
    """

    def __init__(self, relay_port, port, host="127.0.0.1", record=False):
        self.relay, self.fault = (host, relay_port), None
        self.conns, self.count = [], 0
        self.recording = {UP: [], DOWN: []} if record else None
        self.refuse = False
        self.glue_s, self.glue_from, self.glued = 0, 0, 0
        self.takeover = None
        self.lock = threading.Lock()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(128)
        self.port = port
        self._spawn(self._accept)

    def _spawn(self, f, *args):
        threading.Thread(target=f, args=args, daemon=True).start()

    def _accept(self):
        while True:
            try:
                device, _ = self.listener.accept()
            except OSError:
                return
            if self.refuse:
                device.close()
                continue
            try:
                relay = socket.create_connection(self.relay, 5)
            except OSError:
                device.close()
                continue
            relay.settimeout(None)
            for s in (device, relay):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.count += 1
                c = Conn(self, self.count, device, relay)
                self.conns.append(c)
            self._spawn(self._pump, c, UP, device)
            self._spawn(self._pump, c, DOWN, relay)

    def _pump(self, c, way, source):
        held = b""
        try:
            while True:
                d = source.recv(1 << 16)
                if not d:
                    break
                held += d
                # What comes within a moment goes out as one segment.
                hold_s = self.glue_s * (c.number - self.glue_from)
                while hold_s > 0 and way == DOWN and select.select(
                        [source], [], [], hold_s)[0]:
                    d = source.recv(1 << 16)
                    if not d:
                        break
                    held += d
                out = []
                while len(held) >= 5:
                    n = 5 + struct.unpack(">H", held[3:5])[0]
                    if len(held) < n:
                        break
                    rec, held = held[:n], held[n:]
                    rec = self._record(c, way, rec)
                    if rec is None:
                        return
                    out.append(rec)
                # With no fault set a part of a record need not wait.
                if out:
                    self.glued += any(map(_is_hello, out[1:]))
                    c.send(way, b"".join(out))
        except OSError:
            pass
        finally:
            c.kill()

    def _record(self, c, way, rec):
        with c.lock:
            c.records[way] += 1
            hello = _is_hello(rec)
            if hello and not (way == UP and c.records[UP] == 1):
                c.is_inner = True
                if self.takeover is not None and way == UP:
                    self.takeover(c, rec)
                    return None
            if not c.is_inner:
                return rec
            c.inner[way] += 1
            if self.fault is None:
                return rec
            return self.fault(c, way, rec)

    def glue(self, seconds):
        """From the next connection on, what the relay sends is held back a
        little and goes out in one piece; on each later connection longer than
        on those before. The rig's, which answers a laptop's, so gets READY
        together with what the laptop says first."""
        self.glue_from, self.glue_s = self.count, seconds

    def live(self):
        with self.lock:
            self.conns = [c for c in self.conns if not c.dead]
            return list(self.conns)

    def sessions(self):
        """The live connections that carry an end-to-end session."""
        return [c for c in self.live() if c.is_inner]

    def cut(self, reset=False, only=lambda c: True):
        for c in self.live():
            if only(c):
                c.kill(reset)

    def recorded(self):
        return b"".join(self.recording[UP]), b"".join(self.recording[DOWN])

    def close(self):
        self.listener.close()
        self.cut()


class Once:
    """A fault for one record: the n-th of a way after the session's own
    handshake, on the first connection that gets so far."""

    def __init__(self, what, way, after):
        self.what, self.way, self.after = what, way, after
        self.done, self.number, self.kept = False, None, None
        self.last = None

    def __call__(self, c, way, rec):
        if way != self.way or rec[0] != APPDATA:
            return rec
        if self.kept is not None and c.number == self.number:
            out, self.kept = rec + self.kept, None
            return out
        if self.done or c.inner[way] < self.after or len(rec) < 64:
            return rec
        self.done, self.number = True, c.number
        return getattr(self, self.what)(rec)

    def flip(self, rec):
        i = 5 + (len(rec) - 5) // 2
        return rec[:i] + bytes([rec[i] ^ 0x10]) + rec[i + 1:]

    def flip_length(self, rec):
        return rec[:4] + bytes([rec[4] ^ 1]) + rec[5:]

    def drop(self, rec):
        return b""

    def replay(self, rec):
        return rec + rec

    def reorder(self, rec):
        self.kept = rec
        return b""

    def truncate(self, rec):
        return None

    def insert(self, rec):
        return b"\x17\x03\x03\x00\x40" + os.urandom(64) + rec


FAULTS = ("flip", "flip_length", "drop", "replay", "reorder", "truncate",
          "insert")


class SwappedKey:
    """Takes a laptop's end-to-end handshake over with a key of its own, as a
    relay that wants to read along would. plain: what it got to read."""

    def __init__(self, folder):
        self.plain, self.tries, self.errors = b"", 0, []
        key, cert = (os.path.join(folder, f) for f in ("evil.key", "evil.crt"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes",
             "-keyout", key, "-out", cert, "-subj", "/CN=rigway", "-days",
             "2"], check=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ctx.minimum_version = ssl.TLSVersion.TLSv1_3
        self.ctx.load_cert_chain(cert, key)
        self.ctx.set_alpn_protocols(["rigway/1"])

    def __call__(self, c, hello):
        self.tries += 1
        inb, outb = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.ctx.wrap_bio(inb, outb, server_side=True)
        inb.write(hello)
        up = False
        device = c.sock[DOWN]
        device.settimeout(10)
        try:
            while True:
                try:
                    if not up:
                        tls.do_handshake()
                        up = True
                    self.plain += tls.read(65536)
                    continue
                except ssl.SSLWantReadError:
                    pass
                out = outb.read()
                if out:
                    device.sendall(out)
                d = device.recv(65536)
                if not d:
                    return
                inb.write(d)
        except (ssl.SSLError, OSError) as e:
            self.errors.append(repr(e))
