# SPDX-License-Identifier: AGPL-3.0-or-later
"""Looks at what nix/ evaluates to (cases.nix, as JSON on standard input): whether each case holds, and above all
whether the units of the NixOS module are those of packaging/, key by key. With a binary it also builds the
configuration files.

usage: check.py [BINARY] < cases.json
"""

import ast
import builtins
import json
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"

# Keys whose values are words, and whose repetition adds words.
WORDS = {"After", "Also", "Documentation", "IPAddressAllow", "Requires", "Sockets", "WantedBy"}

# What differs, by unit, section and key: in packaging/, in the module, and why. Both have to be exactly this.
DIFFERENCES = {
    ("conclave.service", "Service", "ExecStart"): (
        ["/usr/lib/conclave/current/conclave serve"],
        ["{package}/bin/conclave serve"],
        "the store takes the place of versions and of the link to one of them",
    ),
    ("conclave-preflight@.service", "Service", "ExecStart"): (
        ["/usr/lib/conclave/%I/conclave preflight"],
        ["%f/bin/conclave preflight"],
        "the instance is a path in the store",
    ),
    ("conclave.service", "Install", "Also"): (
        ["conclave-https.socket", "conclave-quic.socket", "conclave-admin.socket"],
        None,
        "NixOS enables each unit for itself",
    ),
}
for unit in "conclave.service", "conclave-preflight@.service":
    for key, value in ("ConfigurationDirectory", "conclave"), ("ConfigurationDirectoryMode", "0755"):
        DIFFERENCES[unit, "Service", key] = ([value], None, "NixOS makes /etc, and it may be read-only")
for unit in "conclave.service", "conclave-preflight@.service", "conclave-https.socket", "conclave-quic.socket":
    DIFFERENCES[unit, "Unit", "Documentation"] = (
        ["man:conclave(1)", "file:///usr/share/doc/conclave/operations.md"],
        ["man:conclave(1)"],
        "there is no /usr/share/doc",
    )


def packaged(path):
    """The lines of a unit: (section, key, value)."""
    section, lines = None, []
    for line in path.read_text().splitlines():
        line = line.strip()
        if line.startswith("["):
            section = line.strip("[]")
        elif line and line[0] not in "#;":
            assert not line.endswith("\\"), f"{path}: a line that goes on is not understood here"
            key, value = line.split("=", 1)
            lines.append((section, key, value.strip()))
    return lines


def evaluated(unit, section):
    """The same lines, as NixOS writes them from its options. What it does not know is not passed over."""
    options = {
        "description": ("Unit", "Description"),
        "documentation": ("Unit", "Documentation"),
        "requires": ("Unit", "Requires"),
        "after": ("Unit", "After"),
        "wantedBy": ("Install", "WantedBy"),
        "listenStreams": (section, "ListenStream"),
        "listenDatagrams": (section, "ListenDatagram"),
    }
    settings = {"unitConfig": "Unit", f"{section.lower()}Config": section}
    lines = []
    for option, value in unit.items():
        if option in options:
            given = {options[option]: value}
        elif option in settings:
            given = {(settings[option], key): one for key, one in value.items()}
        elif option == "restartTriggers":
            continue  # for switch-to-configuration, and no key of systemd
        else:
            raise ValueError(f"what does NixOS make of {option}?")
        for (where, key), value in given.items():
            for one in value if isinstance(value, list) else [value]:
                lines.append((where, key, str(one).lower() if isinstance(one, bool) else str(one)))
    return lines


def keys(lines):
    """Lines by key, in the order in which a key has them."""
    found = {}
    for section, key, value in lines:
        value = {"yes": "true", "no": "false"}.get(value, value)
        found.setdefault((section, key), []).extend(value.split() if key in WORDS else [value])
    return found


def differences(name, packaged, evaluated, package):
    """What is not as it is to be."""
    want, have = keys(packaged), keys(evaluated)
    meant = {place[1:]: pair for place, pair in DIFFERENCES.items() if place[0] == name}
    found = []
    for section, key in {**want, **have, **meant}:
        pair = want.get((section, key)), have.get((section, key))
        ours, theirs, _ = meant.get((section, key), (pair[0], pair[0], "the same"))
        if pair != (ours, theirs and [value.format(package=package) for value in theirs]):
            found.append(f"{name} [{section}] {key}: packaging has {pair[0]}, the module has {pair[1]}")
    return found


