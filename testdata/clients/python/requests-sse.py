"""Debian's python3-requests, with a line reader for event streams."""
import json
import os
import random
import time

import requests

cursor = ""
while True:
    try:
        with requests.get(os.environ["HUB"] + "/sse?topic=show", headers={"Last-Event-ID": cursor}, stream=True, timeout=60) as answer:
            answer.raise_for_status()
            name = data = ""
            for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
                field, _, value = line.partition(": ")
                if field == "id":
                    cursor = value
                elif field == "event":
                    name = value
                elif field == "data":
                    data = value
                elif field == "":
                    if data and not name.startswith("trivium."):
                        print(json.loads(data)["n"], flush=True)
                    name = data = ""
    except requests.RequestException:
        pass
    time.sleep(random.uniform(0.5, 2))
