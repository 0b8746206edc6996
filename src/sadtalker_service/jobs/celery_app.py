"""The Celery application: how messages travel from the service to its workers.

A message contains only the id of a session. The session store holds what is to be done, and whether it still
is. So a duplicate or late message is harmless, and the janitor sends a lost one again. Celery transports, the
session store decides.
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
"""A queue server that takes longer to answer counts as unavailable; a blocking read lasts 1 s at most."""

_WARM_UP_SECONDS = 600
"""By default Celery kills a child that is not up after 4 s. Loading networks and kernels may take minutes."""


def make_app(settings: Settings) -> Celery:
    """An application for senders and workers. It does not connect yet."""
    app = Celery("sadtalker", set_as_current=False)
    app.conf.update(_sending(settings), **_working(settings))
    return app


def _sending(settings: Settings) -> dict[str, object]:
    return {
        "broker_url": broker_url(store_urls(settings).queue),
        "broker_transport_options": _transport_options(settings),
        # results are in the session store; a second place could contradict it
        "result_backend": None,
        "task_ignore_result": True,
        # JSON only: with pickle, anyone who reaches the server could run code in the workers
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_queues": {name: {} for name in QUEUES},
        "task_default_queue": NORMAL,
        # an unknown name is a mistake, not a request for a new queue
        "task_create_missing_queues": False,
        # one immediate retry for a connection that broke while idle; after that the sender reports the store
        # as unavailable (503), and the janitor sends the message again
        "task_publish_retry": True,
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0.0, "interval_max": 0.1},
        "broker_connection_timeout": _ANSWER_SECONDS,
        # events are not used, and workers must not accept commands through the queue server
        "worker_send_task_events": False,
        "worker_enable_remote_control": False,
    }


def _working(settings: Settings) -> dict[str, object]:
    return {
        # acknowledged after the work, so the message of a worker that dies stays on the server
        "task_acks_late": True,
        # if only the child dies, its parent returns the message at once
        "task_reject_on_worker_lost": True,
        # one message at a time: a second one would wait behind this job while another worker is idle, and a
        # later VIP job could not overtake it; the second setting keeps this after a reconnection
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        # one warm child that lives as long as its parent
        "worker_pool": "prefork",
        "worker_concurrency": 1,
        "worker_proc_alive_timeout": _WARM_UP_SECONDS,
        # a guard against memory leaks, checked after each job, in KiB
        "worker_max_memory_per_child": settings.worker_max_bytes // 1024,
        # the queue server may restart while a video is rendered: go on, and reconnect for ever
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # logs are configured once for the whole process, in telemetry/logs.py
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }


def _transport_options(settings: Settings) -> dict[str, object]:
    return {
        # must exceed the longest time limit, or the message of a running job is delivered again; a long value
        # costs nothing, because leases bring back the jobs of lost workers (janitor.py)
        "visibility_timeout": longest_job(settings) + 600.0,
        # look for unacknowledged messages every 5 s; with kombu's throttle of 10 it would be every 50 s
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        # kombu's own `priority` order starves the standard lane under constant VIP load
        "queue_order_strategy": partial(FairOrder, settings.vip_in_a_row),
        # one list per queue, named like the queue, so that `LLEN vip` counts its messages
        "priority_steps": [0],
        # kombu's default waits for ever on a server that hangs
        "socket_timeout": _ANSWER_SECONDS,
        "socket_connect_timeout": _ANSWER_SECONDS,
        "client_name": "sadtalker-broker",
    }
