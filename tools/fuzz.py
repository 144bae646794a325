"""Run the tests that draw their cases, again and again with other cases, until the time is over.

``python tools/fuzz.py [--minutes 60] [arguments of pytest]``; paths choose tests as usual. At the
end it prints how many cases were drawn, and how each failure is repeated. A test that failed is not
run again. A second run begins with what failed in the last one.
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator

import pytest

PROFILE = "fuzz"  # in tests/conftest.py
BLOB = re.compile(r"@reproduce_failure\(.*\)")
DRAWN = re.compile(
    r"(?ms)^ *(?:E  +)?(?:Falsifying example|Failing test case): (.*?^ *(?:E  +)?\))"
)


class Rounds:
    """A plugin of pytest: drawn tests in rounds, and how many cases they drew.

    Parameters
    ----------
    minutes : float
        After these no test is started; but all run once.
    """

    def __init__(self, minutes: float) -> None:
        self._seconds = 60 * minutes
        self._rounds = 0
        self._cases: Counter[str] = Counter()
        self._failed: dict[str, str] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Count each call of a test's body."""
        for item in items:
            drawn = getattr(item.obj, "hypothesis", None)  # type: ignore[attr-defined]
            if drawn is not None and not hasattr(drawn.inner_test, "counts"):
                drawn.inner_test = self._counted(drawn.inner_test)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests in rounds."""
        if session.testsfailed or session.config.option.collectonly:
            return False  # pytest tells it
        steps = self._steps(session.items)
        item = next(steps, None)
        while item is not None:
            self._running = item.nodeid
            following = next(steps, None)
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldstop or session.shouldfail:
                raise session.Interrupted(session.shouldstop or session.shouldfail)
            item = following
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what repeats a failure."""
        if report.failed:
            text = f"{report.longreprtext}\n" + "\n".join(text for _, text in report.sections)
            self._failed[report.nodeid] = text

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print what a maintainer wants to know."""
        write = terminalreporter.write_line
        terminalreporter.section("drawn cases")
        for name, count in self._cases.most_common():
            write(f"{count:9,}  {name}")
        tests, failed = len(self._cases), len(self._failed)
        write(f"{self._cases.total():9,}  cases of {tests} tests, {self._rounds} rounds")
        write(f"{failed:9,}  tests failed")
        for name, text in self._failed.items():
            terminalreporter.section(f"to repeat {name}", sep="-")
            if found := DRAWN.search(text):
                write(re.sub(r"(?m)^ *(E  +)?", "", found[1]))
            blob = BLOB.search(text)
            write(f"{blob[0]}  # above the test" if blob else "It drew no case, or failed outside.")

    def _steps(self, items: list[pytest.Item]) -> Iterator[pytest.Item]:
        end = time.monotonic() + self._seconds
        left = list(items)
        while left and (not self._rounds or time.monotonic() < end):
            self._rounds += 1
            for item in left:
                if self._rounds > 1 and time.monotonic() > end:
                    return
                yield item
            left = [item for item in left if item.nodeid not in self._failed]

    def _counted(self, test):  # type: ignore[no-untyped-def]
        @functools.wraps(test)
        def counted(*args, **kwargs):  # type: ignore[no-untyped-def]
            self._cases[self._running.partition("[")[0]] += 1
            return test(*args, **kwargs)

        counted.counts = True  # of a test with parameters there are several items
        return counted


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="how long to draw (60)")
    args, others = parser.parse_known_args()
    fixed = ["-m", "hypothesis", "--hypothesis-profile", PROFILE, "--quiet"]
    # No limit for one test: it draws more than usual.
    fixed += ["--override-ini", "timeout=0", "--override-ini", "console_output_style=classic"]
    return int(pytest.main([*fixed, *others], plugins=[Rounds(args.minutes)]))


if __name__ == "__main__":
    sys.exit(main())
