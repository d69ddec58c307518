"""nginx on this machine, as the setup page tells it: what answers on its port, and what mends the rest.

The gateway works without nginx: only one that was set up and does not reach it is a fault.
"""

from __future__ import annotations

import http.client
import os
import shutil
from pathlib import Path
from typing import Literal, NamedTuple

from clawgate.launching import program
from clawgate.ollama.words import on_one_line

PORT = 8080
"""The port of the shipped nginx/clawgate.conf."""
TIMEOUT_S = 0.5
PATHS = os.pathsep.join((os.defpath, "/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"))
"""A service's own PATH may lack the folders of the system's programs."""
OURS = b'{"status":"ok"}'
"""The body of our /healthz: a site of another kind may answer anything with 200."""
MAX_SERVER = 40
SYSTEMD = Path("/run/systemd/system")
"""It is there where systemd runs the machine. Source: sd_booted(3)."""
UNREACHED = (502, 503, 504)

FILES = {"clawgate-locations.conf": "/etc/nginx/snippets", "clawgate.conf": "/etc/nginx/conf.d"}
"""The shipped files that nginx needs, and the folder of each."""
RELOAD = "nginx -t && nginx -s reload"
INSTALLERS = {
    "apt-get": "apt-get install -y nginx",
    "dnf": "dnf install -y nginx",
    "apk": "apk add nginx",
    "pacman": "pacman -S --noconfirm nginx",
    "zypper": "zypper install -y nginx",
    "brew": "brew install nginx",
}

Word = Literal["bypassed", "broken", "another", "stranger", "elsewhere", "stopped", "absent", "asked"]


class Finding(NamedTuple):
    """What nginx is found to be; the commands are for who wants one.

    cure: it mends a fault, or the difference to the shipped configuration. server: the name of a stranger on the port.
    """

    word: Word
    start: str = ""
    cure: str = ""
    server: str = ""

    @property
    def is_fault(self) -> bool:
        """True where somebody wants nginx, and it does not do."""
        return self.word == "broken"


NOT_ASKED = Finding("asked")


def found(port: int, prefix: str = "") -> Finding:
    """Ask whether nginx answers on this machine's port, and whether clawgate is behind it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", f"{prefix}/healthz")
        response = connection.getresponse()
        body = response.read(len(OURS) + 1).strip()
    except (http.client.HTTPException, TimeoutError):
        return Finding("stranger")
    except OSError:
        return absent(shutil.which("nginx", path=PATHS) is not None, is_running())
    finally:
        connection.close()
    return answering(response.status, response.getheader("Server") or "", body)


def answering(status: int, server: str, body: bytes) -> Finding:
    """Tell what answers on nginx's port by its answer to `GET /healthz`."""
    if not server.startswith("nginx"):
        return Finding("stranger", server=on_one_line(server)[:MAX_SERVER])
    if status == http.client.OK and body == OURS:
        return Finding("bypassed")
    if status in UNREACHED:
        return Finding("broken", cure=RELOAD)
    return Finding("another", cure=f"{put_files()} && {RELOAD}")


def absent(is_installed: bool, runs: bool) -> Finding:
    """Tell what to do where nothing listens on nginx's port."""
    if runs:
        return Finding("elsewhere", start=f"{put_files()} && {RELOAD}")
    # one that runs is not seen by our service, whose unit hides the processes of others: it must take the files, too
    start = "systemctl reload-or-restart nginx" if SYSTEMD.is_dir() else "nginx"
    if is_installed:
        return Finding("stopped", start=f"{put_files()} && nginx -t && {start}")
    installers = (command for program, command in INSTALLERS.items() if shutil.which(program, path=PATHS))
    return Finding("absent", start=next(installers, ""))


def put_files() -> str:
    """Return the command that puts the shipped files into nginx's folders: the program carries them, wherever it is."""
    return " && ".join(
        f"{program()} files nginx/{name} | install -D -m 644 /dev/stdin {folder}/{name}"
        for name, folder in FILES.items()
    )


def is_running(processes: Path = Path("/proc")) -> bool:
    """Tell whether a process of nginx's is there, where the system lists processes in such a folder."""
    try:
        with os.scandir(processes) as entries:
            return any(entry.name.isdigit() and _name_of(entry.path) == "nginx" for entry in entries)
    except OSError:
        return False


def _name_of(process: str) -> str:
    try:
        return Path(process, "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # the process has ended meanwhile
        return ""
