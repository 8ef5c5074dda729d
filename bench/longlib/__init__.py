# SPDX-License-Identifier: MIT
"""What bench/longpath is made of."""
