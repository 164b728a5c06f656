# SPDX-License-Identifier: AGPL-3.0-or-later
"""operations.py: holds docs/operations.md to the program, and to the units, alerts and fields it speaks of.

operations.py BINARY [DOCUMENT]     checks every command line, then runs the blocks that need only a running appliance
operations.py --check BINARY [DOCUMENT]
                                    checks alone
operations.py --installed [--deb FILE] [--skip SECTION]... [DOCUMENT]
                                    prints what needs an installed Debian system with real systemd, one command a line,
                                    in order, the removal last: for root, in a directory with the package, with nothing
                                    installed and claimed yet. A section (its heading in lower case, with dashes) that
                                    is skipped is left out.
operations.py --file NAME [DOCUMENT]
                                    prints the block that is that file

A fenced block says what it is behind its language: `run=appliance` and `run=installed` as above, `exit=0,1` which codes
are good (0 otherwise), `file=NAME` which file it is, `unit=NAME` of which unit it is a drop-in.
"""
import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs/operations.md"
# Whose words name commands too.
OTHERS = [ROOT / "packaging/prometheus/conclave.rules.yml", ROOT / "packaging/grafana/conclave.json"]
SEPARATORS = {"&&", "||", "|", ";"}


class Block:
    def __init__(self, line, section, info, text):
        self.line, self.section, self.text = line, section, text
        language, *words = info.split() or [""]
        self.language = language
        pairs = [word.partition("=")[::2] for word in words]
        self.runs = {value for key, value in pairs if key == "run"}
        rest = dict(pair for pair in pairs if pair[0] != "run")
        self.exits = [int(code) for code in rest.get("exit", "0").split(",")]
        self.file, self.unit = rest.get("file"), rest.get("unit")
        unknown = (set(rest) - {"exit", "file", "unit"}) | (self.runs - {"appliance", "installed"})
        if unknown:
            sys.exit(f"line {line}: what is {sorted(unknown)} behind the fence?")

    def lines(self):
        return [line for line in self.text.splitlines() if line.strip() and not line.startswith("#")]


def read(path):
    """Blocks, and the text between them with its line numbers."""
    blocks, prose, section, open_at, info, inside = [], [], "", None, "", []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            if open_at is None:
                open_at, info, inside = number, line[3:], []
            else:
                blocks.append(Block(open_at, section, info, "\n".join(inside) + "\n"))
                open_at = None
        elif open_at is not None:
            inside.append(line)
        else:
            if line.startswith("#"):
                section = re.sub(r"[^\w-]", "", line.lstrip("# ").lower().replace(" ", "-"))
            prose.append((number, line))
    return blocks, prose


# The command line as the program says it.


class Help:
    def __init__(self, text):
        def part(heading):
            found = re.search(rf"(?m)^{heading}:\n((?:.+\n|\n(?= ))*)", text + "\n")
            return found[1] if found else ""

        self.commands = set(re.findall(r"(?m)^  ([a-z][a-z-]*)(?:  |$)", part("Commands"))) - {"help"}
        # Each option with whether a value follows.
        self.options = {}
        for short, long, value in re.findall(r"(?m)^ +(?:(-\w), |    )?(--[a-z-]+)( <)?", part("Options")):
            for name in filter(None, (short, long)):
                self.options[name] = bool(value)
        for short in re.findall(r"(?m)^ +(-\w), --", part("Options")):
            self.options.setdefault(short, False)
        usage = " ".join(re.search(r"Usage: (.*(?:\n {2,}.*)*)", text)[1].split())
        self.required = set(re.findall(r"(?<!\[)(--[a-z-]+) <", re.sub(r"\[[^]]*\]|<--[^>]*(?:<[^>]*>[^>]*)*>", "", usage)))
        places = re.sub(r"--[a-z-]+ <[^>]+>|\[OPTIONS\]|<COMMAND>|\[COMMAND\]", "", usage)
        self.least = len(re.findall(r"(?<!\[)<[A-Z]", places))
        self.most = len(re.findall(r"<[A-Z]|\[[A-Z]", places)) if "..." not in places else 99


