# SPDX-License-Identifier: MIT
import os
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from rigwaylib import clocks as clocklib  # noqa: E402
from rigwaylib import faults  # noqa: E402
from rigwaylib import net as netlib  # noqa: E402
from rigwaylib import proc  # noqa: E402
from rigwaylib.world import World  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "sanitizer: also runs against the sanitizer build")
    config.addinivalue_line("markers", "long: takes more than 20 s")
    config.addinivalue_line(
        "markers", "alone: measures time; keep it out of a crowd")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if call.when == "call":
        item.failed_call = report.failed


@pytest.fixture
def world(request):
    """A World; what the test leaves running is ended, what went wrong while
    ending fails the test, and its logs are shown when the test failed."""
    yield from _world(request, World())


@pytest.fixture
def net_world(request):
    """A World with a public net and two homes behind NAT."""
    yield from world_on(request, lambda: netlib.Net(node2=True))


@pytest.fixture
def path_world(request):
    """The same, with a session along the kind of path that the test's
    parameter names (faults.KINDS)."""
    for w in world_on(request, lambda: faults.net_for(request.param)):
        yield faults.bring_up(w, request.param)


def world_on(request, make, needs_tun=False):
    """A World on the net that make() returns; needs_tun: one with long or bad
    cables. A machine that cannot have such nets skips the test."""
    why = netlib.reason_without()
    if why:
        pytest.skip(f"this machine has no network namespaces: {why}")
    if needs_tun and not os.path.exists("/dev/net/tun"):
        pytest.skip("this machine has no /dev/net/tun")
    n = make()
    try:
        yield from _world(request, World(n))
    finally:
        n.close()


def _world(request, w):
    asan = os.environ.get("ASAN_OPTIONS")
    if asan is not None:
        os.environ["ASAN_OPTIONS"] = f"{asan}:log_path={w.dir}/asan"
    yield w
    try:
        wrong = w.close()
        if getattr(request.node, "failed_call", False) or wrong:
            print(w.logs())
            keep = os.environ.get("RIGWAY_KEEP")
            if keep:
                shutil.copytree(w.dir, os.path.join(
                    keep, request.node.name.replace("/", "_")),
                    dirs_exist_ok=True, ignore_dangling_symlinks=True,
                    ignore=lambda d, names: [
                        x for x in names if x.endswith((".sock", "sock"))])
    finally:
        if asan is not None:
            os.environ["ASAN_OPTIONS"] = asan
        w.remove()
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def tmp(request):
    """A folder with a short name, which a socket's path can hold."""
    d = tempfile.mkdtemp(prefix="rt")
    os.chmod(d, 0o755)
    yield d
    shutil.rmtree(d, ignore_errors=True)


@pytest.fixture
def clocks(tmp, monkeypatch):
    """clocks(home, clock, seconds): clocklib.put_ahead(), for all programs
    that are started from here on."""
    if "ASAN_OPTIONS" in os.environ:
        pytest.skip("its own library must come first")
    try:
        monkeypatch.setenv("LD_PRELOAD", clocklib.library(tmp))
    except FileNotFoundError:
        pytest.skip("this machine has no C compiler")
    return clocklib.put_ahead


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left():
    """The clean-up proof: when this process's tests have ended, no process
    that they started lives, in this network namespace or in another."""
    before = netns_of_ours()
    yield
    left = proc.find()
    names = [proc.describe(p) for p in left]
    proc.end(left)
    assert not names, "left behind:\n" + "\n".join(names)
    assert netns_of_ours() <= before, "network namespaces left behind"


def netns_of_ours():
    """The network namespaces in which processes of this run live."""
    found = set()
    for p in proc.find():
        try:
            found.add(os.readlink(f"/proc/{p}/ns/net"))
        except OSError:
            pass
    return found
