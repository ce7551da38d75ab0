"""The files for containers. No engine builds them here: these are the facts that must hold."""

import json
import re
from pathlib import Path

import pytest
import yaml

from facemargin.commands._arguments import parse
from facemargin.commands.serve import ServeArguments
from facemargin.serving.server import is_loopback, require_safe
from facemargin.serving.settings import ServiceSettings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "container/compose.yaml").read_text())["services"]["facemargin"]


@pytest.fixture(scope="module")
def steps():
    """The instructions of the Containerfile, (name, what follows), lines joined."""
    text = (ROOT / "container/Containerfile").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ").splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


def test_it_runs_as_nobody_in_particular_and_says_whether_it_is_well(steps):
    last = [number for number, (name, _) in enumerate(steps) if name == "FROM"][-1]
    image = dict(steps[last:])
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", image["USER"]) and image["STOPSIGNAL"] == "SIGTERM"
    assert "http://127.0.0.1:8000/healthz" in image["HEALTHCHECK"] and image["EXPOSE"] == "8000"
    assert json.loads(image["ENTRYPOINT"]) == ["facemargin", "serve"]
    names = [name for name, _ in steps[last:]]
    assert names.index("USER") > max(place for place, name in enumerate(names) if name in ("RUN", "COPY"))
    assert all(":" in what.split()[0] and ":latest" not in what for name, what in steps if name == "FROM")


def test_only_what_is_named_is_copied_and_nothing_secret_is_in_it(steps):
    allowed = [line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"]
    copied = [word for name, what in steps if name == "COPY" and "--from" not in what for word in what.split()[:-1]]
    assert sorted(copied) == sorted(allowed) and all((ROOT / name).exists() for name in copied)
    for file in ("container/Containerfile", "container/compose.yaml"):
        assert not re.search(r"(?i)password|token|secret|fm_[\w-]{20}", (ROOT / file).read_text())
    assert not [what for name, what in steps if name == "ADD"]


def test_compose_publishes_to_this_machine_alone_and_takes_away_what_is_not_needed():
    assert all(is_loopback(port.rpartition(":")[0].rpartition(":")[0]) for port in COMPOSE["ports"])
    assert COMPOSE["read_only"] and COMPOSE["cap_drop"] == ["ALL"] and "privileged" not in COMPOSE
    assert COMPOSE["security_opt"] == ["no-new-privileges:true"]
    assert COMPOSE["build"]["dockerfile"] == "container/Containerfile"
    assert int(COMPOSE["stop_grace_period"].removesuffix("s")) > ServiceSettings().deadline + 5


def test_compose_says_options_that_there_are():
    args = parse(ServeArguments, "serve", COMPOSE["command"])
    require_safe(args.host, args.keys is not None)
    mounted = [volume.split(":")[1] for volume in COMPOSE["volumes"]]
    paths = [str(args.model), str(args.keys), args.gallery[0].partition("=")[2], args.audit_log]
    assert [path.rpartition("/")[0] for path in paths] == mounted
    readable = [volume.endswith(":ro") for volume in COMPOSE["volumes"]]
    assert readable == [True, True, False, False]