@functools.cache
def help_of(binary, *path):
    shown = subprocess.run([binary, *path, "--help"], capture_output=True, text=True, check=True)
    return Help(shown.stdout)


def wrong_with(binary, words, whole):
    """What the program would not take of its arguments; `whole` when nothing is left out."""
    path = []
    while words and words[0] in help_of(binary, *path).commands:
        path.append(words[0])
        words = words[1:]
        # Options of every command may stand before it.
    here = help_of(binary, *path)
    name = " ".join(["conclave", *path])
    if words and words[0].startswith("-") and here.commands:
        # Such as `conclave --json doctor`.
        option, rest = words[0], words[1:]
        if option not in here.options:
            return f"{name} has no option {option}"
        return wrong_with(binary, path + (rest[1:] if here.options[option] else rest), whole)
    if here.commands:
        if words:
            return f"{name} has no command {words[0]!r}"
        return f"{name} is no whole command" if whole else None
    given, places, words = set(), 0, list(words)
    while words:
        word = words.pop(0)
        if word in ("…", "..."):
            whole = False
            continue
        if re.fullmatch(r"--?[a-z][a-z-]*(=.*)?", word):
            option, _, value = word.partition("=")
            if option not in here.options:
                return f"{name} has no option {option}"
            given.add(option)
            if here.options[option] and not value:
                if not words and whole:
                    return f"{name}: {option} takes a value"
                words = words[1:]
        else:
            places += 1
    if places > here.most:
        return f"{name} takes {here.most} arguments and not {places}"
    if whole and places < here.least:
        return f"{name} takes {here.least} arguments and not {places}"
    # A short one stands for its long one.
    missing = {option for option in here.required if option not in given and not short_of(option, given, binary, path)}
    return f"{name} needs {', '.join(sorted(missing))}" if whole and missing else None


def short_of(option, given, binary, path):
    shown = subprocess.run([binary, *path, "--help"], capture_output=True, text=True, check=True).stdout
    found = re.search(rf"(?m)^ +(-\w), {option}\b", shown)
    return bool(found) and found[1] in given


