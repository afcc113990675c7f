"""What model plugins share, and plugins of others may use; it is no plugin itself.

Import the modules themselves: `training`, `stop_sequences`, `generation_parameters` and the others
that README.md lists. Importing the package loads none of them.
"""
