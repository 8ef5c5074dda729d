# SPDX-License-Identifier: MIT
"""What was typed wrongly is quoted, by every command alike."""
import pytest

from rigwaylib.home import Home


@pytest.mark.parametrize("argv", [
    ("invite", "--uses", "0"), ("invite", "--uses", "many"),
    ("invite", "--expires", "0s"), ("invite", "--expires", "soon"),
    ("rig", "invite", "--uses", "0"), ("rig", "invite", "--expires", "soon"),
    ("relay", "invite", "--uses", "0"),
    ("relay", "invite", "--expires", "soon"),
], ids="-".join)
def test_a_number_that_makes_no_sense_is_quoted(tmp, argv):
    Home(tmp, "home").fails(*argv, check=2, says=f"'{argv[-1]}'")
