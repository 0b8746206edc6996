"""From what was heard to per-frame controls of the rig: lips, lids, gaze, head, breath and gestures."""
