"""The one file's first steps, before pex's own: whether it can run here, and where it unpacks itself.

release/onefile.py puts this text at the head of the archive's `__main__.py`. It must be read by every Python 3 from 3.6
on, so that one that is too old gets a line and no traceback. Each refusal is one line on stderr, with its cure.
"""

import os
import shutil
import subprocess
import sys
import sysconfig

_OLDEST = (3, 10)
_NEWEST = (3, 13)
_MACHINES = ("aarch64", "x86_64")
_FOLDER = os.path.join("clawgate", "pex")


def _prepare() -> None:
    """Check the machine and this Python, clear the environment of what is meant for other files, choose the folder."""
    sys.excepthook = _refuse_to_unpack
    _check_machine()
    if not _is_supported():
        _run_with_another()
    for name in [name for name in os.environ if name.startswith("PEX_") and name not in ("PEX_ROOT", "PEX_VERBOSE")]:
        del os.environ[name]
    os.environ["PEX_IGNORE_RCFILES"] = "1"
    os.environ["PEX_ROOT"] = _folder()


def _end(message: str) -> None:
    sys.stderr.write("clawgate: " + message + "\n")
    sys.stderr.flush()
    os._exit(1)


def _check_machine() -> None:
    system = os.uname()
    try:
        is_glibc = bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (ValueError, OSError):
        is_glibc = False
    if system.sysname != "Linux" or system.machine not in _MACHINES or not is_glibc:
        found = "{} on {}{}".format(system.sysname, system.machine, "" if is_glibc else " without glibc")
        _end("this file is for Linux with glibc on {}, and this is {}".format(" or ".join(_MACHINES), found))


def _is_supported() -> bool:
    has_lock = not sysconfig.get_config_var("Py_GIL_DISABLED")
    return sys.implementation.name == "cpython" and _OLDEST <= sys.version_info[:2] <= _NEWEST and has_lock


def _run_with_another() -> None:
    """Go on under another Python of this machine, the newest that will do."""
    for minor in range(_NEWEST[1], _OLDEST[1] - 1, -1):
        python = shutil.which("python3.{}".format(minor))
        if python and subprocess.call([python, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            os.execv(python, [python, *sys.argv])
    wanted = "Python {}.{} to {}.{}".format(*_OLDEST, *_NEWEST)
    found = "{} {}.{}".format(sys.implementation.name, *sys.version_info[:2])
    _end("it needs {}, and {} is {}: install one of those".format(wanted, sys.executable or "this", found))


def _folder() -> str:
    """Return the folder to unpack into: $PEX_ROOT, or one of our own below the cache of this service or user."""
    given = os.environ.get("PEX_ROOT")
    own = os.environ.get("CACHE_DIRECTORY") or os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = given or os.path.join(own.split(":")[0], _FOLDER)
    cure = "set PEX_ROOT to a folder that {} can write".format("you" if sys.stderr.isatty() else "this user")
    if not os.path.isabs(folder):
        _end("it finds no folder to unpack into (no home): " + cure)
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
        owner = os.stat(folder).st_uid
    except OSError as error:
        _end("cannot unpack into {}: {}: {}".format(folder, error.strerror, cure))
    if not os.access(folder, os.W_OK | os.X_OK):
        _end("cannot write to {}: {}".format(folder, cure))
    if owner != os.geteuid() and not given:  # whoever owns it can change what runs
        _end("{} belongs to another user: {}".format(folder, cure))
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        _end("{} is mounted noexec: set PEX_ROOT to a folder on another file system".format(folder))
    return folder


def _refuse_to_unpack(kind, error, traceback) -> None:  # type: ignore[no-untyped-def]
    if os.environ.get("PEX_VERBOSE"):
        sys.__excepthook__(kind, error, traceback)
    elif issubclass(kind, KeyboardInterrupt):
        os._exit(130)
    what = str(error).strip().splitlines() or [kind.__name__]
    _end("cannot unpack into {}: {}: PEX_ROOT names another folder".format(os.environ.get("PEX_ROOT"), what[-1]))


_prepare()
