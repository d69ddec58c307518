"""The order of the rooms, read from the imports themselves: errors, config ← … ← wsgi, gunicorn_conf, cli."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support.tools import ROOT

PACKAGE = ROOT / "clawgate"
ORDER = [
    {"errors", "addresses", "sockets", "emphasis", "carried", "client", "language", "launching", "trust"},
    {"config"},
    {"sessions", "ollama"},
    {"relay"},
    {"telemetry", "redis"},
    {"server", "web"},
    {"app"},
    {
        "",
        "wsgi",
        "gunicorn_conf",
        "lifeline",
        "ports",
        "unix_socket",
        "console",
        "up",
        "files",
        "terminal",
        "bots",
        "cli",
        "__main__",
    },
]
"""Each room may import from those before its own, and from its own. "" is the package itself."""
WITHIN = {
    "sockets": {"errors"},
    "unix_socket": {"ports"},
    "gunicorn_conf": {"ports", "unix_socket", "console"},
    "up": {"console"},
    "terminal": {"console"},
    "bots": {"console"},
    "cli": {"up", "files", "terminal", "bots", "ports", "unix_socket", "console"},
    "__main__": {"cli"},
}
"""Imports that are allowed between rooms of one line; every room may import the package's version."""
NEVER = {
    "server": {"web", "relay", "sessions", "ollama"},
    "cli": {"web"},
    "up": {"web"},
    "terminal": {"config", "sessions", "ollama", "relay", "telemetry", "server", "web", "app"},
    "bots": {"config", "sessions", "ollama", "relay", "telemetry", "server", "web", "app"},
    "telemetry": {"sessions", "ollama"},
}
"""Walls beside the order: rooms that a room must not import, though they come before it."""
ONLY_FOR_APP = {"redis"}
"""The rooms that stand behind an interface of the relay: app alone chooses them, where the configuration says so."""
CLIENTS = {"bots", "terminal"}
"""The rooms that talk to a gateway over HTTP: only they import the client, and it knows none."""
SPEAKERS = {"console", "up", "embedded"}
"""The rooms that print lines for people: only they import the language, and sentences are English elsewhere."""
OBSERVED = {"relay.report"}
"""The modules of the relay that telemetry may import: the report of a run."""
WEB_ORDER = [{"door"}, {"anthropic", "api", "ollama", "openai", "pages"}, {"described"}]
"""The rooms of the web, by the same rule: the door stands before every route and knows none of them."""
ALONE = {"embedded"}
"""These rooms know nothing of the rest but the reader's language; only cli starts them."""
ONLY_IN: dict[str, set[str]] = {
    "flask": {"web", "app"},
    "werkzeug": {"web", "app"},
    "jinja2": {"web", "app"},
    "requests": {
        "bots.dingtalk.api",
        "client.answer",
        "client.endpoint",
        "ollama.capture",
        "ollama.client",
        "ollama.connecting",
        "ollama.exchange",
        "trust",
    },
    "websockets": {"bots.link"},
    "rich": {"terminal.markdown", "terminal.screen"},
    "urllib3": {"client.endpoint", "ollama.capture", "ollama.client", "ollama.connecting"},
    "gunicorn": {"server", "gunicorn_conf", "cli"},
    "redis": {"redis"},
    "xllamacpp": {"embedded"},
    "yaml": {"config.load"},
    "prometheus_client": {"telemetry.crowd", "telemetry.metrics", "telemetry.series"},
}
WITH_FLASK = {"werkzeug", "jinja2"}
STRUCTS = {"msgspec.Struct", "Payload", "Event"}
"""msgspec's base of values, and ours below it."""
MUTATORS = {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}
MESSENGERS = ("bots.dingtalk", "bots.wecom")
CONVERSATIONS = {
    f"bots.{name}" for name in ("conversations", "turn", "errand", "place", "sentences", "draft", "talk", "seen")
}
BOTS = {f"bots.{name}" for name in ("main", "check", "assembly", "lock")}
"""The modules of the bots that no messenger's package knows: the conversations, and the process around all."""
RUNS: set[str] = set()
"""The one module outside the relay that has a Run in hand. It hands the run back to the desk, and the events on."""
WRITTEN = {("ollama.capture", "_opening")}
"""The one module-level object that is written to: a thread-local, for a library that makes connections by itself."""


@cache
def modules() -> tuple[str, ...]:
    """Every module of the package by its dotted name below it; a room by its own."""
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return tuple(sorted(".".join(path.parts).removesuffix("__init__").rstrip(".") for path in paths))


