"""Debian's python3-requests, by long-poll."""
import os
import random
import time

import requests

cursor = ""
while True:
    try:
        answer = requests.get(os.environ["HUB"] + "/poll", params={"topic": "show", "cursor": cursor}, timeout=60)
        answer.raise_for_status()
        page = answer.json()
        cursor = page["cursor"]
        for event in page["events"]:
            print(event["data"]["n"], flush=True)
    except requests.RequestException:
        time.sleep(random.uniform(0.5, 2))
