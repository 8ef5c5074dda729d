# SPDX-License-Identifier: MIT
"""What bench/soak and bench/faults share."""