def path_of(module: str) -> Path:
    """The file of a module."""
    plain = PACKAGE.joinpath(*module.split(".")) if module else PACKAGE
    return plain / "__init__.py" if plain.is_dir() else plain.with_suffix(".py")


@cache
def tree_of(module: str) -> ast.Module:
    """A module's syntax, without what only type checkers see."""
    tree = ast.parse(path_of(module).read_text(encoding="utf-8"))
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    ]
    return tree


def imports_of(module: str) -> Iterator[tuple[str, bool]]:
    """Yield the dotted name of every import, and whether it happens at once (else inside a function)."""
    at_once = {id(node) for statement in tree_of(module).body for node in _outside_functions(statement)}
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in at_once) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"clawgate.{module}: imports are absolute"
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole.removeprefix("clawgate.") in modules() else node.module, id(node) in at_once


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    if not isinstance(node, ast.FunctionDef | ast.Lambda):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from _outside_functions(child)


def own_imports_of(module: str, *, at_once: bool = False) -> set[str]:
    """The modules of clawgate that a module imports (at_once: while it is itself imported)."""
    names = {name for name, is_at_once in imports_of(module) if is_at_once or not at_once}
    return {name.removeprefix("clawgate").lstrip(".") for name in names if name.split(".")[0] == "clawgate"}


def room_of(module: str) -> str:
    """The room that a module belongs to."""
    return module.split(".")[0]


def line_of(room: str) -> int:
    """The number of a room's line."""
    return next(number for number, rooms in enumerate(ORDER) if room in rooms)


def test_every_room_has_its_place() -> None:
    found = {room_of(module) for module in modules()}
    named = set[str]().union(*ORDER) | ALONE
    assert found == named, "a new room needs a line in ORDER, one that is gone none"


def test_imports_go_one_way() -> None:
    wrong = [
        f"clawgate.{module} imports clawgate.{imported}"
        for module in modules()
        if room_of(module) not in ALONE
        for imported in own_imports_of(module)
        if not _may_import(module, room_of(imported))
    ]
    assert not wrong, "\n".join(wrong)


def _may_import(module: str, other: str) -> bool:
    room = room_of(module)
    if other == room:
        return True
    if other in ALONE:
        return room == "cli"
    if other == "":
        return _names_from(module, "clawgate") == {"__version__"}
    if other in ONLY_FOR_APP:
        return room == "app"
    if other in NEVER.get(room, set()) or (other == "client" and room not in CLIENTS):
        return False
    if other == "language" and room not in SPEAKERS:
        return False
    return line_of(other) < line_of(room) or other in WITHIN.get(room, set())


def test_what_the_app_chooses_is_imported_only_then() -> None:
    """Its library may be missing where it is not chosen."""
    assert {room_of(imported) for imported in own_imports_of("app", at_once=True)} & ONLY_FOR_APP == set()


def test_a_run_leaves_the_relay_only_as_events() -> None:
    outside = {module for module in modules() if room_of(module) != "relay" and "relay.run" in own_imports_of(module)}
    assert outside == RUNS


def test_the_types_of_values_are_frozen() -> None:
    """A msgspec.Struct or a dataclass is a value that crosses walls and threads; anything else is a plain class."""
    thawed = [
        f"clawgate.{module}: {node.name}"
        for module in modules()
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.ClassDef)
        for given in [*_keywords_of_dataclass(node), *_keywords_of_struct(node)]
        if "frozen=True" not in given
    ]
    assert not thawed, "\n".join(thawed)


def _keywords_of_struct(node: ast.ClassDef) -> Iterator[set[str]]:
    if any(ast.unparse(base) in STRUCTS for base in node.bases):
        yield {ast.unparse(keyword) for keyword in node.keywords}


def _keywords_of_dataclass(node: ast.ClassDef) -> Iterator[set[str]]:
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if ast.unparse(called).split(".")[-1] == "dataclass":
            keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
            yield {ast.unparse(keyword) for keyword in keywords}


def test_telemetry_knows_of_the_relay_only_what_it_observes() -> None:
    for module in modules():
        if room_of(module) == "telemetry":
            known = {imported for imported in own_imports_of(module) if room_of(imported) == "relay"}
            assert known <= OBSERVED, module


def test_the_core_of_the_page_knows_no_page() -> None:
    """It runs under `node --test` as it is, without a DOM."""
    files = sorted((PACKAGE / "static" / "core").glob("*.js"))
    assert files
    for file in files:
        assert not re.search(r"\b(document|window)\b", file.read_text(encoding="utf-8")), file.name


