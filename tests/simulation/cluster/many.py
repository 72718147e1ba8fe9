"""Many seeds, shared by processes: what became of each, and a summary."""

from __future__ import annotations

import concurrent.futures
import gc
import itertools
import multiprocessing
import time
import traceback
from collections import Counter
from collections.abc import Iterator

import msgspec

from tests.simulation.cluster.simulation import ClusterSimulation, Report

IN_HAND = 2
"""Seeds that are given to each process beforehand."""
YOUNG_OBJECTS_MAX = 50_000
"""As the product has it: collections cost a tenth at Python's 700."""


class Outcome(msgspec.Struct):
    """What a seed came to: a report, or what is wrong."""

    seed: int
    cpu_s: float
    report: Report | None = None
    wrong: str = ""


def simulate(seed: int, seconds: float) -> Outcome:
    began = time.process_time()
    report, wrong = None, ""
    try:
        report = ClusterSimulation(seed, seconds=seconds).run()
    except BaseException as error:  # a panic of the kernel is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        last_line = traceback.format_exception_only(error)[-1].strip()
        where = traceback.extract_tb(error.__traceback__)[-1]
        wrong = f"{last_line[:400]} ({where.filename.rsplit('/', 1)[-1]}:{where.lineno})"
    return Outcome(seed, time.process_time() - began, report, wrong)


def outcomes(seeds: Iterator[int], jobs: int, seconds: float) -> Iterator[Outcome]:
    """As they come; a seed is drawn only when somebody is to have it."""
    if jobs == 1:
        _begin()
        yield from (simulate(seed, seconds) for seed in seeds)
        return
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(jobs, context, _begin) as pool:
        running = {pool.submit(simulate, seed, seconds) for seed in itertools.islice(seeds, jobs * IN_HAND)}
        while running:
            done, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            running |= {pool.submit(simulate, seed, seconds) for seed in itertools.islice(seeds, len(done))}
            yield from (each.result() for each in done)


def _begin() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX, 20, 100)


def run_all(seeds: Iterator[int], jobs: int, seconds: float, told_every_s: float) -> int:
    """Those that fail are told at once, and where it is every so often."""
    started = told_at = time.monotonic()
    done: list[Outcome] = []
    for outcome in outcomes(seeds, jobs, seconds):
        done.append(outcome)
        if outcome.wrong:
            print(f"seed {outcome.seed}: {outcome.wrong}", flush=True)
        if time.monotonic() >= told_at + told_every_s:
            told_at = time.monotonic()
            print(summary(done, told_at - started), flush=True)
    print(summary(done, time.monotonic() - started))
    return 1 if any(outcome.wrong for outcome in done) else 0


def summary(done: list[Outcome], took_s: float) -> str:
    """In a few lines."""
    failed = sorted(outcome.seed for outcome in done if outcome.wrong)
    good = [outcome for outcome in done if outcome.report is not None]
    reports = [outcome.report for outcome in good if outcome.report is not None]
    cpu_s = sum(outcome.cpu_s for outcome in good)
    simulated_s = sum(report.simulated_s for report in reports)
    faults = dict(sorted(sum((Counter(report.fault_counts) for report in reports), Counter()).items()))
    return (
        f"{len(done)} seeds, {len(failed)} failed: {failed}\n"
        f"{took_s:.1f} s, {len(done) / took_s:.2f} seeds a second, {simulated_s / 3600:.2f} h simulated, "
        f"{simulated_s / took_s:.0f} times real time in all, {simulated_s / max(cpu_s, 1e-9):.0f} times for each core, "
        f"{sum(r.event_count for r in reports)} events\n"
        f"{sum(r.message_count for r in reports)} messages, {sum(r.confirmed_count for r in reports)} confirmed, "
        f"{sum(r.seen_count for r in reports)} delivered, {sum(r.mqtt_count for r in reports)} by MQTT, "
        f"{sum(r.start_count for r in reports)} starts, "
        f"{sum(r.leader_count for r in reports)} leaders, {sum(r.compared_count for r in reports)} states compared\n"
        f"{faults}"
    )
