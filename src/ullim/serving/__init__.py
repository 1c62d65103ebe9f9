"""Serving: HTTP for those who cannot or will not run the model themselves.

The process that talks to the network never decodes: it counts bytes, keeps order, and hands each
recording to a worker process that has limits on memory and time and can be killed.
"""
