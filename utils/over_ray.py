"""Shares of work on the machines of a Ray cluster, each by an actor that holds what the work needs: `--ray ADDRESS`."""

import argparse
import os
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from utils.errors import UserError

RETRIES = 3  # of a share whose process or machine was lost
ROOT = Path(__file__).parent.parent
Share = TypeVar("Share", bound=Hashable)
Make = Callable[[Any], Callable[[Any], Any]]


def add_ray_argument(parser: "argparse.ArgumentParser | argparse._MutuallyExclusiveGroup") -> None:
    """The option --ray, for scripts that can hand their work out."""
    parser.add_argument("--ray", metavar="ADDRESS",
                        help="share the work out to a Ray cluster, which has this folder, its packages and the data at "
                        "the same paths: host:port, auto, or local for one on this machine")


def over_ray(address: str, make: Make, given: Any, shares: Sequence[Share], *,
             gpu: str | None = None) -> Iterator[tuple[Share, Any]]:
    """Every share with its result, in the order in which they are ready.

    Each actor calls `make(given)` once, which returns what makes a result of a share. There is one for each GPU of the
    cluster, or for each CPU where it has none or `gpu` is "cpu"; it has one share at a time, and the next once its
    result is taken. A share whose actor died goes to another, and a new actor begins where the cluster has room.

    Args:
        make: a function of a module; it, `given` and the shares are pickled.

    Raises:
        UserError: Ray is not installed, no cluster answers, the work raised one, or a share was lost RETRIES times and
            once more.
    """
    try:
        import ray
        from ray.exceptions import RayTaskError
    except ImportError as error:
        raise UserError("the package ray, which --ray needs, is not installed. Install it with `pip install -r "
                        "requirements-ray.txt`.") from error
    try:
        ray.init(address, logging_level="ERROR", log_to_driver=False,
                 runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}})
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--ray {address}: no cluster to be had ({reason}). Start one with `ray start --head`, or name "
                        "local.") from error
    try:
        yield from _results(ray, make, given, shares, gpu != "cpu")
    except RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise UserError(str(error.cause)) from error
        raise
    finally:
        ray.shutdown()


def _results(ray: Any, make: Make, given: Any, shares: Sequence[Share], use_gpus: bool) -> Iterator[tuple[Share, Any]]:
    have = ray.cluster_resources()
    num_gpus = int(have.get("GPU", 0)) if use_gpus else 0
    kind = ray.remote(num_cpus=1, num_gpus=min(1, num_gpus))(_Actor)
    todo, lost = deque(shares), Counter[Share]()
    asked: dict[Any, tuple[Any, Share | None]] = {}  # by what will be its answer: the actor, and the share if any

    def begin() -> None:
        actor = kind.remote(make, given, os.getcwd())
        asked[actor.prepare.remote()] = actor, None

    for _ in range(min(num_gpus or max(1, int(have.get("CPU", 0))), len(todo))):
        begin()
    while todo or any(share is not None for _, share in asked.values()):
        (answer,), _ = ray.wait(list(asked))
        actor, share = asked.pop(answer)
        try:
            result = ray.get(answer)
        except ray.exceptions.RayActorError as error:
            if share is not None:
                lost[share] += 1
                todo.appendleft(share)
            if share is not None and lost[share] > RETRIES:
                raise UserError(f"--ray: the process or the machine died {lost[share]} times over one share. Look into "
                                "Ray's logs, and at its free memory.") from error
            begin()
            continue
        if share is not None:
            yield share, result
        if todo:
            following = todo.popleft()
            asked[actor.work.remote(following)] = actor, following


class _Actor:
    def __init__(self, make: Make, given: Any, folder: str) -> None:
        self._make, self._given, self._folder = make, given, folder

    def prepare(self) -> None:
        """Apart from the start, so that what goes wrong in it is told as it is."""
        try:
            os.chdir(self._folder)  # that paths are relative to
        except OSError as error:
            raise UserError(f"{self._folder}: {error.strerror} on a machine of the cluster. All need the same "
                            "folders.") from error
        self._work = self._make(self._given)

    def work(self, share: Any) -> Any:
        return self._work(share)
