"""The command line: `clawgate --config FILE`, serve, up, chat, bot, embedded, check, files.

Usage and configuration errors are one line on stderr and exit 2, never a traceback.
"""

from __future__ import annotations

import argparse
import logging.config
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from clawgate import __version__, ports, unix_socket
from clawgate.addresses import socket_path, visited_name
from clawgate.config import BotsConfig, Config, ServerConfig, cautions, load, settings
from clawgate.console import adapt_output, complain, drop_output, tell
from clawgate.errors import ConfigError
from clawgate.terminal.settings import add_options as add_chat_options


class Parser(argparse.ArgumentParser):
    """argparse, with one line for a usage error."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and how to get help; exit 2."""
        complain(f"{message} (see `{self.prog} --help`)")
        self.exit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    adapt_output()
    if given[:1] == ["embedded"]:  # it has a parser of its own, and loads nothing of the rest
        from clawgate.embedded.__main__ import main as embedded

        return embedded(given[1:], ports.explained)
    parser = _parser()
    options = parser.parse_args(given)
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        command: Callable[[argparse.Namespace], int] = options.command
        return command(options)
    except ConfigError as error:
        complain(str(error))
        return 2
    except KeyboardInterrupt:
        return 130
    except OSError as error:  # stdout is full, or its reader has left
        drop_output()
        what = error if error.filename else f"cannot write the output: {error.strerror}"
        complain(str(what))
        return 1


def _parser() -> Parser:
    parser = Parser(
        prog="clawgate",
        description="A streaming gateway for a local LLM. `clawgate --config FILE` is `clawgate serve --config FILE`.",
    )
    parser.add_argument("--version", action="version", version=f"clawgate {__version__}")
    _add_gateway_options(parser)
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str, *, binds: bool = True) -> Parser:
        subparser: Parser = commands.add_parser(name, help=text, description=text)
        # SUPPRESS: an option that is absent here must not undo the one given before the command
        _add_gateway_options(subparser, default=argparse.SUPPRESS, binds=binds)
        subparser.set_defaults(command=command)
        return subparser

    add("serve", serve, "run the gateway under gunicorn; prints `Server started on :PORT` once it listens")
    starter = add("up", up, "run the gateway, with a small embedded model where no Ollama answers on this machine")
    starter.add_argument("--model", metavar="NAME", help="the embedded model; `clawgate embedded --help` names them")
    add(
        "check",
        check,
        "validate the configuration, ask Ollama for its version and the model, and Redis where it is used",
    )
    add_chat_options(add("chat", chat, "talk to a gateway's model in this terminal, or in a pipe", binds=False))
    text = "run the bot of a messenger, a client of the gateway, or check what it takes"
    messengers = add("bot", bot, text, binds=False)
    messengers.add_argument("name", choices=["dingtalk", "wecom", "check"], help="the messenger, or `check` for both")
    text = "list the files of nginx and systemd and the configuration that clawgate carries, or print one"
    printer = commands.add_parser("files", help=text, description=text)
    printer.add_argument("name", metavar="NAME", nargs="?", help="the file to print, like nginx/clawgate.conf")
    printer.set_defaults(command=files)
    commands.add_parser("embedded", help="run a small real model behind Ollama's own API", add_help=False)
    return parser


def _add_gateway_options(parser: argparse.ArgumentParser, default: str | None = None, *, binds: bool = True) -> None:
    class Serve(argparse.Action):
        """`--config FILE` without a command serves."""

        def __call__(
            self,
            parser: argparse.ArgumentParser,  # noqa: ARG002
            namespace: argparse.Namespace,
            values: object,
            option_string: str | None = None,  # noqa: ARG002
        ) -> None:
            if not str(values).strip():
                raise argparse.ArgumentError(self, 'expected a value, got ""')
            setattr(namespace, self.dest, values)
            if namespace.command is None:
                namespace.command = serve

    parser.add_argument("--config", metavar="FILE", action=Serve, default=default, help="YAML file with the settings")
    if not binds:
        return
    parser.add_argument("--host", action=Serve, default=default, help="address to bind (server.host)")
    parser.add_argument("--port", action=Serve, default=default, help="port to bind, 0 for a free one (server.port)")


def configure(options: argparse.Namespace) -> Config:
    """Load the configuration; put the command line's options into the environment, where gunicorn_conf reads them.

    Errors: ConfigError.
    """
    if options.config is not None:
        os.environ["CLAWGATE_CONFIG"] = options.config
    if options.host is not None:
        os.environ["CLAWGATE_SERVER_HOST"] = options.host
    if options.port is not None:
        os.environ["CLAWGATE_SERVER_PORT"] = options.port
    try:
        return load(os.environ.get("CLAWGATE_CONFIG"))
    except ConfigError as error:
        where, colon, what = str(error).partition(":")
        option = {"CLAWGATE_SERVER_HOST": options.host and "--host", "CLAWGATE_SERVER_PORT": options.port and "--port"}
        raise ConfigError(f"{option.get(where) or where}{colon}{what}") from error


