"""The networks in the form in which they were trained: parameters are named as in the checkpoints.

Nothing here knows files, and nothing needs more than torch. Every network is made for evaluation only.
`inference.prepare` turns one into the form that is run.
"""
