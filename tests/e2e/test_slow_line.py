# SPDX-License-Identifier: MIT
"""A line so slow that one record takes seconds: it is not dead."""
import pytest

from rigwaylib import faults, proc

BYTES, STREAMS = 150_000, 300  # 19 s each way at 64 kbit/s

ASK = f"""
import socket, sys, threading
socks = [socket.create_connection(("127.0.0.1", int(sys.argv[1])))
         for _ in range({STREAMS})]
for i, s in enumerate(socks):
    s.settimeout(120)
    s.sendall(b"%08d" % i)
for i, s in enumerate(socks):
    assert s.recv(8, socket.MSG_WAITALL) == b"%08d" % i
big = socks[0]
threading.Thread(target=big.sendall, args=(b"x" * {BYTES},)).start()
got = b""
while len(got) < {BYTES}:
    got += big.recv(1 << 16)
assert got == b"x" * {BYTES}
print("all of it")
"""


@pytest.fixture
def slow_line(request):
    """The laptop's line carries 64 kbit/s each way and has a short queue."""
    from conftest import world_on
    for w in world_on(request, lambda: faults.net_for("relay", 20), True):
        for ns, dev in ((w.net.relay, "vb"), (w.net.router_b, "wan0")):
            ns.sh(f"tc qdisc add dev {dev} root tbf rate 64kbit burst 5k "
                  "latency 400ms")
        yield w


@pytest.mark.long
def test_a_connection_that_is_slow_is_not_replaced_for_ever(slow_line):
    """Each new one would begin with the same record, and none would end it."""
    w = slow_line.up()
    port = w.forward(w.rig.service("echo").port)
    p = w.laptop.start(*proc.python("-c", ASK, port), name="ask")
    p.wait_log("all of it", 240)
    r = w.laptop.json("status")["rigs"][0]
    print(f"\nresumed {r['resumed']} times; last cut: {r['cut']}")
