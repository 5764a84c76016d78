"""How a run fails: the one exception of all checkers."""


class Violation(Exception):
    """A truth that didn't hold; `truth` is the checker's name, the text says what was seen."""

    def __init__(self, truth: str, text: str) -> None:
        super().__init__(f"{truth}: {text}")
        self.truth = truth
        self.text = text
