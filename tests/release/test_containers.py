"""Containerfile and compose.yaml: whatever they name is there, and what compose.yaml makes of nginx's file works.

tests/release/test_image.py builds the image, where somebody asks for it.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from clawgate import __version__, create_app
from clawgate.config import Config, cautions, load, settings
from tests.support.gateway import Gateway
from tests.support.nginx import SHIPPED, SNIPPET, write_config
from tests.support.tools import DEADLINE_S, ROOT, require

CONTAINERFILE = (ROOT / "Containerfile").read_text(encoding="utf-8")
COMPOSE = ROOT / "compose.yaml"
GUIDE = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")
VARIABLES = {setting.variable for setting in settings()}
INTERPOLATED = re.compile(r"\$\{(\w+):-([^}]*)\}")
COPIED = re.compile(r"^COPY (?!--from)(.+) \S+$", re.M)


def services(env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return compose.yaml's services, as they are with these variables."""
    given = dict(env or {})
    text = INTERPOLATED.sub(lambda found: given.get(found[1], found[2]), COMPOSE.read_text(encoding="utf-8"))
    assert "${" not in text, "a variable without a default"
    found = yaml.safe_load(text)["services"]
    assert isinstance(found, dict)
    return found


def settings_of_the_gateway() -> dict[str, str]:
    """Return the variables that the gateway has in its container, the image's and compose.yaml's."""
    of_the_image = dict(re.findall(r"\b(CLAWGATE_\w+)=(\S+)", CONTAINERFILE))
    environment: dict[str, str] = services()["gateway"]["environment"]
    return {**of_the_image, **environment}


def test_compose_file_obeys_the_specification() -> None:
    require("check_jsonschema", "it has the schema of the Compose specification")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_whatever_the_compose_file_names_is_there() -> None:
    whole = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    found = services()
    for service in found.values():
        assert set(service.get("depends_on", ())) <= set(found)
        assert set(service["networks"]) <= set(whole["networks"])
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert source in whole["volumes"] or (ROOT / source).is_file(), mount
    build = found["gateway"]["build"]
    assert (ROOT / build["context"] / build["dockerfile"]).is_file()
    assert [name for name, service in found.items() if "ports" in service] == ["nginx"]
    assert set(found["gateway"]["networks"]) & set(found["nginx"]["networks"]) == {"front"}
    assert not set(found["nginx"]["networks"]) & set(found["ollama"]["networks"])


def test_addresses_are_of_the_network_and_follow_its_variable() -> None:
    for env, subnet in (({}, "172.30.0.0/24"), ({"SUBNET": "10.9.8"}, "10.9.8.0/24")):
        found = services(env)
        proxy, gateway = (found[name]["networks"]["front"]["ipv4_address"] for name in ("nginx", "gateway"))
        assert {ipaddress.ip_address(each) in ipaddress.ip_network(subnet) for each in (proxy, gateway)} == {True}
        assert f"{gateway}:18789" in found["nginx"]["command"][-1]
        assert found["gateway"]["environment"]["CLAWGATE_SERVER_TRUSTED_PROXIES"] == proxy


def test_the_gateways_settings_load_without_a_warning() -> None:
    given = settings_of_the_gateway()
    assert set(given) <= VARIABLES
    config = load(None, given)
    assert list(cautions(config, given)) == []
    assert config.server.host == "0.0.0.0"
    assert config.model.endpoint == "http://ollama:11434"
    assert services()["model"]["command"] == [config.model.model_name]
    assert f"EXPOSE {config.server.port}\n" in CONTAINERFILE


def test_a_setting_in_the_env_file_counts_or_the_guide_says_that_it_does_not() -> None:
    fixed = [name for name in services()["gateway"]["environment"] if name not in with_its_own_value()]
    assert fixed == ["CLAWGATE_SERVER_TRUSTED_HOSTS", "CLAWGATE_SERVER_TRUSTED_PROXIES"]
    assert all(f"`{name}`" in GUIDE for name in fixed)