def commands_in(line):
    """Arguments of each `conclave` in a line of a shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    lexer.commenters = ""
    command = []
    for word in [*lexer, ";"]:
        if word not in SEPARATORS:
            command.append(word)
            continue
        while command and re.fullmatch(r"\w+=.*", command[0]):
            command = command[1:]
        if command[:1] == ["sudo"]:
            command = command[3:] if command[1:2] == ["-u"] else command[1:]
        if command and Path(command[0]).name == "conclave":
            yield command[1:]
        command = []


def spans(text):
    """Code between backticks, lines joined, with the line where it begins."""
    for found in re.finditer(r"`([^`]+)`", text):
        yield text.count("\n", 0, found.start()), " ".join(found[1].split())


def check_commands(binary, blocks, prose):
    seen = 0
    for block in blocks:
        if block.language != "sh":
            continue
        for line in block.lines():
            for words in commands_in(line):
                seen += 1
                if problem := wrong_with(binary, words, True):
                    yield f"line {block.line}: {line}\n    {problem}"
    said = [("", code) for _, code in spans("\n".join(line for _, line in prose))]
    said += [(f"{path.name}: ", code) for path in OTHERS for _, code in spans(path.read_text(encoding="utf-8"))]
    for where, code in said:
        if re.search(r"\bconclave\s", code) is None:
            continue
        try:
            every = list(commands_in(code))
        except ValueError as error:
            yield f"{where}`{code}`\n    {error}"
            continue
        for words in every:
            seen += 1
            if problem := wrong_with(binary, words, False):
                yield f"{where}`{code}`\n    {problem}"
    if seen < 60:
        yield f"only {seen} commands were found: this looks at nothing"


def check_names(binary, blocks, prose, text):
    """Units, keys of the configuration, exit codes, alerts, options of the module, fields of the journal."""
    units = {path.name for path in (ROOT / "packaging/systemd").iterdir()}
    for unit in set(re.findall(r"\bconclave[a-z-]*@?[0-9.*]*\.(?:service|socket)\b", text)):
        if re.sub(r"@.*(\.\w+)$", r"@\1", unit) not in units:
            yield f"there is no unit {unit}"
    reference = subprocess.run([binary, "config", "reference"], capture_output=True, text=True, check=True).stdout
    keys = set(re.findall(r"(?m)^\| `([a-z_.]+)` \|", reference))
    tables = {key.split(".")[0] for key in keys}
    for _, code in spans("\n".join(line for _, line in prose)):
        key = code.split(" = ")[0]
        if re.fullmatch(r"[a-z_]+(\.[a-z_]+)?", key) and key.split(".")[0] in tables and "." in key and key not in keys:
            yield f"there is no key {key} in the configuration"
    shown = subprocess.run([binary, "--help"], capture_output=True, text=True, check=True).stdout
    # 243 is systemd's own.
    known = set(re.findall(r"(?:^|·)\s*(\d+)\s", shown.partition("Exit codes:")[2])) | {"243"}
    for code in re.findall(r"(?m)^\| (\d+) \|", text):
        if code not in known:
            yield f"there is no exit code {code}"
    alerts = set(re.findall(r"alert: (\w+)", OTHERS[0].read_text(encoding="utf-8")))
    for alert in set(re.findall(r"`(Conclave[A-Z]\w+)`", text)) - alerts:
        yield f"there is no alert {alert}"
    module = (ROOT / "nix/module.nix").read_text(encoding="utf-8")
    for option in set(re.findall(r"services\.conclave\.(\w+)", text)):
        if not re.search(rf"(?m)^    {option} = mkOption|^    {option} = mkEnableOption", module):
            yield f"the module has no option {option}"
    version = re.search(r'(?m)^version = "(.*)"', (ROOT / "Cargo.toml").read_text())[1].replace("-", "~")
    if f"conclave_{version}_amd64.deb" not in text:
        yield f"nothing installs conclave_{version}_amd64.deb"
    documented = set(re.findall(r"\bF_([A-Z_]+)\b", text))
    logged = {name.replace(".", "_").upper() for name in logged_fields()}
    for name in sorted(documented - logged):
        yield f"nothing is logged as F_{name}"
    for name in sorted(logged - documented):
        yield f"F_{name} is logged at level info or above, and not in the document"


def logged_fields():
    """Fields of what the appliance logs at levels error, warn and info."""
    found = set()
    for path in (ROOT / "src").rglob("*.rs"):
        # Not those of the demo's people, nor of what only tests turn on.
        if "cli" in path.parts or path.name == "probe.rs":
            continue
        for call in re.findall(r"tracing::(?:error|warn|info)!\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)", path.read_text()):
            call = re.sub(r'"(?:[^"\\]|\\.)*"', '""', call)
            # Fields stand before the message: `name = value`, or a name alone.
            for field in call.partition('""')[0].split(","):
                if named := re.match(r"\s*(?:([a-z_.]+) = |[%?]?([a-z_]+)\s*$)", field):
                    found.add(named[1] or named[2])
    return found


# What would be wrong if the document said it: each has to be noticed.
WRONG = [
    ("conclave key seal\n", "conclave key seal --pcrs 7\n"),
    ("conclave network list\n", "conclave network lists\n"),
    ("conclave throttle clear -w acme bob", "conclave throttle clear -w acme"),
    ("conclave throttle list -w acme", "conclave throttle list"),
    ("conclave operator recover olga", "conclave operator recover olga otto"),
    ("`conclave --json doctor`", "`conclave doctor --jsonl`"),
    ("`conclave token list`", "`conclave tokens list`"),
    ("limits.connections_per_address", "limits.connections_per_network"),
    ("`conclave-preflight@0.2.0.service`", "`conclave-pre@0.2.0.service`"),
    ("| 75 |", "| 76 |"),
    ("services.conclave.port", "services.conclave.ports"),
    ("F_CHECK", "F_CHECKED"),
    ("`F_FILE`", "`FILE`"),
    ("`ConclaveDown`", "`ConclaveGone`"),
]


def check_checks(binary, text):
    """Whether the checks find what they look for."""
    with tempfile.NamedTemporaryFile("w+", suffix=".md", encoding="utf-8") as file:
        for right, wrong in WRONG:
            if right not in text:
                yield f"the document does not say {right!r} any more: choose another mistake to look for"
                continue
            changed = text.replace(right, wrong)
            file.seek(0)
            file.truncate()
            file.write(changed)
            file.flush()
            blocks, prose = read(file.name)
            if not [*check_commands(binary, blocks, prose), *check_names(binary, blocks, prose, changed)]:
                yield f"{wrong!r} in place of {right!r} is not noticed"


def tool(name, package):
    """Whether it is there. In CI it has to be."""
    if shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
        return True
    print(f"        not looked at: there is no {name} (Debian: {package})")
    if os.environ.get("CI") == "true":
        sys.exit(1)
    return False


def check_files(binary, blocks, work):
    """What is a whole file is read by the program that would read it."""
    for block in blocks:
        path = work / (block.file or "block")
        path.write_text(block.text, encoding="utf-8")
        command = None
        if block.language == "nft" and tool("nft", "nftables"):
            command = ["nft", "-c", "-f", path]
            if os.getuid() != 0:
                command = ["unshare", "--user", "--map-root-user", "--net", *command]
        elif block.language == "nix" and tool("nix-instantiate", "nix-bin"):
            command = ["nix-instantiate", "--store", "dummy://", "--parse", path]
        if command:
            environment = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin", "HOME": str(work), "NIX_CONF_DIR": str(work)}
            ran = subprocess.run(command, capture_output=True, text=True, env=environment)
            if ran.returncode:
                yield f"line {block.line}: {ran.stderr.strip()}"


# With a running appliance.


class Appliance:
    """One that claims itself by the document's own provision.toml."""

    def __init__(self, binary, work, provision):
        self.binary, self.work, self.socket = binary, work, work / "admin.sock"
        kit = subprocess.run(
            [binary, "--json", "recovery", "new", "--kit-file", work / "kit.txt"], capture_output=True, text=True, check=True
        )
        key = json.loads(kit.stdout)["recovery_public_key"]
        text = provision.replace("/etc/conclave/", f"{work}/")
        text = re.sub(r'(?m)^recovery_public_key = .*$', f'recovery_public_key = "{key}"', text)
        (work / "provision.toml").write_text(text, encoding="utf-8")
        self.private("operator.password", "olga has a long enough one 7\n")
        (work / "data").mkdir(mode=0o700)
        self.config = work / "conclave.toml"
        self.config.write_text(
            f'data_dir = "{work}/data"\nprovision = "{work}/provision.toml"\nhttps.listen = ["127.0.0.1:0"]\n'
            f'admin.socket = "{self.socket}"\nlog.format = "text"\n'
        )
        subprocess.run([binary, "--config", self.config, "config", "check"], check=True, capture_output=True)
        self.log = open(work / "log", "wb")
        self.process = subprocess.Popen([binary, "--config", self.config, "serve"], stderr=self.log)
        for _ in range(200):
            if self.process.poll() is not None:
                sys.exit(f"the appliance does not start:\n{(work / 'log').read_text()}")
            status = self.run("--json", "status")
            if status.returncode == 0:
                break
            time.sleep(0.1)
        status = json.loads(status.stdout)
        if status["claim"] != "claimed":
            sys.exit(f"the document's provision.toml did not claim it:\n{(work / 'log').read_text()}")
        self.address = status["https"][0]

    def private(self, name, text):
        path = self.work / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")

    def run(self, *arguments, stdin=""):
        command = [self.binary, "--config", self.config, *arguments]
        return subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=60)

    def try_in_vain(self, workspace, user):
        credential = json.dumps({"plain": {"workspace": workspace, "user_name": user, "password": "not the right one"}})
        command = ["curl", "--silent", "--cacert", self.work / "conclave-root.pem", "--connect-to", f"meet.example.lan:443:{self.address}"]
        command += ["--header", "content-type: application/json", "--data", credential]
        subprocess.run([*command, "https://meet.example.lan/api/v1/sessions"], check=True, capture_output=True, timeout=20)

    def block(self, block):
        """Runs it as it stands, but for where the appliance is."""
        text = block.text.replace("/run/conclave/admin.sock", str(self.socket))
        if "bob.password" in text:
            self.private("bob.password", "bob has a long enough one 7\n")
            self.run("account", "password", "-w", "acme", "bob", "--password-stdin", stdin="bob has a long enough one 7")
            port = self.address.rsplit(":", 1)[1]
            text = text.replace("--server https://meet.example.lan", f"--server https://meet.example.lan:{port} --address 127.0.0.1")
        if "throttle clear" in text:
            self.try_in_vain("acme", "bob")
        script = (
            "set -euo pipefail\n"
            f"conclave() {{ {shlex.quote(str(self.binary))} --config {shlex.quote(str(self.config))} \"$@\"; }}\n"
            f"curl() {{ command curl --fail --connect-to meet.example.lan:443:{self.address} \"$@\"; }}\n" + text
        )
        return subprocess.run(["bash", "-c", script], cwd=self.work, capture_output=True, text=True, timeout=60)

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