def compare(given):
    """Every unit, and then whether a key that were missing would be noticed."""
    units = {f"{name}.service": evaluated(unit, "Service") for name, unit in given["services"].items()}
    units |= {f"{name}.socket": evaluated(unit, "Socket") for name, unit in given["sockets"].items()}
    files = {
        path.name: packaged(path)
        for path in (PACKAGING / "systemd").iterdir()
        if path.suffix in (".service", ".socket")
    }
    package = given["package"]["path"]
    check("the same units", sorted(files) == sorted(units), f"packaging: {sorted(files)}, module: {sorted(units)}")
    for name in sorted(files.keys() & units.keys()):
        found = differences(name, files[name], units[name], package)
        check(f"{name}: the same keys and values", not found, "\n".join(found))

    missed, tried = [], 0
    for name in files.keys() & units.keys():
        for lines, found in (
            (files[name], lambda lines: differences(name, lines, units[name], package)),
            (units[name], lambda lines: differences(name, files[name], lines, package)),
        ):
            for index, (section, key, value) in enumerate(lines):
                for changed in [], [(section, key, value + "x")]:
                    tried += 1
                    if not any(
                        f"[{section}] {key}:" in one for one in found(lines[:index] + changed + lines[index + 1 :])
                    ):
                        missed.append(f"{name} {key}={value} {'changed' if changed else 'taken away'}")
            for index, (line, other) in enumerate(zip(lines, lines[1:])):
                if line[:2] == other[:2]:
                    tried += 1
                    if not found([*lines[:index], other, line, *lines[index + 2 :]]):
                        missed.append(f"{name} {line[1]} in another order")
    check(f"each of {tried} changes on either side would be noticed", tried > 500 and not missed, "\n".join(missed))

    rules = [
        line for line in (PACKAGING / "tmpfiles.d/conclave.conf").read_text().splitlines() if not line.startswith("#")
    ]
    check("tmpfiles: the same", rules == given["tmpfiles"], f"{rules} {given['tmpfiles']}")
    user = given["user"]
    users = [
        line for line in (PACKAGING / "sysusers.d/conclave.conf").read_text().splitlines() if not line.startswith("#")
    ]
    want = [["u", user["group"], "-", user["description"], user["home"]]]
    check("sysusers: the same", [shlex.split(line) for line in users] == want, f"{users} {want}")


def toml(value, path=()):
    """Dotted keys; strings are written alike in JSON and TOML."""
    if not isinstance(value, dict):
        return f"{'.'.join(path)} = {json.dumps(value)}\n"
    return "".join(toml(one, (*path, key)) for key, one in value.items())


def build(given, binary):
    """Runs what builds the configuration file, with the real appliance."""
    for number, file in enumerate(given["files"]):
        with tempfile.TemporaryDirectory() as work:

            def write(match):
                path = Path(work, f"written-{match[1]}")
                path.write_text(toml(json.loads(match[2])))
                return str(path)

            script = re.sub(r"@toml:([^:]+):(.*?)@", write, file["script"])
            script = script.replace(f"{given['package']['path']}/bin/conclave", shlex.quote(binary))
            out = Path(work, "out")
            run = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=work,
                env={"PATH": "/usr/bin:/bin", "out": str(out)},
                capture_output=True,
                text=True,
            )
            if refused := file.get("refused"):
                good = run.returncode != 0 and not out.exists() and refused in run.stderr
                check(f"configuration {number}: refused, for {refused}", good, run.stderr)
            else:
                good = run.returncode == 0 and tomllib.loads(out.read_text()) == file["holds"]
                check(f"configuration {number}: taken by the appliance", good, run.stderr)


