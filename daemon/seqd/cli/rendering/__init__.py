"""What people see: lines, tables, progress bars. Reads wire records; asks no server.

Each view has two forms, one that moves on a terminal and one of plain lines for everything
else. `screen` knows which it is. Called by the commands' modules.
"""