def run_blocks(binary, blocks, work):
    provision = next(block.text for block in blocks if block.file == "provision.toml")
    appliance = Appliance(binary, work, provision)
    try:
        for block in (block for block in blocks if "appliance" in block.runs):
            ran = appliance.block(block)
            first = block.lines()[0]
            if ran.returncode in block.exits:
                print(f"ok      line {block.line}: {first[:90]}")
            else:
                output = "\n".join(f"        {line}" for line in (ran.stdout + ran.stderr).splitlines())
                yield f"line {block.line}: {first}\n    ended with {ran.returncode}\n{output}"
    finally:
        appliance.end()


# In an installed system.


def installed(blocks, skip, deb):
    for block in sorted(blocks, key=lambda block: block.section == "remove"):
        if block.section in skip:
            continue
        if block.unit:
            directory = f"/etc/systemd/system/{block.unit}.d"
            words = " ".join(shlex.quote(line) for line in block.lines())
            yield f"mkdir -p {directory} && printf '%s\\n' {words} >{directory}/override.conf && systemctl daemon-reload"
        elif "installed" in block.runs:
            for line in block.lines():
                line = re.sub(r"^((?:\w+=\w+ )*)apt (install|remove|purge) ", r"\1apt-get \2 -y --no-install-recommends ", line)
                if deb:
                    line = re.sub(r"\./conclave_\S+\.deb", deb, line)
                if block.exits != [0]:
                    codes = " || ".join(f"[ $code -eq {code} ]" for code in block.exits)
                    line = f"code=0; {line} || code=$?; {codes}"
                yield line


