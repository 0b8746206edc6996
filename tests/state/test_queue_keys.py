"""docs/queue-keys.md and the code name the same keys; the fixture `queue` checks the written ones."""

from __future__ import annotations

import re
from pathlib import Path

import redis
from tests.support.queue_keys import families, strange_keys

STATE = Path(__file__).parents[2] / "src" / "sadtalker_service" / "state"


def in_lua() -> set[str]:
    """Constant beginnings of the keys in the scripts."""
    text = "".join(path.read_text() for path in (STATE / "scripts").glob("*.lua"))
    return set(re.findall(r"redis\.call\('[A-Z]+', '([a-z_:]+)'", text))


def test_every_key_of_a_script_is_documented() -> None:
    beginnings = {key.partition("{")[0] for key in families()}
    assert len(in_lua()) > 20
    assert in_lua() <= beginnings


def test_every_documented_key_is_in_the_code() -> None:
    source = "".join(path.read_text() for path in STATE.parent.rglob("*") if path.suffix in {".py", ".lua"})
    for key in families():
        beginning = key.partition("{")[0]
        # two names are composed in Python: stats:{name}
        parts = (beginning, beginning.partition(":")[2]) if beginning.startswith("stats:") else (beginning,)
        assert any(re.search(rf"['\"]{re.escape(part)}", source) for part in parts), key


def test_undocumented_keys_and_types_are_found(queue: redis.Redis) -> None:
    queue.hset("session:a", "state", "queued")
    queue.set("waiting:vip", 1)
    queue.set("sessions:a", 1)
    assert sorted(strange_keys(queue)) == ["sessions:a (string)", "waiting:vip (string)"]
    queue.flushall()
