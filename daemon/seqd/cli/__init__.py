"""The command line: `seqd` and its commands, a module for each command or group of them.

A command is a function with typer's annotations. To add one, write it in a module here and add a
line to `app._COMMANDS`; the guides list the commands too. What several commands take is in
`options`. A module imports only what its options need, so that `seqd --help` is quick; the rest is
imported inside the command. `ui` draws what people see.
"""