def with_its_own_value() -> set[str]:
    """Return the gateway's variables that have the value that the file .env gives them."""
    given = dict.fromkeys(VARIABLES, "other")
    return {name for name, value in services(given)["gateway"]["environment"].items() if value == "other"}


@pytest.mark.parametrize("name", ["dingtalk", "wecom"])
def test_a_bot_starts_only_where_it_is_asked_for_and_reaches_the_gateway(name: str) -> None:
    bot = services()[name]
    assert (bot["profiles"], bot["command"]) == ([name], ["bot", name])
    config = load(None, bot["environment"])
    assert config.bots.gateway_url is not None
    gateway = urlsplit(config.bots.gateway_url)
    assert (gateway.hostname, gateway.port) == ("gateway", Config().server.port)
    assert set(bot["networks"]) & set(services()["gateway"]["networks"])
    assert gateway.hostname in load(None, settings_of_the_gateway()).server.trusted_hosts


def test_a_request_through_nginx_is_none_from_this_machine() -> None:
    """Without a token /setup shows the configuration to nobody, whatever address nginx sees, a loopback one too."""
    given = settings_of_the_gateway()
    page = create_app(load(None, given)).test_client()
    for client in ("172.30.0.1", "127.0.0.1", "192.0.2.7"):
        headers = {"Host": "localhost", "X-Forwarded-For": client, "X-Forwarded-Host": "localhost:8080"}
        peer = {"REMOTE_ADDR": given["CLAWGATE_SERVER_TRUSTED_PROXIES"]}
        answer = page.get("/setup", headers=headers, environ_overrides=peer)
        assert answer.status_code == 200
        assert "CLAWGATE_MODEL_ENDPOINT" not in answer.text, client
    own = page.get("/setup", headers={"Host": "localhost"}, environ_overrides={"REMOTE_ADDR": "127.0.0.1"})
    assert "CLAWGATE_MODEL_ENDPOINT" in own.text, "the test looks for what an operator sees"


def derived(folder: Path, env: Mapping[str, str] | None = None) -> Path:
    """Have compose.yaml's own command make nginx's file of the shipped one."""
    _, _, script = services(env)["nginx"]["command"]
    mounts = dict(mount.split(":")[:2][::-1] for mount in services()["nginx"]["volumes"])
    assert [ROOT / mounts[f"/etc/{name}"] for name in ("clawgate/clawgate.conf", f"nginx/snippets/{SNIPPET.name}")] == [
        SHIPPED,
        SNIPPET,
    ]
    made = folder / "derived.conf"
    sed, started = script.split("exec ")
    assert started.startswith("nginx -g 'daemon off;'")
    here = sed.replace("/etc/clawgate/clawgate.conf", str(SHIPPED)).replace("/etc/nginx/conf.d/default.conf", str(made))
    subprocess.run(["sh", "-ec", here], check=True, timeout=DEADLINE_S)
    return made


