"""`seqd top`: the fleet live, full screen, with keys.

A thread reads the ledger (`reading`), pure functions make the lines of a screen of what was read
and of what somebody wants to see (`view`, `frame`), and `terminal` draws them.

The lines are drawn by rich, as all that people see is. Keys are read and parsed by the input of
prompt_toolkit, which Celery needs anyway: it knows what terminals send for an arrow or a lone Esc,
and gives the terminal back as it was. textual would do both; it would be one more package to
install, and a second way to draw what `seqd queues` and `seqd jobs show` draw.
"""
