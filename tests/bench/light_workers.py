"""Workers without processes or a model's work: what a worker asks of Redis, many in one process.

Each has the parts of a worker's parent and of its child, in threads, over as many connections as
these have: one on which Celery's transport waits for wakeups and one beside it, one that waits for
notices, those of the parent's other threads, and the child's. What is missing asks nothing of
Redis: Celery's pool, the watchdog, the metrics.

`python -m gevent.monkey --module bench.light_workers` makes these threads greenlets: a thousand
threads of one process would take most of their time from each other.
"""

import logging
import sys
from contextlib import suppress
from dataclasses import replace
from threading import Thread
from time import perf_counter
from typing import Any

from celery import Celery
from gevent.fileobject import FileObjectThread
from kombu.message import Message

from bench.peers.protocol import serve
from plugin_builders import a_registry_of
from seqd.ledger import Ledger
from seqd.ledger.outage import Outage
from seqd.ledger.work import Claim, Work
from seqd.models.registry import Registry
from seqd.settings import Settings
from seqd.worker.background import Reconciler
from seqd.worker.broker import create_app
from seqd.worker.channel import Channel
from seqd.worker.child import WorkLoop
from seqd.worker.context import open_context, open_ledger, queues_of
from seqd.worker.cordon import RuleWatch
from seqd.worker.inbox import Inbox
from seqd.worker.orders import ModelOrderWatch
from seqd_schemas import wakeup_queue
from worker_fixtures import BY_DEFAULT, light_plugin


class TimedWork(Work):
    """The work of a child; notes how long each claim took."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        #: Milliseconds of the claims that got units, and of those that found none.
        self.claims_ms, self.empty_ms = list[float](), list[float]()

    def claim(self, *arguments: Any) -> Claim | None:
        """Claim, and note how long that took."""
        began = perf_counter()
        claim = super().claim(*arguments)
        (self.claims_ms if claim else self.empty_ms).append((perf_counter() - began) * 1000)
        return claim


class LightWorker:
    """One worker, which goes on to the end of its process."""

    def __init__(self, settings: Settings, app: Celery, registry: Registry) -> None:
        channel = Channel()
        context = open_context(settings, channel, registry)
        self._context = replace(context, end_node=lambda: None)
        context.ledger.work = self.work = TimedWork(context.ledger)
        self._loop = WorkLoop(self._context, settings)
        self._app = app
        # The parent's, with connections of its own.
        ledger, name, store = open_ledger(settings, Outage()), context.identity.name, context.store
        inbox = Inbox(ledger, settings, name)
        reconciler = Reconciler(
            ledger,
            settings,
            name,
            context.routes,
            lambda: queues_of(context.routes, store),
            context.publish_catalog,
            inbox.note_round,
        )
        orders = ModelOrderWatch(
            ledger, settings, store, lambda plugin: None, name, context.publish_catalog
        )
        place = context.identity.place
        rules = RuleWatch(ledger, place, channel, orders, lambda why: None)
        self._tasks = inbox, orders, rules, reconciler

    def start(self) -> None:
        """Start it, and wait until it takes work."""
        for task in self._tasks:
            task.start()
        self._loop.warm_up()
        Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        """Work at each wakeup, as Celery has its pool do."""

        def work(message: Message) -> None:
            self._loop.run_slice()
            message.ack()

        with self._app.connection_for_read() as connection:
            channel = connection.default_channel
            names = [wakeup_queue(route) for route in self._context.routes]
            queues = [self._app.amqp.queues[name] for name in names]
            consumer = self._app.amqp.TaskConsumer(channel, queues, on_message=work)
            consumer.qos(prefetch_count=1)
            with consumer:
                while True:
                    with suppress(TimeoutError):
                        connection.drain_events(timeout=5)


class Program:
    """Many of them; `bench.peers.protocol` runs it."""

    def __init__(self, redis_url: str, prefix: str, data_dir: str) -> None:
        logging.basicConfig(level=logging.WARNING)
        given = {"redis_url": redis_url, "prefix": prefix, "data_dir": data_dir, "slot": "cpu:0"}
        enabled = {"enabled_plugins": ("light",)}
        self._settings = Settings.model_validate({**BY_DEFAULT, **given, **enabled})
        light = light_plugin()
        tasks = light.EchoModel.tasks
        one_item = replace(tasks["classify"], unit_items=1)
        light.EchoModel.tasks = {**tasks, "classify": one_item}
        self._registry = a_registry_of([("light", light)], settings=self._settings)
        self._app = create_app(redis_url, self._settings)
        self._workers = list[LightWorker]()

    def start(self, first: int, count: int) -> None:
        """Start so many workers, one after the other."""
        for number in range(first, first + count):
            settings = self._settings.model_copy(update={"worker": f"cpu:0@light{number}"})
            worker = LightWorker(settings, self._app, self._registry)
            self._workers.append(worker)
            worker.start()

    def claims(self) -> dict[str, list[float]]:
        """Return the milliseconds of each claim since the last call, by what it found."""
        found: dict[str, list[float]] = {"with units": [], "empty": []}
        for worker in self._workers:
            found["with units"] += worker.work.claims_ms
            found["empty"] += worker.work.empty_ms
            worker.work.claims_ms, worker.work.empty_ms = [], []
        return found


if __name__ == "__main__":
    # The usual one would block all greenlets while it waits for a line.
    serve("bench.light_workers", FileObjectThread(sys.stdin))
