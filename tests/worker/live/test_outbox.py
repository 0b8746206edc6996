"""Messages on their way to a client: in order, and not for ever."""

from __future__ import annotations

import asyncio

from sadtalker_service.worker.live.outbox import MOST_WAITING, Outbox


async def taken(outbox: Outbox) -> list[str | bytes]:
    messages = []
    while (message := await outbox.next()) is not None:
        messages.append(message)
    return messages


def test_messages_come_in_order_from_any_thread_until_the_end() -> None:
    async def run() -> list[str | bytes]:
        outbox = Outbox(asyncio.get_running_loop())
        reading = asyncio.create_task(taken(outbox))
        outbox.put("a", b"b")
        await asyncio.to_thread(outbox.deliver, ["c", "d"])
        await asyncio.sleep(0)
        outbox.close()
        outbox.put("too late")
        return await asyncio.wait_for(reading, 10)

    assert asyncio.run(run()) == ["a", b"b", "c", "d"]


def test_client_that_reads_too_slowly_is_noticed_while_nothing_is_read() -> None:
    async def run() -> tuple[bool, bool, str | bytes | None]:
        outbox = Outbox(asyncio.get_running_loop())
        outbox.put(*["piece"] * MOST_WAITING)
        before = outbox.overfull.done()
        outbox.put("one more")
        await asyncio.wait_for(outbox.overfull, 10)
        outbox.put("and another")
        return before, outbox.is_overfull, await outbox.next()

    assert asyncio.run(run()) == (False, True, None)
