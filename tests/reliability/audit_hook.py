"""An audit hook that notes what no reader of a file may do."""

import os
import sys
from pathlib import Path
from typing import Any

FORBIDDEN = frozenset(
    "pickle.find_class exec compile marshal.loads import code.__new__ "
    "subprocess.Popen os.system os.exec os.fork os.forkpty os.posix_spawn os.spawn "
    "os.startfile pty.spawn os.kill os.chmod os.chown os.link os.symlink "
    "socket.connect socket.bind socket.sendto socket.getaddrinfo "
    "socket.gethostbyname urllib.Request ftplib.connect "
    "sqlite3.connect webbrowser.open".split()
)
CHANGES = frozenset("os.remove os.rename os.rmdir os.mkdir os.truncate".split())
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Watch:
    """Notes what a reader must not do; the hook, which cannot be taken off, is one."""

    def __init__(self, *writable: Path) -> None:
        self.writable = tuple(os.path.realpath(path) for path in writable)
        self.events: list[str] = []
        self.listening = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Called by the interpreter."""
        if not self.listening:
            return
        is_change = event in CHANGES and not self._may_change(arguments[0])
        is_write = event == "open" and _writes(arguments)
        is_write = is_write and not self._may_change(arguments[0])
        forbidden = event in FORBIDDEN or event.startswith(("ctypes.", "shutil."))
        if is_change or is_write or (forbidden and not _reads_a_literal(event)):
            self.events.append(f"{event} {arguments!r:.300}")
            if event.startswith(("socket.", "subprocess.", "os.system")):
                raise PermissionError(f"{event} under the hook")

    def _may_change(self, path: Any) -> bool:
        if isinstance(path, int):
            return True  # of something that was opened, and noted then
        folder, name = os.path.split(os.fsdecode(path))
        place = os.path.join(os.path.realpath(folder), name)
        return any(place.startswith(f"{root}/") for root in self.writable)


def _writes(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    return bool(flags & WRITING) or bool(mode and set(mode) & set("wax+"))


def _reads_a_literal(event: str) -> bool:
    """Whether `ast.literal_eval` parses, which runs nothing: headers of NumPy's."""
    frame: Any = sys._getframe(2)
    names = []
    while frame is not None and len(names) < 4:
        names.append((frame.f_globals.get("__name__"), frame.f_code.co_name))
        frame = frame.f_back
    return event == "compile" and ("ast", "literal_eval") in names