def missing(files, without):
    """What the sources include, and Cargo.toml names, that is not among the files of the package."""
    named = {ROOT / path for path in re.findall(r'^path = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M)}
    for source in (ROOT / "src").rglob("*.rs"):
        for included in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', source.read_text()):
            named.add((source.parent / included).resolve())

    def among(path, places):
        return any(path == place or place in path.parents for place in places)

    return sorted(str(path) for path in named if not among(path, files) or among(path, without))


def package(given):
    source = given["package"]["src"]
    files = [Path(path) for path in source["files"]]
    without = [Path(path) for path in source["without"]]
    check("the package has the files it is built from", not missing(files, without), missing(files, without))
    for path in "LICENSE", "src", "tests/media":
        fewer = [file for file in files if file != ROOT / path]
        check(f"without {path} that would fail", missing(fewer, without) != [], "it does not")
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    check("its version is that of Cargo.toml", given["package"]["version"] == version, given["package"]["version"])


def preflight(given):
    """Runs what comes before a switch, with a systemctl of ours: what it starts, and whether the switch goes on."""
    package = given["package"]["path"]
    unit = "conclave-preflight@" + package.strip("/").replace("-", r"\x2d").replace("/", "-") + ".service"
    for name, active, running, sound, wanted in (
        ("the first switch", False, "", True, (0, [])),
        ("the version that runs already", True, package, True, (0, [])),
        ("another version", True, "/other", True, (0, [unit])),
        ("one that cannot serve what is there", True, "/other", False, (1, [unit])),
    ):
        with tempfile.TemporaryDirectory() as work:
            started = Path(work, "started")
            started.touch()
            systemctl = Path(work, "systemctl")
            systemctl.write_text(
                f"#!/bin/bash\ncase $1 in --quiet) exit {0 if active else 3} ;;\n"
                f"show) echo 'ExecStart={{ path={running}/bin/conclave ; argv[]=x }}' ;;\n"
                f'start) echo "$2" >>{started}; exit {0 if sound else 1} ;; esac\n'
            )
            systemctl.chmod(0o755)
            bin = given["systemd"] + "/bin"
            script = given["preSwitchCheck"].replace(f"{bin}/systemctl", str(systemctl))
            script = script.replace(f"{bin}/systemd-escape", "systemd-escape")
            run = subprocess.run(["bash", "-euc", script], capture_output=True, text=True)
            did = run.returncode, started.read_text().split()
            check(f"before a switch: {name}", did == wanted, f"{did} and not {wanted}: {run.stderr}")


def scripts(given, binary):
    """Shell and Python that run elsewhere: they parse, and name what is there."""
    for name, script in ("preflight", given["preSwitchCheck"]), ("package", given["package"]["postInstall"]):
        run = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
        check(f"script of the {name}: parses", run.returncode == 0, run.stderr)

    tree = ast.parse(given["vm"]["script"])
    nodes = list(ast.walk(tree))
    known = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    known |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    known |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    known |= {*dir(builtins), *given["vm"]["nodes"], "start_all", "subtest"}
    unknown = {node.id for node in nodes if isinstance(node, ast.Name)} - known
    check("VM test: every name in its script is one", not unknown, unknown)
    if not binary:
        return
    texts = [
        "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
        if isinstance(node, ast.JoinedStr)
        else node.value
        for node in nodes
        if isinstance(node, ast.JoinedStr) or isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    commands = {command for text in texts for command in re.findall(r"\bconclave ((?:[a-z]+ ?)+[^|;)]*)", text)}
    wrong = []
    for command in sorted(commands):
        words = re.match(r"[a-z]+( [a-z]+)?", command)[0].split()
        help = subprocess.run([binary, *words, "--help"], capture_output=True, text=True)
        options = set(re.findall(r"--[a-z-]+", command)) - set(re.findall(r"--[a-z-]+", help.stdout))
        if help.returncode or options:
            wrong.append(f"conclave {command}: {help.stderr or options}")
    check(
        f"VM test: the {len(commands)} commands of conclave are there",
        len(commands) > 6 and not wrong,
        "\n".join(wrong),
    )


passed = failed = 0


def check(name, good, otherwise=""):
    global passed, failed
    print(f"ok      {name}" if good else f"FAILED  {name}")
    if good:
        passed += 1
    else:
        failed += 1
        print("\n".join(f"        {line}" for line in str(otherwise).splitlines()))


given = json.load(sys.stdin)
binary = str(Path(sys.argv[1]).resolve()) if len(sys.argv) > 1 else None
for case in given["cases"]:
    check(case["name"], not case["wrong"], "\n".join(case["wrong"]))
compare(given)
package(given)
preflight(given)
scripts(given, binary)
if binary:
    build(given, binary)
print(f"{passed} passed, {failed} failed")
sys.exit(failed != 0)
