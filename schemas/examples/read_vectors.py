"""Prints of each result with a vector its length, and its first two numbers."""

import base64
import json
import struct
import sys

for line in sys.stdin:
    result = json.loads(line)
    if "output" in result:
        data = base64.b64decode(result["output"]["vector"])
        numbers = struct.unpack(f"<{len(data) // 4}f", data)
        print(result["custom_id"], len(numbers), *(f"{number:.4f}" for number in numbers[:2]))
