"""House rules that no linter knows, as checks over the syntax trees of src, tests and tools.

`python tools/tidy.py` prints one line a breach and fails; tests/architecture/test_tidy.py calls
the same functions. Not here: imports (import-linter) and style (ruff), see pyproject.toml.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
CHECKED_FOLDERS = ("src", "tests", "tools")

MODULE_LIMIT_LINES = 500
FUNCTION_LIMIT_LINES = 70
POSITIONAL_LIMIT = 4
GENERATED_HEAD_CHARS = 400

PURE_ROOMS = frozenset({"api", "model", "state", "core", "operations", "engine", "wire"})
IMPURE_CALLS = frozenset({"open", "print", "input", "breakpoint", "exec", "eval"})
VAGUE_NAMES = frozenset({"util", "utils", "helper", "helpers", "common", "base", "misc", "manager"})
# Spelled with brackets so that this file keeps its own rule.
UNFINISHED = re.compile(r"\b(?:TO[D]O|FIX[M]E|X[X]X)\b")
TEST_NAME_WORDS = 3


class Breach(NamedTuple):
    """One broken rule, in one place."""

    path: Path
    line: int
    rule: str

    def __str__(self) -> str:
        """Write it as compilers do, so that editors can jump to it."""
        return f"{self.path}:{self.line}: {self.rule}"


class Module(NamedTuple):
    """One source file: `path` is relative to the root of the checkout."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def room(self) -> str | None:
        """The room below src/homeport that the module is in; None outside."""
        parts = self.path.parts
        return parts[2] if parts[:2] == ("src", "homeport") and len(parts) > 3 else None

    @property
    def is_pure(self) -> bool:
        """Whether decisions live here, which may know no outside world."""
        return self.room in PURE_ROOMS

    @property
    def is_generated(self) -> bool:
        """Whether a tool writes this file; its size and shape are the tool's business."""
        return "generated" in self.text[:GENERATED_HEAD_CHARS].lower()

    @property
    def is_test(self) -> bool:
        """Whether pytest collects it."""
        return self.path.parts[0] == "tests" and self.path.name.startswith("test_")


Check = Callable[[Module], Iterator[Breach]]


def parse_module(path: Path, text: str) -> Module:
    """A module from its text; `path` relative to the root decides which rules hold for it."""
    return Module(path, text, ast.parse(text))


def read_modules(root: Path = ROOT) -> list[Module]:
    """Every Python file of the checkout that people write, sorted by path."""
    paths = (path for folder in CHECKED_FOLDERS for path in (root / folder).rglob("*.py"))
    return [parse_module(path.relative_to(root), path.read_text()) for path in sorted(paths)]


def check_sizes(module: Module) -> Iterator[Breach]:
    """Modules and functions stay small enough to be read at one go."""
    if module.is_generated:
        return
    lines = module.text.count("\n")
    if lines > MODULE_LIMIT_LINES:
        yield Breach(module.path, 1, f"{lines} lines; the limit is {MODULE_LIMIT_LINES}")
    for function in _functions(module.tree):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > FUNCTION_LIMIT_LINES:
            rule = f"{function.name} has {length} lines; the limit is {FUNCTION_LIMIT_LINES}"
            yield Breach(module.path, function.lineno, rule)


def check_parameters(module: Module) -> Iterator[Breach]:
    """More than four parameters are keyword-only, or a record."""
    if module.is_generated:
        return
    for function in _functions(module.tree):
        given = [each.arg for each in [*function.args.posonlyargs, *function.args.args]]
        count = len([name for name in given if name not in ("self", "cls")])
        if count > POSITIONAL_LIMIT and not module.is_test:
            rule = f"{function.name} takes {count} positional parameters: make them keyword-only"
            yield Breach(module.path, function.lineno, rule)


def check_docstrings(module: Module) -> Iterator[Breach]:
    """A module says what lives in it; a public function of the product says what it does."""
    is_empty = module.path.name == "__init__.py" and not module.tree.body
    if not is_empty and ast.get_docstring(module.tree) is None:
        yield Breach(module.path, 1, "no module docstring: what lives here, what does not")
    if module.path.parts[0] != "src" or module.is_generated:
        return
    for node in _public_definitions(module.tree):
        if ast.get_docstring(node) is None:
            yield Breach(module.path, node.lineno, f"{node.name} is public and has no docstring")