def main(arguments):
    skip, deb, mode = set(), None, "all"
    words = []
    while arguments:
        word = arguments.pop(0)
        if word in ("--check", "--installed"):
            mode = word
        elif word in ("--skip", "--deb", "--file"):
            if not arguments:
                sys.exit(__doc__)
            value = arguments.pop(0)
            if word == "--skip":
                skip.add(value)
            elif word == "--deb":
                deb = value
            else:
                mode, name = word, value
        elif word.startswith("-"):
            sys.exit(__doc__)
        else:
            words.append(word)
    takes_binary = mode in ("all", "--check")
    if len(words) < takes_binary or len(words) > takes_binary + 1:
        sys.exit(__doc__)
    binary = str(Path(words.pop(0)).resolve()) if takes_binary else None
    document = words[0] if words else DOCUMENT
    blocks, prose = read(document)

    if mode == "--file":
        found = [block.text for block in blocks if block.file == name]
        print(found[0] if found else sys.exit(f"no block is {name}"), end="")
        return
    if mode == "--installed":
        unknown = skip - {block.section for block in blocks}
        if unknown:
            sys.exit(f"no section with blocks is called {', '.join(sorted(unknown))}")
        print("\n".join(installed(blocks, skip, deb)))
        return

    text = Path(document).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        wrong = [*check_commands(binary, blocks, prose), *check_names(binary, blocks, prose, text), *check_files(binary, blocks, work)]
        if not wrong:
            wrong = [*check_checks(binary, text)]
        if not wrong:
            print("ok      commands, options, units, keys, codes, alerts, fields and files are there; mistakes are noticed")
        if mode == "all":
            wrong += run_blocks(binary, blocks, work)
    for one in wrong:
        print(f"FAILED  {one}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
