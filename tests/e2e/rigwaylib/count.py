# SPDX-License-Identifier: MIT
"""A program that runs in somebody's terminal: it counts ten times a second,
and says what is typed."""
import sys
import threading

stop = threading.Event()


def hear():
    for line in sys.stdin:
        print("heard", line.strip(), flush=True)
        if line.strip() == "enough":
            stop.set()
            return


threading.Thread(target=hear, daemon=True).start()
n = 0
while not stop.wait(0.1):
    n += 1
    print("count", n, flush=True)
print("counted", n, flush=True)
