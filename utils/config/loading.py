"""Config files: plain Python assignments, resolved over their bases and the command line's overrides.

A config is a program: loading one executes it, so load only files you trust.
"""

import ast
import copy
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from utils.config.keys import check_value, parse_text, safe_repr
from utils.config.schema import CORE, check_values, known_keys, schema_of, unknown_key
from utils.config.values import Config, run_ending
from utils.errors import UserError
from utils.registry import METHODS, MIXERS, plain_name

MAX_ROUNDS = 12
_LANGUAGE = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def load_config(path: str | os.PathLike, overrides: Mapping[str, object] | None = None) -> Config:
    """The configuration in the Python file `path`, resolved over its bases and under `overrides`.

    Executes `path` and its bases: load only files you trust. `_base_ = '../_base_/x.py'`, or a list of such
    paths, names bases relative to the file that says so; of several files that set a name the last one
    counts, the child after its bases. That value, or the override, already stands when an earlier file runs,
    so the strings a base derives from it follow; and a child may use its bases' names. Files are run from
    their text, never imported: two of the same name do not shadow each other. Names with a leading underscore
    are private to their file; modules, functions and classes are not values.

    Args:
        path: a Python file of assignments, all keys in one file (as in releases of papers) or over bases.
        overrides: key -> value, or key -> text as on a command line ('5e-4', '[5, 20]', 'None').

    Raises:
        UserError: in one line, a missing or failing file, a cycle of bases, values that never settle, an
            unknown key (with the nearest known one), a wrong type, or a value out of range.
    """
    pinned = {name: _override(name, value) for name, value in (overrides or {}).items()}
    files = _read_files(os.fspath(path))
    values, origins = _settle(files, pinned)
    origins |= {name: _option(name) for name in pinned}
    return resolved(values, origins, os.fspath(path), required=pinned)


def read_dump(path: str | os.PathLike) -> dict[str, object]:
    """The values in a file that `Config.dump` wrote, read as data: nothing in it is executed.

    Raises:
        UserError: it cannot be read, or holds anything but names with plain values.
    """
    try:
        tree = ast.parse(Path(path).read_bytes(), os.fspath(path))
        return {node.targets[0].id: ast.literal_eval(node.value) for node in tree.body}  # type: ignore[attr-defined]
    except (OSError, SyntaxError, ValueError, AttributeError, IndexError, RecursionError, MemoryError) as error:
        raise UserError(f"{path}: no resolved config ({_said(error)}). It is written by train.py.") from None


def resolved(values: Mapping[str, object], origins: Mapping[str, str], source: str,
             required: Iterable[str] = ()) -> Config:
    """The configuration with these `values`, checked and completed; arguments and errors as of `check_values`.

    Args:
        required: keys that must be of this config's method, mixer or of any run's: what a command line sets.
    """
    checked = check_values(values, origins, source)
    for name in required:
        if name not in checked:
            raise unknown_key(name, origins[name], schema_of(checked))
    config = Config(_complete(checked))
    method = METHODS.load(config.method)
    known = ("last", *method.selections, *(() if method.closed_form else ("best_on_test",)))
    complaint = method.check(config)
    if config.select not in known:
        complaint = (f"select = '{config.select}' is not for {config.method}. Leave it out, or set it to "
                     f"{' or '.join(map(repr, known))}.")
    if complaint:
        raise UserError(f"{source}: {complaint}")
    return config


def _option(name: str) -> str:
    return f"--set {name}"


def _override(name: str, value: object) -> object:
    """The value that an override means. A key that no file of the project declares, since it may be that of a method
    or mixer outside of it, is left to `check_values`."""
    key = known_keys().get(name)
    if key is None:
        return _literal(value)
    value = check_value(key, parse_text(key, value) if isinstance(value, str) else value, _option(name))
    return _as_folder(name, value)


def _literal(value: object) -> object:
    try:
        return ast.literal_eval(value.strip()) if isinstance(value, str) else value
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return value


def _as_folder(name: str, value: Any) -> Any:
    """A folder that other files join names to ends in a slash, whether its writer put one or not."""
    is_folder = name in CORE and CORE[name].kind == "folder" and isinstance(value, str)
    return os.path.join(value, "") if is_folder and value else value


def _complete(values: dict) -> dict:
    """`values` with the paths the config left out, under the release's file names, and the run's name."""
    if values["model_name"] is None:
        mixer = "" if values["mixer"] == MIXERS.default else f"_{plain_name(values['mixer'])}"
        values["model_name"] = (METHODS.load(values["method"]).title or plain_name(values["method"])) + mixer
    run = f"{values['model_name']}_{values['nbits']}bit"

    def default(name: str, *parts: str) -> None:
        if values[name] is None:
            values[name] = os.path.join(*parts)

    default("data_root", "data", values["dataset"], "")
    default("save_dir", values["home_root"], "checkpoint", values["dataset"], "")
    default("artefact_root", values["save_dir"], "artefacts", "")
    for name, key in schema_of(values).items():
        if key.file:
            default(name, values["artefact_root"], key.file.format(**values))
    default("file_path", values["save_dir"], run)
    default("log_path", values["home_root"], "logs", values["dataset"], run)
    for name in ("file_path", "log_path"):
        values[name] = values[name].rstrip("/") + run_ending(values["run_name"])
    return values


