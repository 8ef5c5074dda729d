# SPDX-License-Identifier: MIT
"""A cable that is long: joins two network namespaces by a TAP device in each,
and passes what comes out of one to the other a while later.

  cable.py NAMESPACE DEVICE NAMESPACE DEVICE DELAY_MS [LOST TWICE LATE]

A rough one loses so many of a hundred frames, passes so many twice, and so many
5 ms late, so that others overtake them.
Prints "ready" when both devices are there. They are gone when it ends.
"""
import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
CLONE_NEWNET = 0x40000000
QUEUE_MAX = 4096
LATE_S = 0.005


def device(namespace, name):
    libc = ctypes.CDLL(None, use_errno=True)
    with open(namespace) as ns:
        if libc.setns(ns.fileno(), CLONE_NEWNET) < 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack(
        "16sH", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


class Way:
    """What is under way to one end."""

    def __init__(self, to, delay, lost, twice, late):
        self.to, self.delay = to, delay
        self.lost, self.twice, self.late = lost, twice, late
        self.frames, self.number = [], 0

    def put(self, frame, now):
        if len(self.frames) >= QUEUE_MAX or happens(self.lost):
            return
        for _ in range(1 + happens(self.twice)):
            due = now + self.delay + LATE_S * happens(self.late)
            heapq.heappush(self.frames, (due, self.number, frame))
            self.number += 1

    def read_all(self, fd, now):
        try:
            while True:
                self.put(os.read(fd, 65536), now)
        except OSError:  # nothing more, or the device is down
            pass

    def write_due(self, now):
        while self.frames and self.frames[0][0] <= now:
            frame = heapq.heappop(self.frames)[2]
            try:
                os.write(self.to, frame)
            except OSError:  # the device is down: lost, as on any cable
                pass


def happens(percent):
    return percent > 0 and random.random() * 100 < percent


def main():
    fds = [device(*sys.argv[1:3]), device(*sys.argv[3:5])]
    delay = float(sys.argv[5]) / 1000
    rough = [float(x) for x in sys.argv[6:]] or [0, 0, 0]
    ways = [Way(fd, delay, *rough) for fd in reversed(fds)]
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    print("ready", flush=True)
    while True:
        heads = [w.frames[0][0] for w in ways if w.frames]
        wait = None
        if heads:
            wait = max(0.0, min(heads) - time.monotonic()) * 1000
        events = poll.poll(wait)
        now = time.monotonic()
        for fd, _ in events:
            ways[fds.index(fd)].read_all(fd, now)
        for w in ways:
            w.write_due(now)


if __name__ == "__main__":
    main()
