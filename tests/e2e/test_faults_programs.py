# SPDX-License-Identifier: MIT
"""An ssh login with a running program, scp, rsync and a Jupyter kernel with its
state outlive what happens on the way. `bench/faults --programs` does the same
with 1 GiB and every fault."""
import pytest

from rigwaylib import programs

MIB = 1 << 20


@pytest.mark.long
def test_a_login_a_copy_and_a_sync_outlive_it(net_world):
    w = programs.prepare(net_world)
    programs.go_through(
        w, [programs.Login(w), programs.Copy(w, 256 * MIB, 30),
            programs.Sync(w, 64 * MIB, 30)],
        [("connections reset", "laptop"), ("relay killed", "relay", 1),
         ("connections reset", "relay"), ("NAT forgot", "rig"),
         ("new address", "laptop")])


@pytest.mark.long
def test_a_kernel_and_a_login_outlive_sleep(net_world):
    w = programs.prepare(net_world)
    kernel = programs.Kernel(w)
    programs.go_through(
        w, [kernel, programs.Login(w)],
        [("connections reset", "rig"), ("relay killed", "relay", 1),
         ("asleep", "laptop", 25), ("new public address", "laptop")])