def test_the_rooms_of_the_web_have_their_walls() -> None:
    rooms = {
        module: module.split(".")[1] for module in modules() if module.count(".") == 2 and room_of(module) == "web"
    }
    assert set(rooms.values()) == set[str]().union(*WEB_ORDER), "a new room of the web needs its place in WEB_ORDER"
    line = {room: number for number, line in enumerate(WEB_ORDER) for room in line}
    wrong = [
        f"clawgate.{module} imports clawgate.{imported}"
        for module, room in rooms.items()
        for imported in own_imports_of(module) & set(rooms)
        if rooms[imported] != room and line[rooms[imported]] >= line[room]
    ]
    assert not wrong, "\n".join(wrong)


def test_the_messengers_and_the_conversations_of_the_bots_do_not_know_each_other() -> None:
    assert {module for module in modules() if module.startswith("bots.")} > CONVERSATIONS | BOTS
    for module in modules():
        if module.startswith(MESSENGERS):
            (other,) = (each for each in MESSENGERS if not module.startswith(each))
            known = own_imports_of(module)
            assert not known & (CONVERSATIONS | BOTS), module
            assert not [each for each in known if each.startswith(other)], module
        elif room_of(module) == "bots" and module != "bots.assembly":
            assert not [each for each in own_imports_of(module) if each.startswith(MESSENGERS)], module


def test_every_package_is_in_the_wheel() -> None:
    """tests/deploy/test_wheel.py builds one, which takes longer."""
    packages = {path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in PACKAGE.rglob("__init__.py")}
    listed = set(re.findall(r"^    (clawgate[\w.]*)$", (ROOT / "setup.cfg").read_text(encoding="utf-8"), re.M))
    assert packages <= listed, "setup.cfg, packages"


def _names_from(module: str, package: str) -> set[str]:
    nodes = [node for node in ast.walk(tree_of(module)) if isinstance(node, ast.ImportFrom) and node.module == package]
    return {alias.name for node in nodes for alias in node.names if alias.name not in modules()}


def test_the_embedded_runtime_knows_nothing_of_the_rest() -> None:
    for module in modules():
        if room_of(module) in ALONE:
            assert {room_of(imported) for imported in own_imports_of(module)} <= {room_of(module), "language"}, module


def test_a_library_is_known_only_where_it_belongs() -> None:
    wrong = [
        f"clawgate.{module} imports {imported}; only {ONLY_IN[library]} may"
        for module in modules()
        for imported, _ in imports_of(module)
        for library in [imported.split(".")[0]]
        if library in ONLY_IN and not {module, room_of(module)} & ONLY_IN[library]
    ]
    assert not wrong, "\n".join(wrong)


def test_every_library_is_a_declared_dependency() -> None:
    declared = set(re.findall(r"^    ([\w-]+)>=", (ROOT / "setup.cfg").read_text(encoding="utf-8").lower(), re.M))
    packages = {"yaml": "pyyaml", "markdown_it": "markdown-it-py"}
    for module in modules():
        for imported, _ in imports_of(module):
            library = imported.split(".")[0]
            if library not in {"clawgate", *WITH_FLASK, *sys.stdlib_module_names}:
                package = packages.get(library, library.replace("_", "-"))
                assert package in declared, f"clawgate.{module} imports {library}: setup.cfg does not name {package}"


def test_no_imports_go_round_in_a_circle() -> None:
    graph = {module: own_imports_of(module, at_once=True) & set(modules()) for module in modules()}

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"a circle: {' → '.join((*path, module))}"
        for imported in graph[module] - done:
            visit(imported, (*path, module))
        done.add(module)

    done: set[str] = set()
    for module in modules():
        visit(module, ())


def test_no_module_level_state_is_written_to() -> None:
    written = {(module, name) for module in modules() for name in _state_written_by(module)}
    assert written == WRITTEN


def _state_written_by(module: str) -> Iterator[str]:
    tree = tree_of(module)
    owned = {name for statement in tree.body for name in _bound_by(statement)}
    for function in ast.walk(tree):
        if isinstance(function, ast.Global):
            yield from function.names
        elif isinstance(function, ast.FunctionDef):
            inner = list(ast.walk(function))
            own = {each.arg for each in inner if isinstance(each, ast.arg)}
            own |= {each.id for each in inner if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
            yield from {name for each in inner for name in _written_by(each)} & (owned - own)


def _bound_by(statement: ast.stmt) -> Iterator[str]:
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    yield from (node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))


def _written_by(node: ast.AST) -> Iterator[str]:
    """Yield the names that a statement writes into: `x.a = …`, `x[…] = …`, `del x[…]`, `x.append(…)`."""
    if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        yield _root_of(node)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
        yield _root_of(node.func)


def _root_of(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
