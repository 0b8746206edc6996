"""The networks in their trained form. Parameters are named as in the checkpoints.

This package does not read files and needs only torch. Every network is for evaluation only. `fusing.prepare`
converts a network into its inference form.
"""
