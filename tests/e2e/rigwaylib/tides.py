# SPDX-License-Identifier: MIT
"""Steady traffic that is compared byte by byte at both of its ends, and that
remembers when it stood still. Two programs:

  tides.py serve HOST PORT CLOCKS
  tides.py drive HOST PORT CLOCKS '{"up": 2, "down": 2, "both": 1, ...}'

Each connection begins with a header (id, kind, rate) and then carries a pattern
of its own in each direction, in which no two blocks of any two connections are
alike: a byte lost, doubled, or given to a neighbour shows at once. An echo
ticks 20 times a second; idle connections are asked once at the beginning and
once at each "poke". CLOCKS is a file that both programs and the test share: for
each connection, when bytes last came (up: at the server, down: here).

A line of JSON tells of each stall ("gap", when bytes came again after 0.2 s),
and at the end of each connection how many bytes of which hash it saw.
"""
import hashlib
import json
import mmap
import os
import selectors
import socket
import struct
import sys
import threading
import time

HEAD = struct.Struct(">4scxxxII")  # "tide", kind, id, bytes a second
MARK = struct.Struct(">cxxxIQ")    # direction, id, block
BLOCK = 1 << 14
_FILL = hashlib.shake_256(b"rigway tide").digest(BLOCK - MARK.size)
TICK_S, STALL_S = 0.05, 0.2
SLOTS = 4096
UP, DOWN = 0, 1


def block(way, number, i):
    return MARK.pack(b"ud"[way:way + 1], number, i) + _FILL


def make_clocks(path):
    with open(path, "wb") as f:
        f.write(bytes(SLOTS * 16))
    return Clocks(path)


class Clocks:
    """When bytes last came, by connection and direction; 0 never."""

    def __init__(self, path):
        self.path = path
        with open(path, "r+b") as f:
            self.m = mmap.mmap(f.fileno(), SLOTS * 16)

    def get(self, number, way):
        return struct.unpack_from("d", self.m, number * 16 + way * 8)[0]

    def set(self, number, way, t):
        struct.pack_into("d", self.m, number * 16 + way * 8, t)


_say_lock = threading.Lock()


def say(**what):
    with _say_lock:
        print(json.dumps(what), flush=True)


class Seen:
    """What one end received of one direction."""

    def __init__(self, clocks, number, way):
        self.clocks, self.number, self.way = clocks, number, way
        self.sha, self.bytes, self.wrong = hashlib.sha256(), 0, None
        self.rest, self.at = b"", 0
        self.last = time.monotonic()

    def stamp(self):
        now = time.monotonic()
        if now - self.last > STALL_S and self.bytes:
            say(gap=now - self.last, t=now, id=self.number, way=self.way)
        self.last = now
        self.clocks.set(self.number, self.way, now)

    def take(self, d):
        self.stamp()
        self.sha.update(d)
        self.bytes += len(d)
        self.rest += d
        while len(self.rest) >= BLOCK:
            want = block(self.way, self.number, self.at)
            if self.rest[:BLOCK] != want and self.wrong is None:
                self.wrong = self.at
            self.rest, self.at = self.rest[BLOCK:], self.at + 1

    def result(self):
        if not block(self.way, self.number, self.at).startswith(self.rest):
            self.wrong = self.at if self.wrong is None else self.wrong
        return [self.bytes, self.sha.hexdigest(), self.wrong]


class Pour(threading.Thread):
    """Sends one direction until it is told to stop, then half-closes."""

    def __init__(self, s, number, way, rate):
        super().__init__(daemon=True)
        self.s, self.number, self.way, self.rate = s, number, way, rate
        self.stop, self.error = threading.Event(), None
        self.sha, self.bytes = hashlib.sha256(), 0
        self.start()

    def run(self):
        t0, i = time.monotonic(), 0
        try:
            while not self.stop.is_set() and self.rate:
                b = block(self.way, self.number, i)
                self.s.sendall(b)
                self.sha.update(b)
                self.bytes += BLOCK
                i += 1
                ahead = self.bytes / self.rate - (time.monotonic() - t0)
                if ahead < -1:   # it was held up: no burst afterwards
                    t0 -= ahead
                elif ahead > 0:
                    self.stop.wait(ahead)
            self.s.shutdown(socket.SHUT_WR)
        except OSError as e:
            self.error = repr(e)

    def result(self):
        self.join(60)
        return [self.bytes, self.sha.hexdigest(), self.error]


def drain(s, seen):
    buf = bytearray(1 << 18)
    view = memoryview(buf)
    try:
        while True:
            n = s.recv_into(buf)
            if not n:
                return None
            seen.take(bytes(view[:n]))
    except OSError as e:
        return repr(e)


def read_exactly(s, n):
    d = b""
    while len(d) < n:
        got = s.recv(n - len(d))
        if not got:
            raise EOFError(f"{len(d)} of {n} bytes")
        d += got
    return d


# The end at the rig

def serve_one(s, clocks):
    try:
        magic, kind, number, rate = HEAD.unpack(read_exactly(s, HEAD.size))
        assert magic == b"tide", magic
    except (OSError, EOFError, AssertionError) as e:
        say(broken=repr(e))
        return
    s.sendall(b"!")
    if kind in b"ei":
        echo(s, number)
        return
    seen = Seen(clocks, number, UP)
    pour = Pour(s, number, DOWN, rate if kind in b"db" else 0)
    if kind == b"u":
        pour.stop.set()
    err = drain(s, seen)
    pour.stop.set()
    say(id=number, end="rig", err=err, up=seen.result(), down=pour.result())


