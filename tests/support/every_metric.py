"""Record every metric of the service once."""

from sadtalker_service.telemetry import live_metrics, metrics


def count_everything() -> None:
    """Call each function of `telemetry.metrics` that records something."""
    metrics.observe_request("GET", "/api/{lane}/status/{session_id}", 200, 0.004)
    metrics.observe_request("BREW", "unmatched", 405, 0.001)
    metrics.job_started("vip", 0.3)
    metrics.job_ended("vip", "ready")
    metrics.job_ended("standard", "failed", "worker_lost")
    metrics.observe_job("first", 4.0, video_seconds=10.0, frames=250)
    metrics.observe_first_bytes(0.2)
    metrics.observe_stages({"face_mesh": 0.02, "render": 1.5})
    metrics.avatar_prepared("ready", 0.4)
    metrics.job_requeued("lease")
    metrics.cache_request("face_mesh", True)
    metrics.cache_request("face_mesh", False)
    metrics.inference_batch(2, 16)
    metrics.inference_batch(7, 32)
    metrics.callback("delivered")
    metrics.artefact_removed("videos", "age")
    metrics.connection_cut("unread")
    metrics.request_refused("wrong_key")
    live_metrics.session_ended("ended_by_client")
    live_metrics.frames_drawn(24, 1)
    live_metrics.observe_latency(0.18)
