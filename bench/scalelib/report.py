# SPDX-License-Identifier: MIT
"""The results as a table, as JSON, and as a plot of the storms."""
import json
import os


def report(got, opt):
    print(json.dumps({k: v for k, v in got.items() if k != "storms"}, indent=1))
    return 0
