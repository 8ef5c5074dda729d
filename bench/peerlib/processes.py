# SPDX-License-Identifier: MIT
"""Ports and processes: what a system's parts listen on, cost and leave."""
import ctypes
import os
import socket
import time

MARK = "RIGWAY_BENCH_MARK"      # in the environment of all that we start
TICK = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A system did not come up, or a sample could not be taken."""


def wait_for(what, condition, seconds=10.0):
    """Waits until condition() is true and returns what it returned."""
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)


def free_ports(n):
    """n ports nobody listens on, outside the kernel's own range, so that no
    outgoing connection of the load takes one before it is used."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        low = int(f.read().split()[0])
    socks, port = [], 20000 + os.getpid() % 5000
    while len(socks) < n:
        port += 1
        if port >= low:
            port = 10000
        s = socket.socket()
        try:
            s.bind(("127.0.0.1", port))
            socks.append(s)
        except OSError:
            s.close()
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


def is_listening(port):
    """Whether somebody listens there, without connecting to it."""
    want = f"{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as f:
                for line in f:
                    part = line.split()
                    if part[3] == "0A" and part[1].endswith(":" + want):
                        return True
        except OSError:
            pass
    return False


def echoes(port):
    """Whether a byte comes back through this port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as s:
            s.settimeout(2)
            s.sendall(b"E")
            return s.recv(1) == b"E"
    except OSError:
        return False


def become_reaper():
    """What our systems leave behind as orphans comes to us, not to init, so
    that it can be found and waited for."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def reap(pid):
    """Waits for an ended child or orphan; True when it is gone."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return not os.path.exists(f"/proc/{pid}")


def processes():
    """pid -> parent's pid of every process that lives."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat") as f:
                stat = f.read()
        except OSError:
            continue
        part = stat[stat.rindex(")") + 2:].split()
        if part[0] != "Z":
            found[int(name)] = int(part[1])
    return found


def has_mark(pid, mark):
    try:
        with open(f"/proc/{pid}/environ", "rb") as f:
            return f"{MARK}={mark}".encode() in f.read().split(b"\0")
    except OSError:
        return False


def cpu_seconds(pid):
    """User and system seconds of a process and of the children it waited
    for."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            stat = f.read()
    except OSError:
        return 0.0
    part = stat[stat.rindex(")") + 2:].split()
    return sum(int(n) for n in part[11:15]) / TICK


def pss_kib(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            for line in f:
                if line.startswith("Pss:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def busy_cores(seconds):
    """How many cores the whole machine keeps busy just now."""
    def idle_seconds():
        with open("/proc/stat") as f:
            part = f.readline().split()
        return (int(part[4]) + int(part[5])) / TICK
    start, idle = time.monotonic(), idle_seconds()
    time.sleep(seconds)
    took = time.monotonic() - start
    return max(0.0, os.cpu_count() - (idle_seconds() - idle) / took)