def serve(options: argparse.Namespace) -> int:
    """Run the gateway under gunicorn, as `gunicorn -c python:clawgate.gunicorn_conf clawgate.wsgi:app` would."""
    config = configure(options)
    sys.argv = ["clawgate", "-c", "python:clawgate.gunicorn_conf", "clawgate.wsgi:app"]
    if os.environ.get("LISTEN_PID") != str(os.getpid()):  # else systemd's socket unit listens
        path = socket_path(config.server.host)
        try:
            sock = ports.listen(config.server.host, config.server.port) if path is None else unix_socket.listen(path)
        except ports.PortTaken as error:
            where = "server.host and server.port" if path is None else "server.host"
            complain(f"{where}: {error}")
            return 1
        sys.argv[1:1] = ["-b", f"fd://{sock.detach()}"]
    from gunicorn.app.wsgiapp import WSGIApplication

    class Server(WSGIApplication):  # type: ignore[misc]
        def chdir(self) -> None:
            """Change to gunicorn's `chdir`, but import nothing from there: modules there would hide installed ones."""
            os.chdir(self.cfg.chdir)

    Server(prog="clawgate").run()
    return 0


def up(options: argparse.Namespace) -> int:
    """Run the gateway, and the embedded model where no Ollama answers."""
    from clawgate.embedded.models import SMOLLM2, known_names, packaged
    from clawgate.embedded.trial import command_for_better
    from clawgate.up import Trial, run

    model = SMOLLM2 if options.model is None else packaged(options.model)
    if model is None:
        raise ConfigError(f'--model: expected {known_names()}, got "{options.model}"')
    return run(configure(options), Trial(model.name, options.model is not None, command_for_better(model)))


def chat(options: argparse.Namespace) -> int:
    """Talk to a gateway in this terminal, or answer one question in a pipe.

    The configuration's token goes to the configuration's own address, and to another one only where --config is given
    beside --url: else a gateway elsewhere would get the token of this one.
    """
    from clawgate.terminal.main import run
    from clawgate.terminal.settings import settings_of

    token = options.token or os.environ.get("CLAWGATE_TOKEN", "").strip() or None
    if options.url is not None and (token is not None or options.config is None):
        return run(settings_of(options, options.url, token))
    server = configure(options).server
    url = options.url or _url_of(server, "--url")
    return run(settings_of(options, url, token or server.auth_token))


def _url_of(server: ServerConfig, cure: str) -> str:
    """Return the address at which a client on this machine finds the gateway.

    Errors: ConfigError for one that only the gateway knows, or its proxy; cure is what names it.
    """
    if socket_path(server.host) is not None:
        raise ConfigError(f"server.host is {server.host}: expected {cure} with the address of the proxy before it")
    if server.port == 0:
        raise ConfigError(f"server.port is 0: expected {cure} with the address that the gateway has printed")
    return f"http://{visited_name(server.host, server.trusted_hosts)}:{server.port}{server.path_prefix}"


def bot(options: argparse.Namespace) -> int:
    """Run a messenger's bot, or print what is found of both: 0 all well, 1 something is not ready."""
    config = configure(options)
    try:
        from clawgate.bots.assembly import GatewayAddress
        from clawgate.bots.check import findings
        from clawgate.bots.main import run
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "websockets":
            raise
        raise ConfigError("the bots need websockets: pip install 'clawgate[bots]'") from error

    def place_in(config: Config) -> GatewayAddress:
        return GatewayAddress(
            config.bots.gateway_url or _url_of(config.server, "bots.gateway_url"), config.server.auth_token
        )

    def read_again() -> tuple[BotsConfig, GatewayAddress]:
        again = configure(options)
        return again.bots, place_in(again)

    place = place_in(config)
    if options.name != "check":
        from clawgate.telemetry.ids import KEY_BYTES
        from clawgate.telemetry.logs import dict_config

        logging.config.dictConfig(dict_config(config.logging, os.urandom(KEY_BYTES)))
        return run(options.name, config.bots, place, read_again)
    is_ready = True
    for finding in findings(config.bots, place):
        tell(finding.line)
        is_ready = is_ready and finding.is_ready
    return 0 if is_ready else 1


def files(options: argparse.Namespace) -> int:
    """List the files that the program carries, or print one."""
    from clawgate.files import run

    return run(options.name)


def check(options: argparse.Namespace) -> int:
    """Print a line for each finding: 0 all well, 1 something is not ready."""
    from clawgate.ollama.client import OllamaClient
    from clawgate.ollama.finding import described
    from clawgate.ollama.state import upstream_state

    config = configure(options)
    has_variables = any(setting.variable in os.environ for setting in settings())
    without = "(defaults and variables)" if has_variables else "(all defaults)"
    tell(f"ok: configuration {os.environ.get('CLAWGATE_CONFIG', '').strip() or without}")
    for caution in cautions(config, os.environ):
        tell(f"warning: {caution}")
    is_store_ready = _check_store(config)
    endpoint, model = config.model.endpoint, config.model.model_name
    state = upstream_state(OllamaClient.of(config.model), model)
    if state.finding is not None:
        tell(f"not ready: {described(state.finding, endpoint)}")
        return 1
    tell(f"ok: Ollama {state.version} at {endpoint}")
    if not state.model_ready:
        tell(f"not ready: the model {model} is not there; get it with `ollama pull {model}`")
        return 1
    tell(f"ok: model {model}")
    return 0 if is_store_ready else 1


def _check_store(config: Config) -> bool:
    """Print what is found of the machine that keeps the sessions, if there is one; False where it is not ready."""
    from clawgate.app import store_standing

    standing = store_standing(config)
    if standing is None:
        return True
    if standing.problem is not None:
        tell(f"not ready: {standing.problem}")
        return False
    tell(f'ok: {standing.server}, sessions under "{config.session.redis_prefix}"')
    for warning in standing.warnings:
        tell(f"warning: {warning}")
    return True
