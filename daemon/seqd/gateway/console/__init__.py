"""The console: pages to watch the daemon and to act on it, rendered by the gateway.

Without a script each page shows and each form acts; with it the parts that change are replaced.
"""
