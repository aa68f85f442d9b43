"""What only some systems have is named in `resnas_deploy/system`, and in what says that it is for Linux alone."""

from __future__ import annotations

import ast
import importlib
import inspect

import pytest
from support.places import PACKAGE

from resnas_deploy.system import here

MODULES = {"fcntl", "grp", "msvcrt", "posix", "pwd", "resource", "termios", "winreg", "_winapi"}
# Of `os`, `signal`, `socket` and `select`: those whose documentation says "Availability: Unix" or "Linux".
NAMES = {
    *("fork", "forkpty", "getuid", "geteuid", "getgid", "getpgid", "killpg", "setsid", "setpgid", "uname", "pathconf"),
    *("statvfs", "fstatvfs", "pread", "pwrite", "readv", "writev", "preadv", "posix_fadvise", "posix_fallocate"),
    *("sched_getaffinity", "sched_setaffinity", "sysconf", "wait3", "wait4", "waitid", "WNOHANG", "WIFSTOPPED"),
    *("pidfd_open", "pidfd_send_signal", "memfd_create", "sendfile", "copy_file_range", "set_blocking", "chown"),
    *("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_PATH", "O_TMPFILE", "mkfifo", "nice"),
    *("SIGHUP", "SIGKILL", "SIGPIPE", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "SIGSTOP", "SIGCONT"),
    *(
        "pthread_sigmask",
        "pthread_kill",
        "setitimer",
        "sigwait",
        "SIG_BLOCK",
        "SIG_SETMASK",
        "AF_UNIX",
        "poll",
        "epoll",
    ),
    *("getrusage", "getrlimit", "setrlimit", "malloc_trim", "prctl", "ptrace", "renameat2", "flock", "lockf"),
}
ARGUMENTS = {"dir_fd", "pass_fds", "start_new_session", "preexec_fn", "creationflags", "startupinfo"}
# Which are reached on Linux alone: the test below has what keeps others out of them.
ON_LINUX = {
    "serving/server/hidden_arguments.py",
    "serving/server/launcher.py",
    "serving/server/ownership.py",
    "serving/server/plain_folder.py",
    "serving/server/log.py",
    "serving/server/server.py",
    "surveying/process.py",
    "engines/builder_process.py",
    "processes/guardian.py",
}
_STARTING = ("Popen", "run", "check_output", "TemporaryFile", "NamedTemporaryFile")
COUNTERS = {"measuring/machine/observation.py": {"sysconf"}}  # read only where the kernel has its file of them


def found_in(path):
    """The names of systems that a file has."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from {alias.name for alias in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from {node.module} & MODULES
        elif isinstance(node, ast.Attribute) and node.attr in NAMES:
            if not (isinstance(node.value, ast.Name) and node.value.id not in ("os", "signal", "select", "socket")):
                yield node.attr
        elif isinstance(node, ast.keyword) and node.arg in ARGUMENTS:
            yield node.arg
        elif isinstance(node, ast.Call) and any(
            keyword.arg == "shell" and getattr(keyword.value, "value", False) for keyword in node.keywords
        ):
            yield "shell=True"


def test_nobody_else_names_what_only_some_systems_have():
    wrong = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith("system/") or name in ON_LINUX:
            continue
        if found := set(found_in(path)) - COUNTERS.get(name, set()):
            wrong[name] = found
    assert wrong == {}


def test_such_a_name_would_be_seen(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "import fcntl, os\nos.sched_getaffinity(0)\nos.open('.', os.O_DIRECTORY, dir_fd=3)\nrun('a', shell=True)\n",
        encoding="utf-8",
    )
    assert set(found_in(path)) == {"fcntl", "sched_getaffinity", "O_DIRECTORY", "dir_fd", "shell=True"}


def text_without_encoding(path):
    """The lines that read or write text in whatever encoding, or with whatever ends of lines, a system has."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        of = (
            node.func.value.id if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) else ""
        )
        values = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        if called == "read_text" and (of or isinstance(node.func, ast.Attribute)):
            if "encoding" not in given and "utf-8" not in values:
                yield node.lineno, "read_text without encoding"
        elif called == "write_text" and isinstance(node.func, ast.Attribute):
            if not {"encoding", "newline"} <= given.keys():
                yield node.lineno, "write_text without encoding and newline"
        elif called in ("open", "fdopen") and of not in ("Image", "tarfile", "resnas", "kind", "image"):
            modes = [value for value in values if isinstance(value, str) and set(value) <= set("rwaxbt+")]
            is_text = any("b" not in mode for mode in modes) or (called == "open" and of == "" and not modes)
            if is_text and isinstance(node.func, ast.Name) | bool(modes) and "encoding" not in given:
                yield node.lineno, "open without encoding"
        elif (
            called in _STARTING and "encoding" not in given and ("text" in given or {"w", "w+"} & set(map(str, values)))
        ):
            yield node.lineno, f"{called} of text without encoding"


def test_text_is_utf_8_and_its_lines_end_alike_on_each_system():
    wrong = [
        f"{path.relative_to(PACKAGE).as_posix()}:{line}: {what}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, what in text_without_encoding(path)
        if "serving/" not in path.as_posix()  # on Linux alone
    ]
    assert wrong == []


@pytest.mark.parametrize("name", ["macos", "windows"])
def test_each_system_has_the_same_names_with_the_same_parameters(name):
    pytest.importorskip("fcntl")  # without which two of them cannot be imported
    linux, module = (importlib.import_module(f"resnas_deploy.system.{each}") for each in ("linux", name))

    def names(of):
        return {
            name: inspect.signature(value) if inspect.isfunction(value) else None
            for name, value in vars(of).items()
            if not name.startswith("_")
            and name != "TYPE_CHECKING"
            and not inspect.ismodule(value)
            and name != "annotations"
        }

    assert names(module) == names(linux)


def test_here_is_the_system_of_this_process():
    import sys

    assert {"win32": "Windows", "darwin": "macOS"}.get(sys.platform, "Linux") == here.NAME
