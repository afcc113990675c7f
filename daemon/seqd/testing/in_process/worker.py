"""A worker in a thread: the code of a worker's pool child, with neither Celery nor a process.

It claims, computes and commits as a child does, warms its models up, and publishes its status and
the catalog. The reconciler of a worker's parent runs beside it, and what carries out the orders of
clients for models. What only a process can have is missing: the watchdog, a device, drains,
and the inbox.
"""

import logging
from dataclasses import replace
from threading import Event, Thread

from seqd.errors import REDIS_ERRORS, RedisUnreachable
from seqd.ledger.units import Death
from seqd.ledger.wakeup import take_wakeup
from seqd.models.registry import Registry
from seqd.settings import Settings
from seqd.worker.background import Reconciler
from seqd.worker.child import WorkLoop
from seqd.worker.context import open_context
from seqd.worker.cordon import RuleWatch
from seqd.worker.logs import try_now
from seqd.worker.orders import ModelOrderWatch
from seqd_schemas import DeathCause

log = logging.getLogger(__name__)

#: Seconds for which a wakeup is waited for at once, and for which a model may hold the end up.
LISTEN_S = 1
CLOSE_S = 10.0

DEATH = Death(DeathCause.SIGNAL, message="The test had this worker killed.")


class ThreadWorker:
    """One worker; `settings` have its slot, its name and the server."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        opened = open_context(settings, registry=registry)
        self._context = replace(opened, end_node=lambda: None)  # its drain flag is raised
        self._settings = settings
        self._loop = WorkLoop(self._context, settings)
        self._reconciler = Reconciler(
            self._context.ledger,
            settings,
            self._context.identity.name,
            self._context.routes,
            self._context.fitness.queues,
            self._context.publish_catalog,
        )
        self._orders = ModelOrderWatch(
            self._context.ledger,
            settings,
            self._context.store,
            lambda plugin: None,  # its models are functions of this process alone
            self._context.identity.name,
            self._context.publish_catalog,
        )
        self._rules = RuleWatch(
            self._context.ledger,
            self._context.identity.place,
            self._context.channel,
            self._orders,
            lambda why: None,
        )
        self._ready = Event()
        self._fault: Exception | None = None
        self._thread = Thread(target=self._run, name="seqd-test-worker", daemon=True)

    def start(self) -> None:
        """Start it, and wait until it takes work. Raises what it cannot start for."""
        self._thread.start()
        self._ready.wait()
        if self._fault is not None:
            raise self._fault
        self._reconciler.start()
        self._orders.start()
        self._rules.start()

    def close(self) -> None:
        """Have it release what it holds, leave the fleet and end.

        Raises RuntimeError where the model's function does not return.
        """
        self._context.drain.raise_()
        self._reconciler.request_stop()
        self._orders.request_stop()
        self._wake()
        self._thread.join(CLOSE_S)
        self._reconciler.close()
        self._orders.close()
        self._rules.close()
        self._loop.close()
        try_now("leases not released", self._leave_fleet)
        self._context.ledger.redis.close()
        if self._thread.is_alive():
            raise RuntimeError(
                f"The worker of this test has not ended within {CLOSE_S:g} s: the function of a "
                "model does not return. Have it wait by `slow` or `hold`, which end with the test."
            )

    def die(self) -> None:
        """Lose all that it holds, as its parent has it when a child was killed."""
        name = self._context.identity.name
        self._context.ledger.work.release_worker(name, crashed=True, death=DEATH)

    def _leave_fleet(self) -> None:
        name = self._context.identity.name
        self._context.ledger.work.release_worker(name, crashed=False)
        self._context.ledger.fleet.forget_worker(name)

    def _run(self) -> None:
        try:
            self._loop.warm_up()
        except Exception as error:  # noqa: BLE001  raised again in the thread that starts it
            self._fault = error
            return
        finally:
            self._ready.set()
        while not self._context.drain.is_raised():
            try:
                # First what was handed in before it was there.
                self._loop.run_slice()
                self._wait_for_wakeup()
            except RedisUnreachable as error:
                log.warning("work stops: %s", error)
                self._context.drain.raise_()
            except REDIS_ERRORS as error:
                log.warning("work stops: %s", error)
            except Exception:
                log.exception("work stops")

    def _wait_for_wakeup(self) -> None:
        """Wait for one of its routes to be notified, as Celery does for a worker.

        Not where it should end: the slice before may have taken the wakeup that says so.
        """
        if self._context.drain.is_raised():
            return
        queues = [self._settings.keys.wakeup(route) for route in self._context.routes]
        take_wakeup(self._context.ledger.redis, queues, LISTEN_S)

    def _wake(self) -> None:
        """Have it look at once whether it should end."""
        work, route = self._context.ledger.work, self._context.routes[0]
        try_now("not woken", lambda: work.wake(route))
