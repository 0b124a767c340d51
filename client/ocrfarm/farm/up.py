"""What `ocrfarm up` does, from the first check to the last goodbye."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.table import Table

from ocrfarm.client import Client
from ocrfarm.farm import CannotStart, owner, plan
from ocrfarm.farm.samples import Stopped, read, samples_of_checkout, wait_until_ready
from ocrfarm.farm.supervisor import Supervisor, hold_state
from ocrfarm_shared.errors import OcrFarmError, Unauthorized, no_file
from ocrfarm_shared.settings import read_settings


def run(files: Sequence[Path], *, once: bool, samples: bool) -> int:
    """Exit code: 0 stopped as asked (with `once`: every document was read), 1 not. Raises CannotStart, SettingsError.

    The main thread supervises; a second one reads the documents, so that a child that dies meanwhile is started again at once.
    """
    for file in files:
        if not file.is_file():
            raise CannotStart(no_file(file))
    settings = plan.absolute(read_settings())
    console = Console()
    documents = list(files) or (samples_of_checkout() if samples else [])
    with hold_state(settings.state):
        made = plan.make(settings)
        supervisor = Supervisor(
            made.programs,
            settings.state,
            lambda said: console.print(said, style="yellow", markup=False, soft_wrap=True),
            made.stop_order,
        )
        greeter = Greeter(made, documents, once, console, supervisor.stopping)
        with supervisor.signals():
            try:
                if made.redis:
                    supervisor.start("redis")
                    made.redis.wait(supervisor.children["redis"])
                owner.check_door(made.settings)
                thread = threading.Thread(target=greeter.run, name="greeter", daemon=True)
                thread.start()
                supervisor.run(give_up=once)
                thread.join(5)
            finally:
                supervisor.stop()
    if not once:
        return 0
    if lost := supervisor.hopeless():
        console.print(f"{lost.program.name} cannot run: {lost.last_words()}", style="red", markup=False)
        return 1
    return 0 if greeter.unread == 0 else 1


@dataclass
class Greeter:
    """Waits until the farm can read, has the documents read, tells the addresses. With `once` it then stops the farm."""

    plan: plan.Plan
    documents: Sequence[Path]
    once: bool
    console: Console
    stopping: threading.Event
    since: float = field(default_factory=monotonic)
    unread: int | None = field(default=None)
    """How many documents were not read whole; None: it did not come to an end."""

    def run(self) -> None:
        try:
            ready = wait_until_ready(self.plan.page, self.console, self.stopping)
            if self.documents:
                with Client(self.plan.page, self.plan.settings.api_key) as client:
                    outcome = read(client, self.documents, self.console, self.stopping)
                self.unread = outcome.unread
                if outcome.first_text:
                    self.console.print(f"The first text came {outcome.first_text - self.since:.1f} s after the start.")
            else:
                self.unread = 0
            self._addresses(ready)
        except Stopped:
            return
        except Unauthorized as err:  # a farm with keys; the documents are not read, and all the rest is well
            self.console.print(
                f"Nothing was read at the start, as this farm asks for keys. {err}",
                style="yellow",
                markup=False,
            )
            self._addresses(ready)
        except (OcrFarmError, TimeoutError) as err:
            self.console.print(str(err), style="red", markup=False)
        finally:
            if self.once:
                self.stopping.set()

    def _addresses(self, ready: str) -> None:
        if self.once:
            self.console.print(f"ocrfarm {ready} has done what it was started for, and stops.", markup=False)
            return
        table = Table.grid(padding=(0, 2))
        table.add_row("page", self.plan.page)
        table.add_row("API docs", f"{self.plan.page}/docs")
        table.add_row("Flower", self.plan.flower or "off")
        table.add_row("state", str(self.plan.settings.state))
        self.console.print(f"ocrfarm {ready} is ready.", table, "Ctrl-C stops it.", markup=False)
