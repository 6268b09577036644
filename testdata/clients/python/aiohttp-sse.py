"""Debian's python3-aiohttp, with a line reader for event streams."""
import asyncio
import json
import os
import random

import aiohttp


async def main():
    cursor, delay = "", 2
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_read=60), trust_env=True) as session:
        while True:
            try:
                async with session.get(os.environ["HUB"] + "/sse?topic=show", headers={"Last-Event-ID": cursor}) as answer:
                    answer.raise_for_status()
                    name = data = ""
                    async for line in answer.content:
                        field, _, value = line.decode().rstrip("\n").partition(": ")
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
            except (OSError, asyncio.TimeoutError, aiohttp.ClientError):
                pass
            await asyncio.sleep(random.uniform(0.5, delay))


asyncio.run(main())