def check_purity(module: Module) -> Iterator[Breach]:
    """Pure rooms have no coroutines, no I/O, and never depend on the order of a set."""
    if not module.is_pure:
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield Breach(module.path, node.lineno, "async in a pure room: return an Effect")
        if isinstance(node, ast.Call) and _called_name(node) in IMPURE_CALLS:
            yield Breach(module.path, node.lineno, f"{_called_name(node)}() in a pure room")
        if isinstance(node, ast.For | ast.comprehension) and _is_set(node.iter):
            rule = "iterates a set: string hashes differ per process, so sort it"
            yield Breach(module.path, node.iter.lineno, rule)


def check_names(module: Module) -> Iterator[Breach]:
    """No module is a place for things that have no place."""
    for part in (*module.path.parts[:-1], module.path.stem):
        if part in VAGUE_NAMES:
            yield Breach(module.path, 1, f"{part!r} says nothing about what lives here")


def check_reexports(module: Module) -> Iterator[Breach]:
    """A name is imported from the module that owns it, so packages hand nothing on."""
    if module.path.name != "__init__.py" or module.path.parts[0] != "src":
        return
    for node in module.tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("homeport"):
            yield Breach(module.path, node.lineno, "re-exports: import from the owning module")


def check_finished(module: Module) -> Iterator[Breach]:
    """What is not done is an issue, not a comment."""
    for number, line in enumerate(module.text.splitlines(), 1):
        if UNFINISHED.search(line):
            yield Breach(module.path, number, "unfinished: do it, or file an issue")


def check_tests(module: Module) -> Iterator[Breach]:
    """Test names are sentences, and unit tests wait for events, never for time to pass."""
    if not module.is_test:
        return
    for function in _functions(module.tree):
        is_test = function.name.startswith("test_")
        if is_test and len(function.name.split("_")) - 1 < TEST_NAME_WORDS:
            yield Breach(module.path, function.lineno, f"{function.name} is not a sentence")
    if "unit" in module.path.parts:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and _sleeps(node):
                yield Breach(module.path, node.lineno, "sleeps: wait for the event instead")


CHECKS: tuple[Check, ...] = (
    check_sizes,
    check_parameters,
    check_docstrings,
    check_purity,
    check_names,
    check_reexports,
    check_finished,
    check_tests,
)


def find_breaches(modules: list[Module]) -> list[Breach]:
    """Every breach of every rule, in the order of the files."""
    return [breach for module in modules for check in CHECKS for breach in check(module)]


def find_missing_packages(root: Path = ROOT) -> list[Path]:
    """Folders below src/homeport with modules but no __init__.py, which a wheel would leave out."""
    folders = {path.parent for path in (root / "src" / "homeport").rglob("*.py")}
    missing = [folder for folder in folders if not (folder / "__init__.py").exists()]
    return sorted(folder.relative_to(root) for folder in missing)


_Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(tree: ast.AST) -> Iterator[_Function]:
    for node in ast.walk(tree):
        if isinstance(node, _Function):
            yield node


def _public_definitions(tree: ast.Module) -> Iterator[_Function | ast.ClassDef]:
    """Public functions and classes of the module, and public methods of public classes."""
    for node in tree.body:
        if isinstance(node, _Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                methods = (each for each in node.body if isinstance(each, _Function))
                yield from (each for each in methods if not each.name.startswith("_"))


def _is_set(node: ast.expr) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    return isinstance(node, ast.Call) and _called_name(node) in ("set", "frozenset")


def _called_name(call: ast.Call) -> str | None:
    return call.func.id if isinstance(call.func, ast.Name) else None


def _sleeps(call: ast.Call) -> bool:
    """Whether a call lets time pass; `asyncio.sleep(0)` only lets other tasks run."""
    is_sleep = isinstance(call.func, ast.Attribute) and call.func.attr == "sleep"
    is_yield = bool(call.args) and isinstance(call.args[0], ast.Constant) and not call.args[0].value
    return is_sleep and not is_yield


def main() -> None:
    """Print every breach, one a line; status 1 when there is any."""
    breaches = [str(breach) for breach in find_breaches(read_modules())]
    breaches += [f"{folder}: no __init__.py" for folder in find_missing_packages()]
    for breach in breaches:
        print(breach)
    if breaches:
        sys.exit(f"tidy: {len(breaches)} breaches of the house rules")
    print("tidy: the house rules are kept")


if __name__ == "__main__":
    main()
