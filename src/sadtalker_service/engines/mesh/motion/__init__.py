"""From speech features to the rig's controls per frame: lips, lids, gaze, head, breath and gestures."""
