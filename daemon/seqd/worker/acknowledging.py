"""Makes Celery bear with a connection that breaks while it acknowledges a wakeup.

kombu 5.7 counts a message as being worked on until its acknowledgement has been answered. If
that answer is lost, it logs "Couldn't ack" and counts the message for ever; with a prefetch of
one the worker then looks healthy and never hears a wakeup again. Here such a message counts as
done. At worst it is still in Redis and rings again after the visibility timeout, which is
harmless. Called once by `celery_app`, in the worker's parent.
"""

from kombu.transport import redis, virtual


def outlive_lost_acknowledgements() -> None:
    """Have this process count in this way, from its next connection on."""
    redis.Channel.QoS = ForgivingQoS


class ForgivingQoS(redis.QoS):
    """Counts what a worker works on."""

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message; raises what breaks, which Celery logs, and counts it as done."""
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except Exception:
            virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]
            raise
