# SPDX-License-Identifier: AGPL-3.0-or-later
"""recorded.py DIR --seconds S [--one-gap MS]: whether `conclave client --record DIR` saw and heard somebody for S seconds.

Poses come 72 times a second, so a longer gap between two of them is a time in which nothing arrived. None is taken but
the one that --one-gap permits, up to so many milliseconds; and after that one frames must have arrived."""

import argparse
import json
import pathlib
import sys

arguments = argparse.ArgumentParser()
arguments.add_argument("directory", type=pathlib.Path)
arguments.add_argument("--seconds", type=float, required=True)
arguments.add_argument("--one-gap", type=float, default=0.0)
given = arguments.parse_args()

# What a busy machine does to somebody who has nothing to do with it.
STUTTER = 1000.0

at = [json.loads(line)["at_ms"] for line in (given.directory / "poses.jsonl").read_text().splitlines()]
if len(at) < 2:
    sys.exit(f"{len(at)} poses arrived")
gaps = sorted(((later - earlier, later) for earlier, later in zip(at, at[1:])), reverse=True)
print(f"{len(at)} poses in {at[-1] - at[0]:.0f} ms; longest gaps: " + ", ".join(f"{gap:.0f} ms" for gap, _ in gaps[:3]))
(longest, ended), (second, _) = gaps[0], gaps[1]
if given.one_gap:
    if longest > given.one_gap:
        sys.exit(f"a gap of {given.one_gap:.0f} ms at most was expected")
    if sum(when > ended for when in at) < 20:
        sys.exit("hardly anything arrived after it")
    longest = second
if longest > STUTTER:
    sys.exit("there is a gap that nothing explains")
if at[-1] - at[0] < given.seconds * 1000:
    sys.exit("that is too short")
# Speech of 20 ms a packet has 50 a second, and none is smaller than 8 bytes.
voice = sum(file.stat().st_size for file in given.directory.glob("voice-*.opus"))
print(f"{voice} bytes of voice")
if voice < given.seconds * 50 * 8:
    sys.exit("nobody was heard, or hardly")
