# SPDX-License-Identifier: MIT
"""The samples: what bench/load.c is told to do, and what it measured."""
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time

from peerlib.processes import Failed, free_ports, wait_for

PROBES = 10     # of memory, at the end of a bulk sample
NO_END = 10 ** 18       # bytes after which bulk ends

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(os.path.dirname(HERE), "load.c")


class Load:
    """The C program beside this file, and its service."""

    def __init__(self, folder):
        self.bin = os.path.join(folder, "load")
        cc = shutil.which(os.environ.get("CC", "cc"))
        if cc is None:
            raise Failed("no C compiler (cc) to build bench/load.c")
        subprocess.run([cc, "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-pthread",
                        "-o", self.bin, SOURCE],
                       check=True)
        self.port = free_ports(1)[0]
        self.service = subprocess.Popen(
            [self.bin, "serve", str(self.port)], stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL, text=True)
        if self.service.stdout.readline().strip() != "ready":
            raise Failed("the service of the load did not start")

    def client(self, *words, env=None):
        return subprocess.Popen(
            [self.bin] + [str(w) for w in words], text=True, env=env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)

    def open_bulk(self):
        with socket.create_connection(("127.0.0.1", self.port),
                                      timeout=5) as s:
            s.settimeout(5)
            s.sendall(b"Q")
            data = b""
            while len(data) < 16:
                more = s.recv(16 - len(data))
                if not more:
                    raise Failed("the service gave no answer")
                data += more
        return int.from_bytes(data[8:], sys.byteorder)

    def drain(self, system):
        """Waits until bulk that was on its way when its client left has all
        arrived. A system that keeps streams open is started anew; True if it
        had to be."""
        def drained():
            return self.open_bulk() == 0
        try:
            wait_for("bulk streams end at the service", drained, 15)
            return False
        except Failed:
            system.stop()
            system.up()
            wait_for("bulk streams end with their system", drained)
            return True

    def stop(self):
        self.service.terminate()
        self.service.wait()


def finish(proc, seconds):
    try:
        out, err = proc.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        proc.kill()
        proc.communicate()
        raise Failed(f"no end within {seconds:.0f} s") from None
    if proc.returncode != 0:
        raise Failed(err.strip() or f"status {proc.returncode}")
    return out


def line_of(proc):
    line = proc.stdout.readline()
    if not line:
        finish(proc, 5)
        raise Failed("ended early")
    return line.split()


def busy_memory(system):
    """PSS of all parts, and what of it is what lies in windows. Both change
    within milliseconds and cannot be read in the same one: so means of several
    looks."""
    pss, windows = [], []
    for _ in range(PROBES):
        held = system.windows()
        pss.append(sum(system.pss().values()) / 1024)
        if held is not None:
            windows.append(held / 1048576)
        time.sleep(0.02)
    got = {"pss_mib": statistics.mean(pss)}
    if windows:
        got["windows_mib"] = statistics.mean(windows)
        got["own_mib"] = got["pss_mib"] - got["windows_mib"]
    return got


def sample_bulk(load, system, direction, streams, opt):
    """Gbit/s, CPU seconds per GB of all parts and of the relay alone, and
    their memory while busy."""
    proc = load.client("bulk", direction, streams, system.front, load.port,
                       opt.seconds, opt.warmup, NO_END)
    line_of(proc)
    before = system.cpu()
    end = line_of(proc)
    cpu = {pid: s - before.get(pid, 0.0) for pid, s in system.cpu().items()}
    relay = system.pids("relay")
    memory = busy_memory(system) if cpu else None
    finish(proc, 30)
    gigabytes, seconds = int(end[1]) / 1e9, float(end[2])
    got = {"gbit": gigabytes * 8 / seconds, "gb": gigabytes,
           "seconds": seconds}
    if memory:
        got.update(memory)
        got["cpu_s_per_gb"] = sum(cpu.values()) / max(gigabytes, 1e-9)
        got["cpu_s"] = {f"{pid} {system.part(pid)}": round(s, 3)
                        for pid, s in cpu.items() if s > 0}
    if relay:
        got["relay_s_per_gb"] = sum(
            cpu.get(pid, 0.0) for pid in relay) / max(gigabytes, 1e-9)
    return got


def sample_conns(load, system, opt):
    proc = load.client("conns", 8, system.front, opt.seconds)
    n, seconds, p50, p99, errors = finish(proc, opt.seconds + 30).split()
    return {"per_s": int(n) / float(seconds), "p50_us": float(p50),
            "p99_us": float(p99), "errors": int(errors)}


def sample_echo(load, system, opt):
    proc = load.client("echo", 64, system.front, opt.seconds)
    n, _, p50, p99, _ = finish(proc, opt.seconds + 30).split()
    return {"p50_us": float(p50), "p99_us": float(p99), "n": int(n)}


def sample_echo_busy(load, system, opt):
    """Echo beside two bulk streams of two programs, for as long as it
    takes."""
    bulk = []
    try:
        for way in BUSY[opt.busy]:
            bulk.append(load.client("bulk", way, 1, system.front, load.port,
                                    600, opt.warmup, NO_END))
        for proc in bulk:
            line_of(proc)
        got = sample_echo(load, system, opt)
        for proc in bulk:
            if proc.poll() is not None:
                finish(proc, 5)
                raise Failed("a bulk stream ended beside the echo")
        return got
    finally:
        # "end" comes only after 600 s; the streams just stop
        for proc in bulk:
            proc.kill()
            proc.communicate()


def sample_start(load, system, opt):
    """A command that joins stdin and stdout to a port: from before it is
    started until a byte of its stdin is there. None if there is no such."""
    port = free_ports(1)[0]
    command = system.stdio(port)
    if command is None:
        return None
    argv, env = command
    proc = load.client("start", port, opt.seconds, *argv, env=env)
    n, _, p50, p99, _ = finish(proc, opt.seconds + 30).split()
    return {"p50_us": float(p50), "p99_us": float(p99), "n": int(n)}


def sample_idle(load, system, opt):
    """What an idle stream costs: KiB in all parts together, and in the part
    that it costs most. In new processes, for memory that others have used
    and freed would be used again."""
    n = min(opt.idle, system.idle_most)
    if n == 0:
        return None
    system.stop()
    system.up()
    before = system.rest()
    proc = load.client("idle", n, system.front)
    line_of(proc)
    each = {pid: (kib - before.get(pid, 0)) / n
            for pid, kib in system.rest().items()}
    parts = {f"{pid} {system.part(pid)}": round(each[pid], 3)
             for pid in before if pid in each}
    finish(proc, 30)
    return {"idle_kib": sum(each.values()), "n": n, "idle_kib_each": parts,
            "idle_kib_most": max(parts.values())}


BUSY = {"up": ["up", "up"], "down": ["down", "down"], "both": ["up", "down"]}

KINDS = [
    ("up1", lambda lo, sy, op: sample_bulk(lo, sy, "up", 1, op)),
    ("down1", lambda lo, sy, op: sample_bulk(lo, sy, "down", 1, op)),
    ("up8", lambda lo, sy, op: sample_bulk(lo, sy, "up", 8, op)),
    ("down8", lambda lo, sy, op: sample_bulk(lo, sy, "down", 8, op)),
    ("conns", sample_conns),
    ("echo", sample_echo),
    ("echo_busy", sample_echo_busy),
    ("start", sample_start),
    ("idle", sample_idle),
]
