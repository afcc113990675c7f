"""The command line: `seqd` and its commands, a module for each command or group of them.

To add a command, write a function in a module here and add a line to `app._COMMANDS`. Options of
several commands are in `options`. A module imports only what its options need: `seqd --help` is
quick. The rest is imported inside the command. `ui` draws what people see.
"""
