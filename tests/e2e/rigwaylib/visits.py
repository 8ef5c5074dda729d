# SPDX-License-Identifier: MIT
"""Short connections, as programs:

  visits.py silent HOST PORT             a service that accepts and does nothing;
                                         lets go of what was reset
  visits.py knock HOST PORT RATE         connects to an echo so often a second,
                                         sends a word, compares, ends
  visits.py touch HOST PORT N RATE HOW   connects and closes N times: HOW is
                                         close, reset, or both by turns

Each prints what it did as lines of JSON, and ends at the end of its input.
"""
import json
import os
import resource
import select
import socket
import struct
import sys
import threading
import time

STEP_S = 0.5


def say(**what):
    print(json.dumps(what), flush=True)


def many_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def silent(host, port):
    many_descriptors()
    ls = socket.create_server((host, port), backlog=4096)
    poll, held = select.epoll(), {}
    poll.register(ls, select.EPOLLIN)
    print("ready", ls.getsockname()[1], flush=True)
    total = last = 0
    while True:
        for fd, events in poll.poll(STEP_S):
            if fd == ls.fileno():
                s, _ = ls.accept()
                held[s.fileno()] = s
                # Neither bytes nor an end move it; a reset cannot be ignored.
                poll.register(s, 0)
                total += 1
            elif events & (select.EPOLLERR | select.EPOLLHUP):
                held.pop(fd).close()
        now = time.monotonic()
        if now > last + STEP_S:
            last = now
            say(came=total, held=len(held))


def knock_once(host, port, i):
    word = struct.pack(">Q", i) * 16
    with socket.create_connection((host, port), 60) as s:
        s.settimeout(60)
        s.sendall(word)
        s.shutdown(socket.SHUT_WR)
        got = b""
        while True:
            d = s.recv(4096)
            if not d:
                return got == word
            got += d


class Knocks:
    def __init__(self, host, port):
        self.where, self.lock = (host, port), threading.Lock()
        self.good = self.running = 0
        self.bad, self.worst = [], 0.0

    def one(self, i):
        t0, why = time.monotonic(), None
        try:
            if not knock_once(*self.where, i):
                why = "wrong bytes"
        except OSError as e:
            why = repr(e)
        with self.lock:
            self.running -= 1
            self.worst = max(self.worst, time.monotonic() - t0)
            if why is None:
                self.good += 1
            else:
                self.bad.append(why)


def until_told():
    """An event that is set when the input ends."""
    done = threading.Event()

    def hear():
        sys.stdin.read()
        done.set()
    threading.Thread(target=hear, daemon=True).start()
    return done


def knock(host, port, rate):
    k, done, i, next_say = Knocks(host, port), until_told(), 0, 0
    print("ready", flush=True)
    while not done.wait(1 / rate):
        i += 1
        if k.running < 500:
            with k.lock:
                k.running += 1
            threading.Thread(target=k.one, args=(i,), daemon=True).start()
        if time.monotonic() > next_say:
            next_say = time.monotonic() + STEP_S
            say(good=k.good, bad=len(k.bad), running=k.running)
    end = time.monotonic() + 90
    while k.running and time.monotonic() < end:
        threading.Event().wait(0.05)
    say(good=k.good, bad=len(k.bad), running=k.running, why=k.bad[:5],
        worst=k.worst)


def touch(host, port, n, rate, how):
    """Nothing may fail here that is not the limit of streams."""
    many_descriptors()
    done, failed, t0 = until_told(), [], time.monotonic()
    print("ready", flush=True)
    for i in range(n):
        late = i / rate - (time.monotonic() - t0)
        if done.wait(max(0, late)):
            break
        try:
            s = socket.create_connection((host, port), 60)
            if how == "reset" or (how == "both" and i % 2):
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
            s.close()
        except OSError as e:
            failed.append(repr(e))
        if i % 50 == 49:
            say(touched=i + 1 - len(failed), failed=len(failed))
    say(touched=i + 1 - len(failed), failed=len(failed), why=failed[:5],
        over=True)
    done.wait()


def main():
    what, host, port, *rest = sys.argv[1:]
    if what == "silent":
        silent(host, int(port))
    elif what == "knock":
        knock(host, int(port), float(rest[0]))
    else:
        touch(host, int(port), int(rest[0]), float(rest[1]), rest[2])


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        os._exit(0)
