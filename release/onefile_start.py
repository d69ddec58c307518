"""The one file's first steps, before pex's own: whether it can run here, and where it unpacks itself.

release/onefile.py puts this text at the head of the archive's `__main__.py`. It must be read by every Python 3 from 3.6
on, so that one that is too old gets a line and no traceback. Each refusal is one line on stderr, with its cure.
"""

import errno
import grp
import locale
import os
import pwd
import shutil
import stat
import subprocess
import sys
import sysconfig
import warnings

_OLDEST = (3, 10)
_NEWEST = (3, 13)
_MACHINES = ("aarch64", "x86_64")
_FOLDER = os.path.join("clawgate", "pex")
_CURE = "set PEX_ROOT to a folder that this user alone can write, with 100 MB free and not mounted noexec"
_MOST_LINKS = 40


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
    if "PEX_VERBOSE" not in os.environ:
        warnings.simplefilter("ignore")  # a first start that was killed is told of in four lines, and made good


def _end(message: str) -> None:
    sys.stderr.write("clawgate: " + message + "\n")
    sys.stderr.flush()
    os._exit(1)


def _check_machine() -> None:
    system = os.uname()
    try:
        libc = "glibc" if os.confstr("CS_GNU_LIBC_VERSION") else ""
    except (ValueError, OSError):
        libc = ""
    if system.sysname != "Linux" or system.machine not in _MACHINES or not libc:
        found = f"{system.sysname} with {libc or 'another libc'} on {system.machine}"
        _end(f"this file is for Linux with glibc on {' or '.join(_MACHINES)}, and this is {found}")


def _is_supported() -> bool:
    has_lock = not sysconfig.get_config_var("Py_GIL_DISABLED")
    return sys.implementation.name == "cpython" and _OLDEST <= sys.version_info[:2] <= _NEWEST and has_lock


def _run_with_another() -> None:
    """Go on under another Python of this machine, the newest that will do."""
    for minor in range(_NEWEST[1], _OLDEST[1] - 1, -1):
        python = shutil.which(f"python3.{minor}")
        if python and subprocess.call([python, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            os.execv(python, [python, *sys.argv])
    found = f"{sys.implementation.name} {sys.version_info[0]}.{sys.version_info[1]}"
    _end(f"it needs Python 3.{_OLDEST[1]} to 3.{_NEWEST[1]}, and {sys.executable or 'this'} is {found}: install one")


def _folder() -> str:
    """Return the folder to unpack into: $PEX_ROOT, or one of our own below the cache of this service or user."""
    given = os.environ.get("PEX_ROOT")
    own = os.environ.get("CACHE_DIRECTORY") or os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = os.path.abspath(given) if given else os.path.join(own.split(":")[0], _FOLDER)
    if not os.path.isabs(folder):
        _end("no home directory is known, and so no folder to unpack into: " + _CURE)
    _check_path(folder)
    try:
        _make(folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            _end(f"cannot write to {folder}: {_CURE}")
        if os.statvfs(folder).f_flag & os.ST_NOEXEC:
            _end(f"{folder} is mounted noexec: {_CURE}")
    except OSError as error:
        _end(f"cannot unpack into {folder}: {error.strerror}: {_CURE}")
    return folder


def _check_path(folder: str) -> None:
    """Refuse a path that pex 2.105 writes into its files and cannot read again, as a rule at the second start alone."""
    path = os.path.realpath(folder)
    charset = locale.nl_langinfo(locale.CODESET)
    if path.split() != [path]:
        _end(f"cannot unpack into {folder}: there is a blank in its path: {_CURE}")
    if not path.isascii() and charset.upper() != "UTF-8":
        _end(f"cannot unpack into {folder}: its path is not ASCII, and the locale is not of UTF-8 ({charset}): {_CURE}")


def _make(folder: str) -> None:
    """Make the folder where it is not there, and refuse it where another user could change what lies in it.

    The owner of a folder on the way, and all who can write to it, can put another one in the place of the next. Where
    that takes the owner (/tmp), the next one's owner tells. So it is with the links on the way, and with what they lead
    to.
    """
    path, left, links = "/", folder.split("/")[::-1], 0
    while left:
        name = left.pop()
        if name in ("", "."):
            continue
        if name == "..":
            path = os.path.dirname(path)
            continue
        step = os.path.join(path, name)
        about = _found_or_made(step)
        if about.st_uid not in (os.geteuid(), os.stat("/").st_uid, 0):
            _end(f"{step} belongs to another user: {_CURE}")
        if stat.S_ISLNK(about.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            target = os.readlink(step)
            path = "/" if target.startswith("/") else path
            left += target.split("/")[::-1]
            continue
        if not stat.S_ISDIR(about.st_mode):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if _is_open_to_others(about) and not (about.st_mode & stat.S_ISVTX and any(left)):
            _end(f"other users can write to {step}: {_CURE}")
        path = step


def _found_or_made(path: str) -> os.stat_result:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:  # another first start has just made it, or another user: its owner tells
            pass
        return os.lstat(path)


def _is_open_to_others(about: os.stat_result) -> bool:
    """Say whether users but this one and root can write there: a group of this user's own has nobody else in it."""
    if not about.st_mode & stat.S_IWGRP or about.st_gid == 0:
        return bool(about.st_mode & stat.S_IWOTH)
    try:
        own, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(about.st_gid)
    except KeyError:
        return True
    is_own = group.gr_gid == own.pw_gid and group.gr_name == own.pw_name and not set(group.gr_mem) - {own.pw_name}
    return not is_own or bool(about.st_mode & stat.S_IWOTH)


def _refuse_to_unpack(kind, error, traceback) -> None:  # type: ignore[no-untyped-def]
    if os.environ.get("PEX_VERBOSE"):
        sys.__excepthook__(kind, error, traceback)
    elif issubclass(kind, KeyboardInterrupt):
        os._exit(130)
    what = getattr(error, "strerror", None) or (str(error).strip().splitlines() or [kind.__name__])[-1]
    _end(f"cannot unpack into {os.environ.get('PEX_ROOT')}: {what}: {_CURE}")


_prepare()
