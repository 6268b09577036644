"""Debian's python3-aiohttp, over WebSocket."""
import asyncio
import json
import os
import random

import aiohttp


async def main():
    cursor = ""
    async with aiohttp.ClientSession(trust_env=True) as session:
        while True:
            try:
                async with session.ws_connect(os.environ["HUB"] + "/ws?topic=show&cursor=" + cursor) as socket:
                    async for text in socket:
                        message = json.loads(text.data)
                        cursor = message.get("id", cursor)
                        if "op" not in message:
                            print(message["data"]["n"], flush=True)
            except (OSError, asyncio.TimeoutError, aiohttp.ClientError):
                pass
            await asyncio.sleep(random.uniform(0.5, 2))


asyncio.run(main())
