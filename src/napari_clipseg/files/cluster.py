"""Many images on the workers of a cluster, by dask.distributed: an image is a task."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

import dask
from distributed import Client, LocalCluster, WorkerPlugin, get_worker
from distributed.client import as_completed
from distributed.scheduler import KilledWorker

from napari_clipseg.engine.runtime.threads import use_threads
from napari_clipseg.files.batch import WAIT, Work, local_steps
from napari_clipseg.files.failures import explain
from napari_clipseg.files.jobs import Job
from napari_clipseg.files.one import BUSY, FAILED, FileReport, Order, file_steps
from napari_clipseg.files.tiles import CURE, LOST, RETRIES, answering
from napari_clipseg.files.tiles import ONE_AT_A_TIME as PLUGIN

POLL = 0.2  # seconds until it is looked again whether the user stopped the run
LAST_TILE = 60.0  # seconds that are waited for the workers to end their tile


class OneAtATime(WorkerPlugin):
    """One image at a time in each process of a worker, with all threads of the worker.

    Parameters
    ----------
    threads : int, optional
        For PyTorch; by default as many as the worker has.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads

    def setup(self, worker: Any) -> None:
        """Make what the tasks of a worker share."""
        self.lock = threading.Lock()
        self.ended: set[str] = set()  # runs that the user stopped
        self.threads = self.threads or worker.state.nthreads


@contextmanager
def connected(workers: int | None, scheduler: str | None) -> Iterator[Client]:
    """Connect to a cluster, or start one on this machine.

    Parameters
    ----------
    workers : int, optional
        How many processes to start on this machine.
    scheduler : str, optional
        Address of a scheduler.

    Raises
    ------
    OSError
        If there is no scheduler at the address.
    """
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=10, set_as_default=False)
        except (OSError, ValueError) as error:
            raise OSError(
                f"There is no scheduler at {scheduler}: {error}. Start one with `dask scheduler`, "
                f"and give the address that it tells, such as tcp://10.0.0.1:8786."
            ) from error
        with client:
            yield client
        return
    count = workers or 1
    threads = max(1, (os.cpu_count() or 1) // count)
    with _no_ctrl_c():
        started = LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            dashboard_address=":0",
            silence_logs=logging.ERROR,
        )
    with started as cluster, Client(cluster, set_as_default=False) as client:
        client.register_plugin(OneAtATime(threads), name=PLUGIN)
        yield client


@contextmanager
def _no_ctrl_c() -> Iterator[None]:
    """Keep Ctrl-C from the processes that are started; this one hears of it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # when it starts, it unblocks the signal again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def cluster_steps(client: Client, jobs: Sequence[Job], order: Order) -> Work:
    """Do images on the workers of a cluster, as `batch.Batch.steps` wants it.

    Images are tasks; if there are fewer of them than workers, batches of their tiles are.
    """
    known = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.worker_plugins))
    if PLUGIN not in known:
        _prepare(client)
    if len(jobs) < max(2, len(client.nthreads())):
        # What dask computes here of files is not for the workers, which run the model.
        with answering(client, order.recipe) as answer, dask.config.set(scheduler="threads"):
            yield from local_steps(jobs, order, answer)
    else:
        yield from _file_steps(client, jobs, order)


def _prepare(client: Client) -> None:
    try:
        client.register_plugin(OneAtATime(), name=PLUGIN)
    except Exception as error:
        raise ValueError(
            f"The workers cannot run napari-clipseg: {type(error).__name__}: {error}. Install the "
            f"same version there as here."
        ) from error


def _file_steps(client: Client, jobs: Sequence[Job], order: Order) -> Work:
    """Do images as tasks."""
    run = secrets.token_hex(8)
    waiting, futures = list(jobs), []
    try:
        while waiting:
            futures = client.map(
                _do,
                waiting,
                order=order,
                run=run,
                pure=False,
                retries=RETRIES,
                key="segment",
            )
            by_key = {future.key: job for future, job in zip(futures, waiting, strict=True)}
            done, busy = as_completed(futures, loop=client.loop), []
            while not done.is_empty():
                ended = done.next_batch(block=False)
                if not ended:
                    time.sleep(POLL)
                    yield 0.0, f"{_workers(client)} at work", None
                for future in ended:
                    job = by_key[future.key]
                    report = _report(future, job)
                    if report.status == BUSY:
                        busy.append(job)
                    else:
                        yield 0.0, job.image.name, report
            waiting = busy
            if busy:
                time.sleep(WAIT)
                yield 0.0, f"Waiting for {len(busy)} images that another run works on", None
    finally:
        _end(client, run, futures)


def _do(job: Job, order: Order, run: str) -> FileReport:
    """Do an image, on a worker."""
    plugin: Any = get_worker().plugins[PLUGIN]
    # Were dask to give its work to the cluster, a worker would wait for itself.
    with plugin.lock, dask.config.set(scheduler="threads", num_workers=plugin.threads):
        use_threads(plugin.threads)
        steps = file_steps(job, order)
        try:
            while run not in plugin.ended:
                next(steps)
        except StopIteration as end:
            report: FileReport = end.value
            return report
        finally:
            steps.close()
    return FileReport(job.image, BUSY)


def _report(future: Any, job: Job) -> FileReport:
    if future.status == "finished":
        report: FileReport = future.result()
        return report
    error = future.exception() if future.status == "error" else RuntimeError("it was cancelled")
    said, cure = explain(error)
    if isinstance(error, KilledWorker):
        said, cure = LOST, CURE
    return FileReport(job.image, FAILED, error=said, cure=cure)


def _stop(run: str, dask_worker: Any) -> None:
    dask_worker.plugins[PLUGIN].ended.add(run)


def _end(client: Client, run: str, futures: Sequence[Any]) -> None:
    """End what still runs, after its tile."""
    running = [future for future in futures if not future.done()]
    if not running:
        return
    client.run(_stop, run, on_error="ignore")
    at_work = {key for keys in client.processing().values() for key in keys}
    client.cancel([future for future in running if future.key not in at_work])
    deadline = time.monotonic() + LAST_TILE
    while any(not future.done() for future in running) and time.monotonic() < deadline:
        time.sleep(POLL)


def _workers(client: Client) -> str:
    count = len(client.scheduler_info(n_workers=-1)["workers"])
    return f"{count} worker{'s' * (count != 1)}"
