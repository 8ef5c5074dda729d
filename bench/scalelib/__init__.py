# SPDX-License-Identifier: MIT
"""What bench/relay-scale is made of."""
