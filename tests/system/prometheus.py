# SPDX-License-Identifier: AGPL-3.0-or-later
"""prometheus.py: what alert rules and dashboard ask for is compared with what a real appliance says.

prometheus.py names SCRAPE RULES DASHBOARD   every metric, label and value they name is in that scrape (a file)
prometheus.py tested RULES TEST              every alert of the rules fires in the unit tests
prometheus.py dashboard DASHBOARD            it needs nothing from elsewhere, and its data source is a variable
prometheus.py live URL RULES DASHBOARD       a Prometheus at URL scrapes the appliance, evaluates every rule, answers
                                             every query of the dashboard
prometheus.py pending URL ALERT              that alert is about to fire there
"""
import json
import re
import sys
import time
import urllib.parse
import urllib.request

# Counted from the first time on: a label that no scrape of a young appliance has.
LATER = {("conclave_http_requests_total", "status"), ("conclave_sign_ins_total", "outcome")}
# What Prometheus adds to every series, and what our own aggregations leave.
ADDED = {"job", "instance"}
SELECTOR = re.compile(r"\b(conclave_[a-z0-9_]+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
GROUPING = re.compile(r"\b(?:by|on|group_left|ignoring|without)\s*\(([^)]*)\)")
TYPES = {"row", "timeseries", "stat"}  # Panels that Grafana has of itself.


def scraped(path):
    """Series of each metric: a list of labels. Histograms by the names of their samples."""
    series = {}
    for line in open(path, encoding="utf-8"):
        found = re.match(r"([a-z0-9_]+)(?:\{(.*)\})? \S+$", line.rstrip("\n"))
        if found and not line.startswith("#"):
            series.setdefault(found[1], []).append(dict(re.findall(r'(\w+)="([^"]*)"', found[2] or "")))
    return series


def rule_expressions(path):
    """`expr:` of each alert, by its name. The file is ours: plain or folded scalars, nothing else."""
    found, name, block = {}, None, None
    for line in open(path, encoding="utf-8"):
        if alert := re.match(r"\s+- alert: (\w+)$", line):
            name, block = alert[1], None
        elif expression := re.match(r"(\s+)expr: (.*)$", line):
            block = len(expression[1]) if expression[2] == "|" else None
            found[name] = "" if expression[2] == "|" else expression[2]
        elif block is not None and len(line) - len(line.lstrip()) > block:
            found[name] += line
        else:
            block = None
    return found


def panels(dashboard):
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def dashboard_expressions(path):
    found = {}
    dashboard = json.load(open(path, encoding="utf-8"))
    for panel in panels(dashboard):
        for target in panel.get("targets", []):
            found[f"{panel['title']} ({target['refId']})"] = target["expr"]
    for variable in dashboard["templating"]["list"]:
        if asked := re.match(r"label_values\((.*), \w+\)$", variable.get("definition", "")):
            found[f"variable {variable['name']}"] = asked[1]
    return found


def holds(operator, wanted, actual):
    if operator in ("=", "!="):
        return (wanted == actual) == (operator == "=")
    return bool(re.fullmatch(wanted, actual)) == (operator == "=~")


def wrong_names(series, expressions):
    wrong = []
    for where, expression in expressions.items():
        named = SELECTOR.findall(expression)
        labels = set(ADDED)
        for metric, matchers in named:
            if metric not in series:
                wrong.append(f"{where}: there is no {metric}")
                continue
            labels |= {label for one in series[metric] for label in one}
            for label, operator, value in MATCHER.findall(matchers):
                if label in ADDED:
                    continue
                if all(label not in one for one in series[metric]):
                    wrong.append(f"{where}: {metric} has no label {label}")
                elif (metric, label) not in LATER and not any(
                    holds(operator, value, one.get(label, "")) for one in series[metric]
                ):
                    wrong.append(f'{where}: {metric} never has {label}{operator}"{value}"')
        grouped = {label.strip() for group in GROUPING.findall(expression) for label in group.split(",") if label.strip()}
        wrong.extend(f"{where}: nothing it asks for has a label {label}" for label in sorted(grouped - labels) if named)
    return wrong


def names(scrape, rules, dashboard):
    series = scraped(scrape)
    asked = rule_expressions(rules) | dashboard_expressions(dashboard)
    wrong = wrong_names(series, asked)
    if len(asked) < 40 or len(series) < 30:
        wrong.append(f"only {len(asked)} expressions and {len(series)} metrics were found: this looks at nothing")
    return wrong


def tested(rules, test):
    fires = set(re.findall(r'alertname="(\w+)"', open(test, encoding="utf-8").read()))
    alerts = set(rule_expressions(rules))
    text = open(rules, encoding="utf-8").read()
    wrong = [f"{alert} fires in no test" for alert in sorted(alerts - fires)]
    wrong += [f"{alert} is tested and not there" for alert in sorted(fires - alerts)]
    for part in re.split(r"(?m)^\s+- alert: ", text)[1:]:
        name = part.split("\n", 1)[0]
        wrong += [f"{name} has no {key}" for key in ("severity: ", "summary: ", "description: ") if key not in part]
        if not re.search(r"severity: (critical|warning)\n", part):
            wrong.append(f"{name}: the severity is neither critical nor warning")
    return wrong


def dashboard(path):
    text = open(path, encoding="utf-8").read()
    parsed, wrong = json.loads(text), []
    if "://" in text:
        wrong.append("it names an address elsewhere")
    if parsed["links"] or parsed["id"] is not None or "__inputs" in parsed:
        wrong.append("it has links, an id of its own or inputs")
    if not any(one["type"] == "datasource" and one["name"] == "datasource" for one in parsed["templating"]["list"]):
        wrong.append("no variable chooses the data source")
    every = list(panels(parsed))
    ids = [panel["id"] for panel in every]
    if len(ids) != len(set(ids)):
        wrong.append("two panels have one id")
    taken = {}
    for panel in every:
        place, title = panel["gridPos"], panel["title"]
        if panel["type"] not in TYPES:
            wrong.append(f"{title}: panels of type {panel['type']} are a plugin")
        if panel.get("links"):
            wrong.append(f"{title} has links")
        sources = [panel.get("datasource")] + [target.get("datasource") for target in panel.get("targets", [])]
        if panel["type"] != "row" and any((one or {}).get("uid") != "${datasource}" for one in sources):
            wrong.append(f"{title} has a data source of its own")
        if place["x"] + place["w"] > 24:
            wrong.append(f"{title} is wider than the page")
        for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])):
            if cell in taken:
                wrong.append(f"{title} lies over {taken[cell]}")
                break
            taken[cell] = title
    return wrong


