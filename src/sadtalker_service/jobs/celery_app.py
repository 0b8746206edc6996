"""The Celery application: how messages travel between those who ask for work and those who do it.

A message is a session's id and no more: what is to be done, and whether it still is, stands in the session
store. So a message that comes twice or too late is harmless, and one that is lost is sent again by the
janitor: Celery carries, the session store decides.
"""

from __future__ import annotations

from functools import partial

from celery import Celery

from sadtalker_service.jobs.fair_order import FairOrder
from sadtalker_service.jobs.queues import NORMAL, QUEUES
from sadtalker_service.jobs.time_limit import longest_job
from sadtalker_service.settings import Settings
from sadtalker_service.store.connections import broker_url, store_urls

_ANSWER_SECONDS = 5.0
"""A queue server that takes longer to answer counts as away; a blocking read lasts 1 s at most."""

_WARM_UP_SECONDS = 600
"""Celery kills a child that is not up after 4 s; loading networks and compiling kernels may take minutes."""


def make_app(settings: Settings) -> Celery:
    """An application for those who send and those who work. Connects to nothing yet."""
    app = Celery("sadtalker", set_as_current=False)
    app.conf.update(_sending(settings), **_working(settings))
    return app


def _sending(settings: Settings) -> dict[str, object]:
    return {
        "broker_url": broker_url(store_urls(settings).queue),
        "broker_transport_options": _transport_options(settings),
        # results live in the session store: a second place for them would be one that disagrees
        "result_backend": None,
        "task_ignore_result": True,
        # JSON only: a pickled message would let whoever reaches the server run code in the workers
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_queues": {name: {} for name in QUEUES},
        "task_default_queue": NORMAL,
        # a name that is not in the list is a mistake, not a request for a new queue
        "task_create_missing_queues": False,
        # once more at once, for a connection that broke while nobody used it; then it is the sender's to say
        # that the store is away (503), and the janitor's to send the message again
        "task_publish_retry": True,
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0.0, "interval_max": 0.1},
        "broker_connection_timeout": _ANSWER_SECONDS,
        # nobody listens to events, and nobody shall command workers through the queue server
        "worker_send_task_events": False,
        "worker_enable_remote_control": False,
    }


def _working(settings: Settings) -> dict[str, object]:
    return {
        # acknowledged when the work is done: a worker that dies leaves its message in the server's hands
        "task_acks_late": True,
        # ... and when only the child dies, its parent gives the message back at once
        "task_reject_on_worker_lost": True,
        # one message at a time: a second one would wait behind this job while another worker is idle,
        # and a VIP that comes later could not overtake it; the second one keeps it so after a reconnection
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        # one warm child that lives as long as its parent
        "worker_pool": "prefork",
        "worker_concurrency": 1,
        "worker_proc_alive_timeout": _WARM_UP_SECONDS,
        # a guard against leaks; looked at after each job, in KiB
        "worker_max_memory_per_child": settings.worker_max_bytes // 1024,
        # the queue server may be restarted while a video is made: go on, and try to connect again for ever
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # logs are configured once for the whole process, in telemetry/logs.py
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }


def _transport_options(settings: Settings) -> dict[str, object]:
    return {
        # must exceed the longest time limit, or the message of a job that still runs is delivered once more;
        # nobody waits for it, leases bring jobs of lost workers back (janitor.py)
        "visibility_timeout": longest_job(settings) + 600.0,
        # left-over messages are looked for every 5 s; with kombu's throttle of 10 it would be every 50 s
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        # kombu's own `priority` order starves the standard lane under constant VIP load
        "queue_order_strategy": partial(FairOrder, settings.vip_in_a_row),
        # one list per queue, under the queue's own name: `LLEN vip` tells what waits there
        "priority_steps": [0],
        # kombu's default waits for ever on a server that hangs
        "socket_timeout": _ANSWER_SECONDS,
        "socket_connect_timeout": _ANSWER_SECONDS,
        "client_name": "sadtalker-broker",
    }
