"""Which rows of a fleet changed, in order, for readers that each remember how far they are."""


class ChangeLog:
    """A bounded list of row numbers; a reader that fell too far behind starts afresh."""

    __slots__ = ("_rows", "_start")

    LIMIT_ROWS = 16_384

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._start = 0

    @property
    def end(self) -> int:
        """The cursor of a reader who knows everything."""
        return self._start + len(self._rows)

    def add(self, row: int) -> None:
        """Note that a row changed."""
        self._rows.append(row)
        if len(self._rows) > self.LIMIT_ROWS:
            half = self.LIMIT_ROWS // 2
            del self._rows[:half]
            self._start += half

    def since(self, cursor: int) -> list[int] | None:
        """Return the rows that changed behind a cursor, each once; None when that is forgotten."""
        if cursor < self._start:
            return None
        return list(dict.fromkeys(self._rows[cursor - self._start :]))