def test_nginx_takes_the_shipped_file_with_three_names_of_this_place(tmp_path: Path) -> None:
    made = derived(tmp_path, {"SERVER_NAME": "chat.your.domain"})
    old, new = (path.read_text(encoding="utf-8").splitlines() for path in (SHIPPED, made))
    changed = [(before.split(), after.split()) for before, after in zip(old, new, strict=True) if before != after]
    assert [after[:2] for _, after in changed] == [
        ["server", "172.30.0.11:18789;"],
        ["chat.your.domain;", "#"],
        ["access_log", "/dev/stdout"],
    ]
    binary = require("nginx", "the test checks what compose.yaml makes of the shipped configuration")
    command = [binary, "-t", "-q", "-p", str(tmp_path), "-e", "stderr", "-c", str(write_config(tmp_path, made, {}))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_machines_proxy_is_for_what_is_outside() -> None:
    """Docker's client gives the proxies of its config.json to every container; curl and Ollama's client obey them."""
    found = services()
    check = found["nginx"]["healthcheck"]["test"]
    assert check[:4] == ["CMD", "curl", "--noproxy", "*"]
    environment = found["model"]["environment"]
    host = urlsplit(environment["OLLAMA_HOST"]).hostname
    assert {environment["NO_PROXY"], environment["no_proxy"]} == {host}


def test_nginx_is_healthy_behind_a_proxy_that_knows_nothing_of_it(gateway: Callable[..., Gateway]) -> None:
    require("curl", "nginx's health check is run by it")
    command = [part.replace(":8080", f":{gateway().port}") for part in services()["nginx"]["healthcheck"]["test"][1:]]
    env = {**os.environ, "http_proxy": "http://127.0.0.1:9"}
    assert subprocess.run(command, env=env, timeout=DEADLINE_S, check=False).returncode == 0


def test_ollama_has_the_settings_of_the_shipped_service() -> None:
    text = (ROOT / "systemd" / "ollama.conf").read_text(encoding="utf-8")
    shipped = dict(re.findall(r"^Environment=(\w+)=(.*)$", text, re.M))
    del shipped["OLLAMA_HOST"]  # the container's network stands for it
    assert services()["ollama"]["environment"] == shipped


def test_the_gpus_lines_are_what_compose_knows() -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    block = re.search(r"^    #deploy:\n(?:    #.*\n)+", text, re.M)
    assert block
    lines = re.sub(r"^    #", "", block[0], flags=re.M)
    devices = yaml.safe_load(lines)["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]


def test_every_source_is_there_and_nothing_else_reaches_the_builder() -> None:
    sources = {source for line in COPIED.findall(CONTAINERFILE) for source in line.split()}
    assert [source for source in sorted(sources) if not (ROOT / source).exists()] == []
    ignored, *admitted, cached = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")
    ]
    assert (ignored, cached) == ("*", "**/__pycache__")
    assert {line.removeprefix("!") for line in admitted} == sources


def test_the_image_is_labelled_with_the_version() -> None:
    assert f'org.opencontainers.image.version="{__version__}"' in CONTAINERFILE


def health_check() -> list[str]:
    """Return the image's health check, as a command of this machine."""
    found = re.search(r"^HEALTHCHECK .*?CMD (\[.*?\])\n(?=\w)", CONTAINERFILE, re.M | re.S)
    assert found
    command: list[str] = json.loads(found[1].replace("\\\n", ""))
    assert command[0] == "python3"
    return [sys.executable, *command[1:]]


@pytest.mark.parametrize("hosts", [(), ("chat.example.org",)])
def test_health_check_tells_a_gateway_that_lives(gateway: Callable[..., Gateway], hosts: tuple[str, ...]) -> None:
    started = gateway(server={"trusted_hosts": hosts})
    env = {**os.environ, "CLAWGATE_SERVER_PORT": str(started.port)}

    def status() -> int:
        done = subprocess.run(health_check(), env=env, stderr=subprocess.DEVNULL, timeout=DEADLINE_S, check=False)
        return done.returncode

    assert status() == 0
    started.terminate()
    assert status() == 1


def test_every_variable_of_the_guide_is_one() -> None:
    of_compose = {found[1] for found in INTERPOLATED.finditer(COMPOSE.read_text(encoding="utf-8"))}
    named = {found[1] for found in re.finditer(r"\b([A-Z][A-Z_]+)=", GUIDE)}
    assert {"CLAWGATE_SERVER_AUTH_TOKEN", "PUBLISHED", "SERVER_NAME", "SUBNET"} <= named
    of_the_build = set(re.findall(r"^ARG (\w+)", CONTAINERFILE, re.M))
    rest = {"COMPOSE_PROFILES", "CONTAINER_BASE", "CONTAINER_ENGINE"}  # Compose's own, and the tests'
    assert named - of_compose - VARIABLES - of_the_build == rest
