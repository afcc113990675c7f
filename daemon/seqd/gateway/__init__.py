"""`seqd gateway`: the daemon over HTTP, for services in any language.

The routes are those of OpenAI's API where it has them, so that its stock clients work unchanged; a
job's own routes are beside them. The gateway is one more client of the ledger. It keeps no state of
its own: any number of them answer for any job.
"""
