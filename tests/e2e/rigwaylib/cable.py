# SPDX-License-Identifier: MIT
"""A cable that is long: joins two network namespaces by a TAP device in each,
and passes what comes out of one to the other a while later.

  cable.py NAMESPACE DEVICE NAMESPACE DEVICE DELAY_MS

Prints "ready" when both devices are there. They are gone when it ends.
"""
import collections
import ctypes
import fcntl
import os
import select
import struct
import sys
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
CLONE_NEWNET = 0x40000000
QUEUE_MAX = 4096


def device(namespace, name):
    libc = ctypes.CDLL(None, use_errno=True)
    with open(namespace) as ns:
        if libc.setns(ns.fileno(), CLONE_NEWNET) < 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack(
        "16sH", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


def read_all(fd, queue, due):
    try:
        while True:
            frame = os.read(fd, 65536)
            if len(queue) < QUEUE_MAX:
                queue.append((due, frame))
    except OSError:  # nothing more, or the device is down
        pass


def write_due(fd, queue, now):
    while queue and queue[0][0] <= now:
        frame = queue.popleft()[1]
        try:
            os.write(fd, frame)
        except OSError:  # the device is down: lost, as on any cable
            pass


def main():
    fds = [device(*sys.argv[1:3]), device(*sys.argv[3:5])]
    delay = float(sys.argv[5]) / 1000
    queues = [collections.deque(), collections.deque()]
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    print("ready", flush=True)
    while True:
        heads = [q[0][0] for q in queues if q]
        wait = None
        if heads:
            wait = max(0.0, min(heads) - time.monotonic()) * 1000
        events = poll.poll(wait)
        now = time.monotonic()
        for fd, _ in events:
            read_all(fd, queues[fds.index(fd)], now + delay)
        for i in 0, 1:
            write_due(fds[1 - i], queues[i], now)


if __name__ == "__main__":
    main()
