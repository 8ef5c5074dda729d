# SPDX-License-Identifier: MIT
"""What the end-to-end tests share: start real programs, wait for states.

poll      wait for a condition; the only place that sleeps
proc      processes that we start, their logs, and the proof that none is left
ports     free ports, no two tests the same
home      one RIGWAY_HOME and the commands run in it
world     a relay, a rig and a laptop, paired
net       network namespaces: a public net, and home routers with NAT
servers   echo, sink, source and page servers, run as programs of their own
flow      byte-exact transfers
hostile   a proxy that records, flips, cuts, replays and reorders
sshd, jupyter, xdisplay   the real third-party programs
"""