def ask(url, path, **parameters):
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=5) as answer:
        return json.load(answer)["data"]


def until(seconds, look):
    """What is still wrong after so long: nothing, as soon as nothing is."""
    end = time.monotonic() + seconds
    while True:
        try:
            wrong = look()
        except OSError as error:
            wrong = [str(error)]
        if not wrong or time.monotonic() > end:
            return wrong
        time.sleep(0.2)


def live(url, rules, dashboard):
    def target():
        targets = ask(url, "targets")["activeTargets"]
        ill = [f"{one['scrapeUrl']}: {one['health']} {one['lastError']}" for one in targets if one["health"] != "up"]
        return ill or ([] if targets else ["it has no target"])

    def evaluated():
        known = [rule for group in ask(url, "rules")["groups"] for rule in group["rules"]]
        ill = [f"{one['name']}: {one['health']} {one.get('lastError', '')}" for one in known if one["health"] != "ok"]
        missing = set(rule_expressions(rules)) - {one["name"] for one in known}
        return ill + [f"{name} is not there" for name in missing]

    def answers():
        wrong = []
        for where, expression in dashboard_expressions(dashboard).items():
            query = expression.replace("$__rate_interval", "10s").replace("$job", ".+").replace("$instance", ".+")
            try:
                found = ask(url, "query", query=query)["result"]
            except OSError as error:
                wrong.append(f"{where}: {error}")
                continue
            # Who refused nothing, moved nothing and hashed nothing in these seconds has nothing to show.
            if not found and not re.search(r"> 0\b|sign_ins|histogram", query):
                wrong.append(f"{where} shows nothing: {query}")
        return wrong

    wrong = until(10, target) or until(10, evaluated) or until(10, answers)
    firing = [one["labels"]["alertname"] for one in ask(url, "alerts")["alerts"]]
    # It stands beside whatever else fills this disk.
    return wrong + [f"{name} is on for an appliance that is well" for name in firing if name != "ConclaveDiskLow"]


def pending(url, alert):
    def on():
        return [] if any(one["labels"]["alertname"] == alert for one in ask(url, "alerts")["alerts"]) else [f"{alert} is not on"]

    return until(10, on)


COMMANDS = {"names": names, "tested": tested, "dashboard": dashboard, "live": live, "pending": pending}

if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    found = COMMANDS[sys.argv[1]](*sys.argv[2:])
    print("\n".join(found))
    sys.exit(1 if found else 0)