def echo(s, number):
    n, err = 0, None
    try:
        while True:
            d = s.recv(1 << 16)
            if not d:
                break
            n += len(d)
            s.sendall(d)
        s.shutdown(socket.SHUT_WR)
    except OSError as e:
        err = repr(e)
    say(id=number, end="rig", err=err, echoed=n)


def serve(host, port, clocks):
    ls = socket.create_server((host, port), backlog=1024)
    print("ready", ls.getsockname()[1], flush=True)

    def one(s):
        with s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            serve_one(s, clocks)
    while True:
        s, _ = ls.accept()
        threading.Thread(target=one, args=(s,), daemon=True).start()


# The end at the laptop

def open_one(host, port, kind, number, rate):
    s = socket.create_connection((host, port), 30)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.sendall(HEAD.pack(b"tide", kind, number, rate))
    s.settimeout(60)
    assert read_exactly(s, 1) == b"!"
    s.settimeout(None)
    return s


class Bulk(threading.Thread):
    def __init__(self, s, kind, number, rate, clocks):
        super().__init__(daemon=True)
        self.s, self.number = s, number
        self.seen = Seen(clocks, number, DOWN)
        self.pour = Pour(s, number, UP, rate if kind in b"ub" else 0) \
            if kind != b"d" else None
        self.err = None
        self.start()

    def run(self):
        self.err = drain(self.s, self.seen)

    def stop(self):
        if self.pour:
            self.pour.stop.set()
        else:
            self.s.shutdown(socket.SHUT_WR)

    def result(self):
        up = self.pour.result() if self.pour else \
            [0, hashlib.sha256().hexdigest(), None]
        self.join(60)
        say(id=self.number, end="laptop", err=self.err, up=up,
            down=self.seen.result(), stuck=self.is_alive())


class Ticker:
    """Sends a number 20 times a second, whatever comes back."""

    def __init__(self, s, number, clocks):
        self.s, self.number = s, number
        self.seen = Seen(clocks, number, DOWN)
        self.done = threading.Event()
        self.sent = self.came = 0
        self.wrong, self.worst = None, 0.0
        self.threads = [threading.Thread(target=f, daemon=True)
                        for f in (self.send, self.receive)]
        for t in self.threads:
            t.start()

    def send(self):
        try:
            while not self.done.wait(TICK_S):
                self.s.sendall(struct.pack(">Qd", self.sent, time.monotonic()))
                self.sent += 1
            self.s.shutdown(socket.SHUT_WR)
        except OSError as e:
            self.wrong = self.wrong or repr(e)

    def receive(self):
        try:
            while True:
                n, t = struct.unpack(">Qd", read_exactly(self.s, 16))
                if n != self.came and self.wrong is None:
                    self.wrong = f"tick {n} instead of {self.came}"
                self.came += 1
                self.seen.bytes += 16
                self.seen.stamp()
                self.worst = max(self.worst, time.monotonic() - t)
        except EOFError:
            pass
        except (OSError, struct.error) as e:
            self.wrong = self.wrong or repr(e)

    def result(self):
        self.done.set()
        for t in self.threads:
            t.join(60)
        say(id=self.number, end="laptop", ticks=self.sent, came=self.came,
            wrong=self.wrong, worst=self.worst)


def poke(idle, round_):
    """Asks every idle connection; each must answer with its own words."""
    sel = selectors.DefaultSelector()
    wrong = 0
    want = {}
    for number, s in idle:
        word = hashlib.sha256(b"%d %d" % (number, round_)).digest()
        want[s] = [word, b""]
        try:
            s.sendall(word)
            sel.register(s, selectors.EVENT_READ)
        except OSError:
            wrong += 1
    end = time.monotonic() + 60
    while sel.get_map() and time.monotonic() < end:
        for key, _ in sel.select(1):
            word, got = want[key.fileobj]
            try:
                d = key.fileobj.recv(1024)
            except OSError:
                d = b""
            got += d
            want[key.fileobj][1] = got
            if not d or len(got) >= len(word):
                wrong += got != word
                sel.unregister(key.fileobj)
    wrong += len(sel.get_map())
    sel.close()
    say(poked=len(idle), wrong=wrong)


def drive(host, port, clocks, plan):
    rate, number = plan.get("rate", 2_000_000), 1
    bulks, idle = [], []
    ticker = Ticker(open_one(host, port, b"e", 0, 0), 0, clocks)
    for _ in range(plan.get("idle", 0)):
        idle.append((number, open_one(host, port, b"i", number, 0)))
        number += 1
    poke(idle, 0)
    for kind in ("up", "down", "both"):
        for _ in range(plan.get(kind, 0)):
            k = kind[0].encode()
            s = open_one(host, port, k, number, rate)
            bulks.append(Bulk(s, k, number, rate, clocks))
            ways = {"up": [UP], "down": [DOWN], "both": [UP, DOWN]}[kind]
            say(opened=number, ways=ways)
            number += 1
    say(opened=0, ways=[DOWN])
    say(ready=True)
    rounds = 0
    for line in sys.stdin:
        if line.strip() == "poke":
            rounds += 1
            poke(idle, rounds)
        elif line.strip() == "stop":
            break
    for b in bulks:
        b.stop()
    for b in bulks:
        b.result()
    ticker.result()
    for _, s in idle:
        s.close()
    say(over=True)


def main():
    what, host, port, path = sys.argv[1:5]
    clocks = Clocks(path)
    if what == "serve":
        serve(host, int(port), clocks)
    drive(host, int(port), clocks, json.loads(sys.argv[5]))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        os._exit(0)
