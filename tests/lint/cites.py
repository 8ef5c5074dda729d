# SPDX-License-Identifier: MIT
"""Every cited section of PROTOCOL.md is there, and its list of contents names
each chapter; sections of RFCs and drafts are let be."""
import re

import tree

PAGE = "docs/PROTOCOL.md"
CITED = re.compile(r"(?:\bsections?\s+(\d+(?:\.\d+)*)"
                   r"(?:\s*(?:,|to|and)\s+(\d+(?:\.\d+)*))*"
                   r"|PROTOCOL\.md,?\s+(\d+(?:\.\d+)*))")
FOREIGN = re.compile(r"(?:RFC\s+\d+|draft-[a-z0-9-]+)\W*$")


def sections():
    return set(re.findall(r"^##+ (\d+(?:\.\d+)*)\.? ", tree.read(PAGE), re.M))


def cited(text):
    """(line, number) of each citation. A comment may break anywhere."""
    flat = re.sub(r"\n[ \t]*(?:\*|#|//)?[ \t]*",
                  lambda m: " " * (len(m.group()) - 1) + "\n", text)
    flat = flat.replace("\n", " ")
    for m in CITED.finditer(flat):
        if FOREIGN.search(flat[max(0, m.start() - 80):m.start()].rstrip()):
            continue
        line = text.count("\n", 0, m.start()) + 1
        for number in re.findall(r"\d+(?:\.\d+)*", m.group()):
            yield line, number


def main():
    problems, n = [], 0
    there = sections()
    if len(there) < 10:
        problems.append(f"{PAGE}: no numbered sections")
    for path in tree.files("src", "tests", "bench", "contrib", "docs", "man",
                           "README.md", "CONTRIBUTING.md", "SECURITY.md",
                           ends=(".c", ".h", ".py", ".md", ".1", ".5", ".8")):
        text = tree.read(path)
        for line, number in cited(text):
            n += 1
            if number not in there:
                problems.append(f"{path}:{line}: {PAGE} has no section "
                                f"{number}")
        if path == PAGE:
            for m in re.finditer(r"\((\d+\.\d+)\)", text):
                if m.group(1) not in there:
                    problems.append(f"{PAGE}: ({m.group(1)}) is no section")
    listed = set(re.findall(r"^\[?(\d+)\.|· \[?(\d+)\.|(\d+)\. \[",
                            tree.read(PAGE), re.M))
    listed = {x for m in listed for x in m if x}
    for number in there:
        if "." not in number and number not in listed:
            problems.append(f"{PAGE}: chapter {number} is not in its contents")
    tree.end(problems, n, "citations")


if __name__ == "__main__":
    main()
