"""docs/scaling.md: its examples are a configuration, a compose file and a Redis user that work as they stand."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any

import yaml

import clawgate.redis
from clawgate.config import Config, SessionConfig, load, settings
from clawgate.redis.checking import standing_of
from clawgate.redis.permissions import NEEDED, names_of
from tests.support.nginx import SEVERAL
from tests.support.redis import RedisServer
from tests.support.tools import ROOT

GUIDE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
YAML = re.findall(r"```yaml\n(.*?)```", GUIDE, re.S)
USER = re.findall(r"^user clawgate .*$", GUIDE, re.M)
EDITED = re.compile(r"^    server (\S+?)( max_fails=1 fail_timeout=5s)?; +# edit", re.M)


def compose() -> dict[str, Any]:
    """The compose file, as it is once its variables have their values."""
    found = yaml.safe_load(re.sub(r"\$\{(\w+):\?\}", r"\1", YAML[1]))
    assert isinstance(found, dict)
    return found


def test_the_examples_are_those() -> None:
    assert (len(YAML), len(USER)) == (2, 1)
    assert YAML[1].startswith("# compose-several.yaml\n")


def test_every_key_of_the_layout_is_told_of() -> None:
    layout = re.findall(r"^P:\S+", clawgate.redis.__doc__ or "", re.M)
    assert len(layout) > 10
    assert [key for key in layout if f"| `{key}` |" not in GUIDE] == []


def test_the_configuration_loads(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(YAML[0])
    found = load(tmp_path / "config.yaml", {})
    assert (found.server.workers, found.session.backend) == (4, "redis")


def test_each_gateway_of_the_compose_file_has_settings_that_load() -> None:
    services = compose()["services"]
    gateways = {name: each["environment"] for name, each in services.items() if "environment" in each}
    assert len(gateways) == 2
    endpoints = set()
    for environment in gateways.values():
        assert set(environment) <= {setting.variable for setting in settings()}
        config = load(None, environment)
        endpoints.add(config.model.endpoint)
        assert config.session.redis_url == "redis://:REDIS_PASSWORD@redis:6379/0"
        assert "localhost" in config.server.trusted_hosts, "it is what nginx passes on"
        assert config.server.trusted_proxies == (services["nginx"]["networks"]["inside"]["ipv4_address"],)
    assert {re.sub(r"https?://(.*):11434", r"\1", endpoint) for endpoint in endpoints} <= set(services)
    assert len(endpoints) == 2


def test_whatever_the_compose_file_names_is_there() -> None:
    found = compose()
    services, networks = found["services"], found["networks"]
    volumes = set(found["volumes"])
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
        assert set(service["networks"]) <= set(networks)
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert source in volumes or (ROOT / source).is_file(), mount
        for address in service["networks"].values() if isinstance(service["networks"], dict) else ():
            subnet = ipaddress.ip_network(networks["inside"]["ipam"]["config"][0]["subnet"])
            assert ipaddress.ip_address(address["ipv4_address"]) in subnet
    assert "--requirepass REDIS_PASSWORD" in services["redis"]["command"]


def test_the_lines_of_nginx_that_have_to_be_edited_are_marked() -> None:
    text = SEVERAL.read_text(encoding="utf-8")
    marked = [found[0] for found in EDITED.findall(text)] + re.findall(r"^    (\S+) clawgate_\w+; +# edit", text, re.M)
    assert len(marked) == len(re.findall(r"127\.0\.0\.1:\d", text)) == 5


def test_the_user_has_the_commands_that_are_needed_and_no_other() -> None:
    granted = re.findall(r" \+(\S+)", USER[0])
    assert granted == names_of(NEEDED)
    assert USER[0].startswith("user clawgate on >PASSWORD ~clawgate:* resetchannels -@all +")


def test_the_user_is_enough_for_a_gateway(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis", users=USER) as server:
        url = server.url_of("clawgate", "PASSWORD")
        found = standing_of(Config(session=SessionConfig(backend="redis", redis_url=url)))
    assert (found.problem, found.warnings) == (None, ())


def test_every_setting_that_needs_a_restart_is_not_promised_by_a_reload() -> None:
    fixed = {setting.name for setting in settings() if setting.is_fixed}
    example = {f"{name}.{key}" for name, keys in yaml.safe_load(YAML[0]).items() for key in keys}
    assert example - fixed == {"session.max_sessions"}
    assert "`session.max_sessions` alone can\nchange by a reload" in GUIDE
