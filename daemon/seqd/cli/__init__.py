"""The command line: `seqd` with its commands, a module each, named as the command is.

`app` puts them together, `exits` decides the exit status, `options` holds what commands share.
A command's module imports little, so that `seqd --help` is quick; what is heavy is imported
inside the command. `rendering` draws what people see. Nothing else in seqd calls this.
"""
