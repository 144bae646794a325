"""One large image on the workers of a cluster: a batch of tiles is a task.

This process reads, stitches and writes; the workers run the model.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from distributed import Client, WorkerPlugin, get_worker
from distributed.scheduler import KilledWorker
from numpy.typing import NDArray

from napari_clipseg.decoding import Decoding
from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.loading import load
from napari_clipseg.engine.runtime.threads import use_threads
from napari_clipseg.recipe import Recipe
from napari_clipseg.run import Answer, ShownTiles, maps_of_tiles
from napari_clipseg.segmentation import require_weights

ONE_AT_A_TIME = "napari-clipseg"  # the plugin of a worker that holds its lock and its threads
RETRIES = 2  # of a task whose worker was lost
LEAST, PER_WORKER = 8, 3  # batches that are on their way at once
LOST = "The workers that tried it were lost, perhaps because their memory was full."
CURE = "Give each worker more memory, or use fewer of them; or choose a region or a coarser level."


class Answering(WorkerPlugin):
    """The recipe of a run on a worker, which makes maps of tiles with it.

    Parameters
    ----------
    recipe : Recipe
        With its examples read, and the hash of the weights.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._made: tuple[Engine, Decoding] | None = None

    def maps(self, shown: ShownTiles) -> list[NDArray[np.float32]]:
        """Return what `run.maps_of_tiles` gives of some tiles."""
        engine = load(self._recipe.model)
        if self._made is None or self._made[0] is not engine:
            require_weights(self._recipe, engine.weights)
            self._made = engine, Decoding(engine, self._recipe.all_prompts)
        return maps_of_tiles(*self._made, *shown)


@contextmanager
def answering(client: Client, recipe: Recipe) -> Iterator[Answer]:
    """Let the workers of a cluster make the maps of tiles.

    Parameters
    ----------
    client : Client
        Of the cluster; its workers have the plugin `cluster.OneAtATime`.
    recipe : Recipe
        Resolved, with the hash of the weights.

    Yields
    ------
    callable
        The `answer` of a `run.Run`.
    """
    name = f"{ONE_AT_A_TIME}-{secrets.token_hex(8)}"
    client.register_plugin(Answering(recipe), name=name)

    def answer(shown: Iterator[ShownTiles]) -> Iterator[list[NDArray[np.float32]]]:
        waiting: deque[Any] = deque()
        try:
            for one in shown:
                waiting.append(client.submit(_maps, name, one, pure=False, retries=RETRIES))
                if len(waiting) >= max(LEAST, PER_WORKER * len(client.nthreads())):
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            client.cancel(list(waiting))

    try:
        yield answer
    finally:
        client.unregister_worker_plugin(name)


def _maps(name: str, shown: ShownTiles) -> list[NDArray[np.float32]]:
    """Make the maps of tiles, on a worker."""
    plugins: Any = get_worker().plugins
    with plugins[ONE_AT_A_TIME].lock:
        use_threads(plugins[ONE_AT_A_TIME].threads)
        made: list[NDArray[np.float32]] = plugins[name].maps(shown)
        return made


def _result(future: Any) -> list[NDArray[np.float32]]:
    try:
        made: list[NDArray[np.float32]] = future.result()
    except KilledWorker as error:
        raise ValueError(f"{LOST} {CURE}") from error
    return made