class _File:
    """One config file: its statements, compiled one by one, and the bases it names."""

    def __init__(self, path: str):
        self.path = path
        try:
            tree = ast.parse(Path(path).read_bytes(), path)
            self.statements = [(compile(ast.Module([node], []), path, "exec"), isinstance(node, _LANGUAGE))
                               for node in tree.body]
        except OSError as error:
            raise UserError(f"{path}: cannot read this config ({error.strerror}). Correct the path.") from None
        except SyntaxError as error:
            raise UserError(f"{path}, line {error.lineno or 1}: {error.msg}.") from None
        except ValueError as error:
            raise UserError(f"{path}: not a Python file ({error}).") from None
        except (RecursionError, MemoryError):
            raise UserError(f"{path}: its expressions are nested too deeply for Python. Write plain values.") from None
        folder = os.path.dirname(path)
        self.bases = [os.path.normpath(os.path.join(folder, base)) for base in self._read_bases(tree)]

    def _read_bases(self, tree: ast.Module) -> list[str]:
        stored = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "_base_"]
        values = [node.value for node in tree.body
                  if isinstance(node, ast.Assign) and len(node.targets) == 1 and node.targets[0] in stored]
        if not stored:
            return []
        try:
            bases = ast.literal_eval(values[0]) if len(stored) == 1 else None
        except (IndexError, ValueError):
            bases = None
        bases = [bases] if isinstance(bases, str) else bases
        if not isinstance(bases, (list, tuple)) or not all(isinstance(base, str) for base in bases):
            raise UserError(f"{self.path}: _base_ must be set once, to a quoted path or a list of them.")
        return list(bases)


def _read_files(path: str, within: tuple[str, ...] = (), seen: dict[str, _File] | None = None) -> list[_File]:
    """The config at `path` after all its bases, each file once, in the order in which they run."""
    seen = {} if seen is None else seen
    real = os.path.realpath(path)
    if real in within:
        raise UserError(f"{path}: this config is its own base, through the _base_ lines; take one out.")
    if real not in seen:
        if within and not os.path.exists(path):
            raise UserError(f"{path}: no such base config; {within[-1]} names it in _base_.")
        file = _File(path)
        for base in file.bases:
            _read_files(base, (*within, real), seen)
        seen[real] = file
    return list(seen.values())


class _Names(dict):
    """A file's namespace: assigning a pinned name keeps its pinned value, whatever form the assignment has.

    Python looks up a module-level name here, but a comprehension's in `globals`: both are kept equal.
    """

    def __init__(self, values: Mapping[str, Any], pinned: Mapping[str, Any]):
        super().__init__(values)
        self.pinned = pinned
        self.globals: dict[str, Any] = {**values, "__name__": "config"}
        self.assigned: dict[str, None] = {}
        self.is_language = False

    def __setitem__(self, name: str, value: Any) -> None:
        value = self.pinned.get(name, value)
        super().__setitem__(name, value)
        self.globals[name] = value
        is_tool = self.is_language or name.startswith("_") or callable(value) or isinstance(value, ModuleType)
        if name in known_keys() or not is_tool:
            self.assigned[name] = None

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self.globals.pop(name, None)
        self.assigned.pop(name, None)


def _settle(files: list[_File], overrides: dict) -> tuple[dict, dict[str, str]]:
    """Every name's value, and the file that gave it, once running `files` again changes nothing."""
    values: dict = {}
    owners: dict[str, int] = {}
    failure = None
    for _ in range(MAX_ROUNDS):
        before, failed_before = values, failure
        values, owners, failure = _run_round(files, overrides, values, owners)
        moving = [name for name in values if name not in before or safe_repr(values[name]) != safe_repr(before[name])]
        if not moving and failure == failed_before:
            break
    if failure:
        raise UserError(failure)
    if moving:
        raise UserError(f"{files[-1].path}: '{moving[0]}' never settles: it is computed, over bases, "
                        "from the value it replaces; write its value out.")
    return values, {name: files[owner].path for name, owner in owners.items()}


def _run_round(files: list[_File], overrides: dict, settled: dict,
               owners: dict) -> tuple[dict, dict, str | None]:
    """One run of all files, each under the overrides and under what later files gave in the round before.

    Returns the values, the index of the last file that gave each, and the first failure: not an error yet, as
    a base may need what only its child sets and the first round does not know.
    """
    values: dict = {}
    now: dict[str, int] = {}
    failure = None
    for index, file in enumerate(files):
        later = {name: _as_folder(name, settled[name]) for name, owner in owners.items() if owner > index}
        pinned = {name: _copied(value) for name, value in {**later, **overrides}.items()}
        names = _Names({**values, **pinned, "__file__": file.path}, pinned)
        for statement, is_language in file.statements:
            names.is_language = is_language
            said = _run_statement(file, statement, names)
            failure = failure or said
        now |= dict.fromkeys(names.assigned, index)
        now = {name: owner for name, owner in now.items() if name in names}  # a file may delete a base's name
        values = {name: names[name] for name in now}
    return {**overrides, **values}, now, failure


def _copied(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # a module, or a class of the config's own: no value of any key, as the schema will say
        return value


def _said(error: Exception) -> str:
    try:
        return " ".join(str(error).split())
    except Exception:  # an exception of the config's own, whose text fails
        return ""


def _run_statement(file: _File, statement: CodeType, names: _Names) -> str | None:
    """Runs one statement; returns what failed in one line, with its file and line number."""
    try:
        exec(statement, names.globals, names)
    except Exception as error:
        line, trace = 1, error.__traceback__
        while trace:
            line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == file.path else line
            trace = trace.tb_next
        return f"{file.path}, line {line}: {type(error).__name__}: {_said(error)}."
    return None
