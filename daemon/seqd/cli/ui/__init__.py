"""What people see: lines, tables, charts and progress. Reads records of the wire; asks no server.

Each view has two forms, one that moves on a terminal and one of plain lines for everything else;
`screen` decides which. rich is imported only where something is drawn.
"""
