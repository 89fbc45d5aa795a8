"""On which line of a TOML text each key stands; the standard library's reader does not say."""

import re
from collections.abc import Iterator

Place = tuple[str | int, ...]  # ("models", 0, "tags", "size")

BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
KEY = re.compile(r'[ \t]*(?:"((?:[^"\\]|\\.)*)"|\'([^\']*)\'|([A-Za-z0-9_-]+))[ \t]*')
STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL
)
PLAIN = re.compile(r"[^\s,\]}#]+(?: \d\d:[^\s,\]}#]+)?")  # a number, a truth, a date and its time


def positions(text: str) -> dict[Place, int]:
    """Return the line, from 1, of every key and table of a TOML text that is right."""
    return _Scan(text).found


class _Scan:
    def __init__(self, text: str):
        self.text, self.at = text, 0
        self.found: dict[Place, int] = {}
        self.counts: dict[Place, int] = {}  # how many tables of a list were met
        table: Place = ()
        while self._skip() < len(text):
            if text.startswith("[", self.at):
                table = self._header()
            else:
                self._pair(table)

    def _skip(self) -> int:
        """Go to the next thing that is no blank, no comment."""
        found = BLANK.match(self.text, self.at)
        assert found is not None  # it matches nothing, too
        self.at = found.end()
        return self.at

    def _mark(self, place: Place) -> None:
        self.found.setdefault(place, self.text.count("\n", 0, self.at) + 1)

    def _header(self) -> Place:
        start = self.at
        several = self.text.startswith("[[", start)
        self.at += 2 if several else 1
        place: Place = ()
        names = list(self._keys())
        for i, name in enumerate(names):
            place = (*place, name)
            if several and i == len(names) - 1:
                self.counts[place] = self.counts.get(place, 0) + 1
            if place in self.counts:
                place = (*place, self.counts[place] - 1)
        self.at += 2 if several else 1
        end, self.at = self.at, start
        for stop in range(1, len(place) + 1):
            self._mark(place[:stop])
        self.at = end
        return place

    def _keys(self) -> Iterator[str]:
        while True:
            found = KEY.match(self.text, self.at)
            assert found is not None  # the text is right
            self.at = found.end()
            yield next(group for group in found.groups() if group is not None)
            if not self.text.startswith(".", self.at):
                return
            self.at += 1

    def _pair(self, table: Place) -> None:
        start = self.at
        names = tuple(self._keys())
        self.at, end = start, self.at
        for stop in range(1, len(names) + 1):
            self._mark((*table, *names[:stop]))
        self.at = end + 1  # after the =
        self._value((*table, *names))

    def _value(self, place: Place) -> None:
        self._skip()
        if self.text.startswith("[", self.at):
            for index in self._parts("]"):
                self._skip()
                self._mark((*place, index))
                self._value((*place, index))
        elif self.text.startswith("{", self.at):
            for _ in self._parts("}"):
                self._pair(place)
        else:
            found = STRING.match(self.text, self.at) or PLAIN.match(self.text, self.at)
            assert found is not None  # the text is right
            self.at = found.end()

    def _parts(self, close: str) -> Iterator[int]:
        """Yield the number of each part of a list or table while `at` is before it."""
        self.at += 1
        index = 0
        while True:
            self._skip()
            if self.text.startswith(close, self.at):
                self.at += 1
                return
            yield index
            index += 1
            self._skip()
            if self.text.startswith(",", self.at):
                self.at += 1
